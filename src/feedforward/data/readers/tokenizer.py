"""Split texts into words like Keras's Tokenizer, count the words, rank them, and encode texts as multi-hot rows.

If pairs of neighboring words are used (see `word_pairs`), "word" below includes them.

Columns follow Keras's index convention: 0 is padding, 1 starts a text, 2 replaces a dropped word (one without a
column), and the word of frequency rank r has column r + 3, so `num_words` columns hold the words up to rank
num_words - 4.

Words are processed in bulk (Arrow dictionaries, NumPy sort), because plain Python takes three times as long.
"""

import functools
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import DataError
from feedforward.data.readers import encodings, word_pairs
from feedforward.data.splits import MultiHot

if TYPE_CHECKING:
    import pyarrow as pa  # takes 35 MB and 0.1 s to import, and encoding single texts does not need it

# The Tokenizer's filters and all other ASCII whitespace; the apostrophe is part of a word
FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n\r\v\f\x1c\x1d\x1e\x1f'
# The playground page's script uses these regular expressions, too; in JavaScript, `\w` has another meaning
ESCAPED_FILTERS = "".join(f"\\x{ord(character):02x}" for character in FILTERS)
# Equal to the ASCII apostrophe if between two characters of a word, as in "don’t"; otherwise separators, as in ‘film’.
# The first is U+2019 in Windows-1252, read as Latin-1.
_APOSTROPHES = "\x92\u00b4\u2019"
# Non-ASCII whitespace, invisible characters that occur between words, and punctuation that is never within a word
_PUNCTUATION = (
    "\x82\x84\x85\x8b\x91\x93-\x97\x9b"  # quotation marks and dashes in Windows-1252, read as Latin-1 (IMDb's reviews)
    "\xa0\xa1\xa7\xab\xb6\xbb\xbf\u055d\u0589\u058a\u05be\u05c0\u05c3\u05c6"  # also Armenian and Hebrew
    "\u0609\u060a\u060c\u060d\u061b-\u061f\u066a-\u066d\u06d4\u0700-\u070d"  # Arabic and Syriac
    "\u0964\u0965\u0970\u09fd\u0a76\u0af0\u0c77\u0c84\u0df4"  # languages of India and Sri Lanka
    "\u0e4f\u0e5a\u0e5b\u0f04-\u0f14\u0f3a-\u0f3d\u0fd0-\u0fd4\u0fd9\u0fda\u104a\u104b\u17d4-\u17d6\u17d8-\u17da"
    "\u10fb\u1360-\u1368\u1400\u166e\u1680\u1800-\u1805\u1808\u1809"  # Georgian, Ethiopic, Canadian, Mongolian
    "\u2000-\u200b\u200e-\u2018\u201a-\u206f\u2e00-\u2e2e\u2e30-\u2e5d"  # general; not the (zero-width) joiners
    "\u3000-\u3003\u3008-\u3011\u3014-\u301f\u3030\u303d\u30a0\u30fb"  # Chinese and Japanese
    "\ufd3e\ufd3f\ufe10-\ufe19\ufe30-\ufe52\ufe54-\ufe6b\ufeff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_BETWEEN_WORDS = f"{ESCAPED_FILTERS} {_PUNCTUATION}{_APOSTROPHES}"
SEPARATORS = re.compile(
    f"[{_PUNCTUATION}{_APOSTROPHES}]"
    f"(?:(?<=[{_PUNCTUATION}])|(?<![^{_BETWEEN_WORDS}][{_APOSTROPHES}])|(?![^{_BETWEEN_WORDS}]))"
)
APOSTROPHES = re.compile(f"[{_APOSTROPHES}]")  # that `SEPARATORS` leaves
SOFT_HYPHEN = "\u00ad"  # an invisible place where a word may be hyphenated
# Thai, Lao, Burmese, Khmer, Japanese, Chinese: each character is a word of its own
CHARACTER_WORDS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# A chunk of a text may begin with ASCII, a letter or a digit after another one, which are never combined into one
# character, except for vowels and final consonants of decomposed Korean syllables
_FIRST_OF_CHUNK = re.compile(r"(?<=[\0-\x7f\w])(?:[\0-\x7f]|[^\W\u1160-\u11ff])")
START, DROPPED, RANK_OFFSET = 1, 2, 3
BATCH_BYTES = 2 * 2**20  # of text at a time, so memory use does not grow with the data
# Number of characters at a time that `normalize` processes, because no other thread can run meanwhile
CHUNK_CHARACTERS = 2**9
COUNTS_TO_ADD = 32  # number of tables of counts that are added up in one step

Text = str | bytes

log = logging.getLogger(__name__)

# Lower-cases ASCII letters and replaces filters with spaces, in one pass over the bytes. All bytes of non-ASCII
# characters in UTF-8 are above 127, so these characters are not changed.
_CLEAN = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + FILTERS.encode(), b"abcdefghijklmnopqrstuvwxyz" + b" " * len(FILTERS)
)


