"""Pairs of neighboring words as features (`reader.ngrams: 2`): their counts, and their columns in a vocabulary.

A pair is written as its words with a space between them ("not good"). No word contains a space, so the vocabulary
itself shows which of its entries are pairs, and a model needs no further settings.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa  # see tokenizer

SPACE = " "

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lookup:
    """The pairs of a vocabulary. word_numbers: a number for each word that occurs in a pair.

    keys: for each pair, number of the first word · len(word_numbers) + number of the second word, in increasing order.
    columns: the column of each pair, in the same order.
    """

    word_numbers: dict[str, int]
    keys: Longs
    columns: Longs


def of_text(words: Sequence[str]) -> list[str]:
    """The pairs in a sequence of words, in order.

    >>> of_text(["not", "so", "good"])
    ['not so', 'so good']
    """
    return [f"{first}{SPACE}{second}" for first, second in itertools.pairwise(words)]


def count(words: "pa.DictionaryArray", rows: Longs) -> "pa.Table":
    """Count the occurrences of each pair, like `tokenizer.count`. rows: the text that each word belongs to."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, second, _ = _neighbors(words, rows)
    size = max(1, len(words.dictionary))
    pairs, occurrences = np.unique(first * size + second, return_counts=True)
    left, right = (words.dictionary.take(pa.array(part)) for part in np.divmod(pairs, size))
    names = pc.binary_join_element_wise(left, right, pa.scalar(SPACE, pa.large_string()))
    return pa.table({"word": names, "count": occurrences})


def number_of(counts: "pa.Table") -> int:
    """The number of pairs among the entries of a table of counts."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.match_substring(counts["word"], SPACE)).as_py() or 0)


def lookup(column_of: Mapping[str, int]) -> Lookup | None:
    """The pairs among the words of a vocabulary; None if there are none."""
    pairs = [(word.split(SPACE), column) for word, column in column_of.items() if SPACE in word]
    if not pairs:
        return None
    words = dict.fromkeys(word for pair, _ in pairs for word in pair)
    numbers = {word: number for number, word in enumerate(words)}
    keys = np.array([numbers[first] * len(numbers) + numbers[second] for (first, second), _ in pairs], np.int64)
    order = np.argsort(keys)
    return Lookup(numbers, keys[order], np.array([column for _, column in pairs], np.int64)[order])


def find(words: "pa.DictionaryArray", rows: Longs, pairs: Lookup) -> tuple[Longs, Longs]:
    """The row and column of each occurrence of a pair that has a column."""
    first, second, rows = _neighbors(words, rows)
    number_of_word = np.array([pairs.word_numbers.get(word, -1) for word in words.dictionary.to_pylist()], np.int64)
    first, second = number_of_word[first], number_of_word[second]
    keys = np.where((first < 0) | (second < 0), -1, first * len(pairs.word_numbers) + second)
    positions = np.minimum(np.searchsorted(pairs.keys, keys), len(pairs.keys) - 1)
    has_column = pairs.keys[positions] == keys
    return rows[has_column], pairs.columns[positions[has_column]]


def _neighbors(words: "pa.DictionaryArray", rows: Longs) -> tuple[Longs, Longs, Longs]:
    """Dictionary indices of the first and second word of each pair, and the row of its text; no pair spans texts."""
    codes = words.indices.to_numpy().astype(np.int64)
    is_same_text = rows[1:] == rows[:-1]
    return codes[:-1][is_same_text], codes[1:][is_same_text], rows[1:][is_same_text]
