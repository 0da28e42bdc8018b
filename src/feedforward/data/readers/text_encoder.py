"""Encode texts from users as multi-hot words, in the form that the network was trained on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import InputError
from feedforward.data.readers import tokenizer, word_pairs
from feedforward.data.readers.sample_kinds import kind_of
from feedforward.data.splits import MultiHot

VOCABULARY = "vocabulary.txt"
FEW_TEXTS = 1000  # up to this number of texts, importing Arrow takes more time (and memory) than it saves
_FILTERS_TO_SPACES = str.maketrans(tokenizer.FILTERS, " " * len(tokenizer.FILTERS))
_BETWEEN_WORDS = tokenizer.FILTERS + " "


@dataclass(frozen=True)
class TextEncoder:
    """Encodes texts as multi-hot words, and word pairs if the vocabulary has any.

    column: name of the text column in the training table, not of a feature; empty if the texts were files.
    """

    vocabulary: tokenizer.Vocabulary
    column: str = ""
    sample_kind = "text"

    @property
    def feature_count(self) -> int:
        """Number of features."""
        return self.vocabulary.columns

    def check(self, sample: Any, field: str) -> str:
        """Check a text; bytes are decoded as in training.

        Raises:
            InputError: the sample is not a text, or contains no word.
        """
        if isinstance(sample, bytes):
            sample = tokenizer.decode(sample)
        if not isinstance(sample, str):
            raise InputError(field, f"must be text, got {kind_of(sample)}")
        text: str = sample
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()  # an unpaired surrogate becomes a question mark
        if not tokenizer.normalize(text).strip(_BETWEEN_WORDS):
            raise InputError(field, "must contain at least one word, got none")
        return text

    def encode(self, samples: Sequence[str]) -> MultiHot:
        """Encode checked texts, shape (texts, features); see tokenizer.encode."""
        if len(samples) > FEW_TEXTS:
            return tokenizer.encode(samples, self.vocabulary)
        rows = [self._columns_of_text(text) for text in samples]
        indptr = np.cumsum([0, *map(len, rows)])
        return MultiHot(indptr, np.concatenate([np.empty(0, np.uint16), *rows]), self.feature_count)

    def _columns_of_text(self, text: str) -> npt.NDArray[np.uint16]:
        """The columns that a text sets, in increasing order."""
        words, known = self.split(text), self.vocabulary.column_of
        distinct = {tokenizer.START, *map(known.get, words, itertools.repeat(tokenizer.DROPPED))}
        distinct.update(known[pair] for pair in self.known_pairs(words))
        columns = np.fromiter(distinct, np.uint16, len(distinct))
        columns.sort()
        return columns

    @staticmethod
    def split(text: str) -> list[str]:
        """The words of a text, in order; the same as those that tokenizer.encode finds."""
        lower = text.lower()
        if not lower.isascii():
            lower = tokenizer.normalize(lower).encode("utf-8", "replace").decode()
        return lower.translate(_FILTERS_TO_SPACES).split()  # `normalize` has replaced all other whitespace

    def columns_of(self, words: Sequence[str]) -> list[int]:
        """The column of each word; tokenizer.DROPPED for words without one."""
        known = self.vocabulary.column_of
        return [known.get(word, tokenizer.DROPPED) for word in words]

    def known_pairs(self, words: Sequence[str]) -> list[str]:
        """The distinct pairs of neighboring words that have a column, in order."""
        if self.vocabulary.pairs is None:
            return []
        known = self.vocabulary.column_of
        return [pair for pair in dict.fromkeys(word_pairs.of_text(words)) if pair in known]

    def unknown(self, sample: str) -> list[str]:
        """The distinct words of a text that have no column, in order."""
        known = self.vocabulary.column_of
        return [word for word in dict.fromkeys(self.split(sample)) if word not in known]

    def settings(self) -> dict[str, Any]:
        """The settings of this encoder, as JSON-serializable values."""
        column = {"column": self.column} if self.column else {}
        return {"kind": "words", "columns": self.feature_count, **column}

    def files(self) -> dict[str, bytes]:
        """The vocabulary, one word per line."""
        return {VOCABULARY: "".join(f"{word}\n" for word in self.vocabulary.words).encode()}