@dataclass(frozen=True)
class Vocabulary:
    """The words and pairs that have a column, by frequency rank, and the total number of columns."""

    words: tuple[str, ...]
    columns: int

    @functools.cached_property
    def column_of(self) -> dict[str, int]:
        """The column of each word."""
        return {word: rank + RANK_OFFSET for rank, word in enumerate(self.words, start=1)}

    @functools.cached_property
    def array(self) -> "pa.LargeStringArray":
        """The words as an Arrow array."""
        import pyarrow as pa

        return pa.array(self.words, pa.large_string())

    def columns_of(self, words: "pa.LargeStringArray") -> npt.NDArray[np.int64]:
        """The column of each word; DROPPED if it has none."""
        if len(words) < len(self.words):  # Arrow hashes the whole vocabulary in each call
            return np.array([self.column_of.get(word, DROPPED) for word in words.to_pylist()], np.int64)
        import pyarrow.compute as pc

        first_column = RANK_OFFSET + 1
        indices = pc.index_in(words, value_set=self.array).fill_null(DROPPED - first_column)
        columns: npt.NDArray[np.int64] = indices.to_numpy().astype(np.int64) + first_column
        return columns

    @functools.cached_property
    def pairs(self) -> word_pairs.Lookup | None:
        """The pairs among the words; None if there are none."""
        return word_pairs.lookup(self.column_of)


def count(texts: Iterable[Text], ngrams: int = 1) -> "pa.Table":
    """Count the occurrences of each word: a table with columns `word` and `count`, in no particular order.

    Texts are split as Keras's Tokenizer does: lower case, filter characters replaced by spaces, split at spaces, empty
    words dropped. For non-ASCII characters, see `normalize`. Bytes are decoded by `decode`.

    ngrams: 2 also counts pairs of neighboring words.
    """
    return total(_count_batch(batch, ngrams) for batch in _batches(texts))


def _count_batch(texts: list[bytes], ngrams: int) -> "pa.Table":
    import pyarrow as pa

    words, rows = _words(texts)
    occurrences = np.bincount(words.indices.to_numpy(), minlength=len(words.dictionary))
    counts = pa.table({"word": words.dictionary, "count": occurrences})
    return pa.concat_tables([counts, word_pairs.count(words, rows)]) if ngrams == 2 else counts


def total(counts: Iterable["pa.Table"]) -> "pa.Table":
    """The sum of several counts, for instance of parts of the data."""
    import pyarrow as pa

    tables = [pa.table({"word": pa.array([], pa.large_string()), "count": pa.array([], pa.int64())})]
    for table in counts:
        tables.append(table)
        if len(tables) > COUNTS_TO_ADD:
            tables = [_sum(tables)]
    return _sum(tables)


def _sum(tables: Sequence["pa.Table"]) -> "pa.Table":
    """The sum of counts; numbering the words in one dictionary is several times as fast as Arrow's `group_by`."""
    import pyarrow as pa

    counts = pa.concat_tables(tables)
    words = counts["word"].dictionary_encode().combine_chunks()
    sums = np.zeros(len(words.dictionary), np.int64)
    np.add.at(sums, words.indices.to_numpy(), counts["count"].to_numpy())
    return pa.table({"word": words.dictionary, "count": sums})


def rank(counts: "pa.Table", num_words: int) -> Vocabulary:
    """The words that get a column: most frequent first, equally frequent ones in alphabetical order (by code point)."""
    ranked = counts.sort_by([("count", "descending"), ("word", "ascending")])
    vocabulary = Vocabulary(tuple(ranked["word"].slice(0, num_words - RANK_OFFSET - 1).to_pylist()), num_words)
    _warn_of_single_characters(vocabulary)
    return vocabulary


def _warn_of_single_characters(vocabulary: Vocabulary) -> None:
    """Log a warning if over a tenth of the words are single characters of languages without spaces between words."""
    characters = sum(CHARACTER_WORDS.fullmatch(word) is not None for word in vocabulary.words)
    if characters > len(vocabulary.words) / 10:
        log.warning(
            "%d of %d words are single characters of a language without spaces between words (such as Chinese, Japanese"
            " or Thai); to train on words, put spaces between them in the texts",
            characters, len(vocabulary.words),
        )  # fmt: skip


def facts(counts: "pa.Table") -> dict[str, int]:
    """Entries for the manifest: the numbers of distinct words and, if counted, distinct pairs in the training texts."""
    pairs = word_pairs.number_of(counts)
    return {"distinct_words": len(counts) - pairs, **({"distinct_pairs": pairs} if pairs else {})}


def load_vocabulary(path: Path, columns: int) -> Vocabulary:
    """Read a file of one word per line; line i has rank i.

    Raises:
        DataError: the file cannot be read, or has more words than columns.
    """
    try:
        words = tuple(path.read_bytes().decode().split("\n")[:-1])  # words may contain any other line separator
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run `dvc repro vectorize`") from None
    if len(words) > columns - RANK_OFFSET - 1:
        raise DataError(f"{path}: {len(words)} words do not fit into {columns} columns; run `dvc repro vectorize`")
    return Vocabulary(words, columns)


def encode(texts: Iterable[Text], vocabulary: Vocabulary) -> MultiHot:
    """Encode texts as multi-hot rows, shape (texts, columns), uint16 indices: 1 if the column's word occurs.

    Column 1 is set in every row, and column 2 if any word has no column; pairs without a column are ignored. Each row
    depends only on its text.
    """
    parts = [_encode_batch(batch, vocabulary) for batch in _batches(texts)]
    lengths = np.concatenate([np.zeros(1, np.int64), *[np.diff(part.indptr) for part in parts]])
    indices = np.concatenate([np.empty(0, np.uint16), *[part.indices for part in parts]])
    return MultiHot(np.cumsum(lengths), indices, vocabulary.columns)


def _encode_batch(texts: list[bytes], vocabulary: Vocabulary) -> MultiHot:
    words, rows = _words(texts)
    column_of = vocabulary.columns_of(words.dictionary)
    every_row, empty = np.arange(len(texts)), np.empty(0, np.int64)
    pair_rows, pairs = word_pairs.find(words, rows, vocabulary.pairs) if vocabulary.pairs else (empty, empty)
    indptr, indices = _distinct_per_row(
        np.concatenate([rows, pair_rows, every_row]),
        np.concatenate([column_of[words.indices.to_numpy()], pairs, np.full(len(texts), START)]),
        len(texts),
        vocabulary.columns,
    )
    return MultiHot(indptr, indices, vocabulary.columns)


def _words(texts: list[bytes]) -> tuple["pa.DictionaryArray", npt.NDArray[np.int64]]:
    """All words of the texts, in order, and the row of each."""
    import pyarrow as pa

    text = b" ".join([b"", *texts, b""]).translate(_CLEAN)  # surrounded by spaces, so that every word has two edges
    letters = np.frombuffer(text, np.uint8) != ord(" ")
    edges = np.flatnonzero(letters[1:] != letters[:-1])
    starts, stops = edges[::2], edges[1::2]
    # An Arrow array of strings consists of their concatenated bytes and the offset of each
    offsets = np.concatenate([[0], np.cumsum(stops - starts)])
    values = text.translate(None, b" ")
    words = pa.LargeStringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(values))
    ends_of_texts = np.cumsum([len(text) + 1 for text in texts])  # + 1: the space between texts
    words_of_texts = np.diff(np.searchsorted(starts, ends_of_texts), prepend=0)
    return words.dictionary_encode(), np.repeat(np.arange(len(texts)), words_of_texts)


def _distinct_per_row(
    rows: npt.NDArray[np.int64], values: npt.NDArray[np.int64], number_of_rows: int, bound: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """The offset of each row, and its distinct values in increasing order; all values must be below `bound`."""
    keys = rows * bound + values
    keys.sort()
    is_first = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    keys = keys[is_first]
    indptr = np.searchsorted(keys, np.arange(number_of_rows + 1) * bound)
    return indptr, (keys % bound).astype(np.uint16)


def _batches(texts: Iterable[Text]) -> Iterator[list[bytes]]:
    """Yield texts as UTF-8, with non-ASCII letters in lower case, about BATCH_BYTES at a time."""
    batch: list[bytes] = []
    size = 0
    for text in texts:
        batch.append(_lower_non_ascii(text))
        size += len(batch[-1])
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _lower_non_ascii(text: Text) -> bytes:
    if isinstance(text, bytes):
        if text.isascii() and b"\0" not in text[:4]:  # zero bytes occur in UTF-16 without a byte-order mark
            return text
        text = decode(text)
    return normalize(text.lower()).encode("utf-8", "replace")  # an unpaired surrogate becomes "?", which is a filter


def decode(text: bytes) -> str:
    """Decode as UTF-16 or UTF-32 if `detect_wide` recognizes it, otherwise as UTF-8 or, failing that, Windows-1252."""
    if encoding := encodings.detect_wide(text):
        return text.decode(encoding, "replace")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


def normalize(text: str) -> str:
    """Normalize the characters of a text that are not ASCII, so that words only have to be split at filters and spaces.

    Decomposed characters are composed (NFC), separators become spaces, apostrophes within words become ASCII, and
    spaces are put around each character that is a word of its own.
    """
    return text if text.isascii() else "".join(map(_normalize_chunk, _chunks(text)))


def _chunks(text: str) -> Iterator[str]:
    """Split a text where the result does not depend on it; a run of over CHUNK_CHARACTERS / 8 accents may be cut."""
    start, size = 0, CHUNK_CHARACTERS
    while start < len(text):
        first = _FIRST_OF_CHUNK.search(text, start + size, start + size + size // 8)
        stop = first.start() if first else start + size + size // 8
        yield text[start:stop]
        start = stop


def _normalize_chunk(text: str) -> str:
    text = SEPARATORS.sub(" ", unicodedata.normalize("NFC", text.replace(SOFT_HYPHEN, "")))
    return CHARACTER_WORDS.sub(r" \g<0> ", APOSTROPHES.sub("'", text))
