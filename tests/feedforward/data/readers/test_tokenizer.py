"""The tokenizer matches Keras's in words, ranks and rows, except for the documented differences."""

import itertools
import re
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedforward.core.errors import DataError
from feedforward.data.readers import tokenizer
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.readers.tokenizer import FILTERS, Vocabulary


def split(text: str | bytes) -> list[str]:
    """Split a text as Keras's text_to_word_sequence does, except for the tokenizer's documented differences."""
    if isinstance(text, bytes):
        text = tokenizer.decode(text)
    text = tokenizer.normalize(text.lower()).encode("utf-8", "replace").decode()
    return [word for word in text.translate(str.maketrans(dict.fromkeys(FILTERS, " "))).split(" ") if word]


def terms(text: str | bytes, ngrams: int) -> list[str]:
    """Return the words of a text and, if ngrams is 2, the pairs of neighboring words."""
    words = split(text)
    return words + [" ".join(pair) for pair in itertools.pairwise(words)] * (ngrams - 1)


def count_terms(texts: list, ngrams: int = 1) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        for term in terms(text, ngrams):
            counts[term] = counts.get(term, 0) + 1
    return counts


def rank_terms(texts: list, num_words: int, ngrams: int = 1) -> list[str]:
    """Rank the words 1, 2, … by frequency; keep those whose index, rank + 3, is below num_words."""
    order = sorted(count_terms(texts, ngrams).items(), key=lambda item: (-item[1], item[0]))
    return [word for rank, (word, _) in enumerate(order, 1) if rank + 3 < num_words]


def multi_hot(texts: list, vocabulary: list[str], columns: int) -> np.ndarray:
    index = {word: rank + 3 for rank, word in enumerate(vocabulary, 1)}
    rows = np.zeros((len(texts), columns), np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[[1, *(index.get(word, 2) for word in split(text))]] = 1
        row[[index[pair] for pair in terms(text, 2) if " " in pair and pair in index]] = 1
    return rows


# Texts of a few words, so that words repeat, and texts of arbitrary characters, many of them unusual
unusual_characters = st.sampled_from(
    [*" \t\n\r\0\x0b\u00a0\u2028'-.<>AaİıßẞΣσςKÅÉé’“…\u00ad", "א", "🙂", "ﬁ", "\u0301", "\u0085"]
)
any_text = st.one_of(
    st.lists(st.sampled_from(["the", "The", "film", "film's", "don't", "a", "-", "br", "/><br", "ÉTÉ", "été"])).map(
        " ".join
    ),
    st.text(st.one_of(unusual_characters, st.characters())),
    st.binary(max_size=30),
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(any_text, max_size=8),
    st.lists(any_text, max_size=5),
    st.integers(5, 40),
    st.sampled_from([1, 40, 2**22]),
    st.sampled_from([1, 2]),
)
@example(["half a pair \ud83d of surrogates"], [""], 9, 1, 1)
def test_words_counts_ranks_and_rows_match_keras(train, test, num_words, batch_bytes, ngrams):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "BATCH_BYTES", batch_bytes)
        counts = tokenizer.count(train, ngrams)
        vocabulary = tokenizer.rank(counts, num_words)
        rows = tokenizer.encode(train + test, vocabulary)
    assert dict(zip(*counts.to_pydict().values(), strict=True)) == count_terms(train, ngrams)
    expected = rank_terms(train, num_words, ngrams)
    assert list(vocabulary.words) == expected
    assert rows.indices.dtype == np.uint16
    np.testing.assert_array_equal(rows.dense(), multi_hot(train + test, expected, num_words))
    for start, stop in zip(rows.indptr, rows.indptr[1:], strict=False):
        assert (np.diff(rows.indices[start:stop].astype(int)) > 0).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(any_text, min_size=1, max_size=8), st.sampled_from([1, 2]))
def test_a_text_is_encoded_the_same_alone_and_in_a_batch(texts, ngrams):
    vocabulary = Vocabulary(tuple(rank_terms(texts, 20, ngrams)), 20)
    batch = tokenizer.encode(texts, vocabulary)
    for row, text in enumerate(texts):
        single = tokenizer.encode([text], vocabulary)
        np.testing.assert_array_equal(single.indices, batch.rows(row, row + 1).indices)


@pytest.mark.slow
def test_reference_implementation_of_these_tests_matches_keras():
    from keras.src.legacy.preprocessing.text import Tokenizer, text_to_word_sequence

    texts = [
        "A film, <br /><br />a FILM! It's (really)\tgood\ngood..",
        "ÉTÉ Σίσυφος İstanbul x y \0",
        "",
    ]
    assert [text_to_word_sequence(text) for text in texts] == [split(text) for text in texts]
    keras_tokenizer = Tokenizer()
    keras_tokenizer.fit_on_texts(texts)
    assert dict(keras_tokenizer.word_counts) == count_terms(texts)
    assert FILTERS.startswith(keras_tokenizer.filters)


def test_indices_follow_the_convention_of_keras():
    texts = ["the the the film film a"]
    vocabulary = tokenizer.rank(tokenizer.count(texts), 7)
    assert vocabulary.words == ("the", "film", "a")  # ranks 1 to 3, columns 4 to 6
    rows = tokenizer.encode(["The!", "a film", "a bad film", ""], vocabulary)
    assert [row.tolist() for row in np.split(rows.indices, rows.indptr[1:-1])] == [[1, 4], [1, 5, 6], [1, 2, 5, 6], [1]]


def test_known_words_without_a_column_are_encoded_like_unknown_ones():
    vocabulary = tokenizer.rank(tokenizer.count(["the the film"]), 5)
    assert vocabulary.words == ("the",)  # of 5 columns, only column 4 represents a word
    assert tokenizer.encode(["the film"], vocabulary).indices.tolist() == [1, 2, 4]


def test_equally_frequent_words_are_ranked_by_their_characters():
    assert tokenizer.rank(tokenizer.count(["b a é z B A"]), 99).words == ("a", "b", "z", "é")


def test_words_are_split_at_all_whitespace():
    text = "one\u00a0word two\u2003words three\rlines four\u2028pages \ufefffive\x0bsix\x0cseven\x1feight\x85nine"
    expected = "one word two words three lines four pages five six seven eight nine"
    assert set(tokenizer.count([text])["word"].to_pylist()) == set(expected.split())


def test_characters_of_languages_without_spaces_are_words():
    assert set(tokenizer.count(["这家餐馆很好。good"])["word"].to_pylist()) == {*"这家餐馆很好", "good"}


def test_texts_in_windows_encodings_are_decoded():
    assert tokenizer.decode("größe".encode("cp1252")) == tokenizer.decode("größe".encode("utf-16")) == "größe"
    assert tokenizer.count(["good film".encode("utf-16-le")])["word"].to_pylist() == ["good", "film"]


@pytest.mark.parametrize("text", ["Don't", "Don’t", "Don´t", "‘Don’t’", "Don\x92t"])
def test_an_apostrophe_is_part_of_a_word(text):
    assert tokenizer.count([text])["word"].to_pylist() == ["don't"]


@pytest.mark.proves("Decomposed texts, as macOS and PDF files contain them, have the same words as composed ones")
@pytest.mark.parametrize(
    "text", ["Käse WÜRZEN café Ångström J̌", "Ελληνικά Й", "Việt", "한국어 가각", "ক্যো கொ", "\u0958लम"]
)
def test_decomposed_texts_have_the_words_of_composed_ones(text):
    forms = {text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))}
    assert len(forms) > 1
    words = unicodedata.normalize("NFC", text.lower()).split()
    assert [TextEncoder.split(form) for form in forms] == [words] * len(forms)
    assert [set(tokenizer.count([form])["word"].to_pylist()) for form in forms] == [set(words)] * len(forms)


@pytest.mark.proves("Quotation marks, dashes and other punctuation of many languages separate words")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("der „Käse“ im »Ofen« – ‚Zwiebel‘…", "der käse im ofen zwiebel"),
        ("“good”, ‘not’ bad—really; the dogs’ well‑known film", "good not bad really the dogs well known film"),
        ("\x93good\x94 film\x97a hit", "good film a hit"),  # Windows-1252, read as Latin-1
        ("¿Cómo? ¡No! « le film »", "cómo no le film"),
        ("col·lecció l’été צה״ל", "col·lecció l'été צה״ל"),  # punctuation within words
        ("قال، نعم؛ لا؟ تم۔ \u200fكتاب\u200f", "قال نعم لا تم كتاب"),
        ("यह अच्छी है। वह॥", "यह अच्छी है वह"),
        ("ሰላም፡ዓለም።", "ሰላም ዓለም"),
        ("Zu\u00adcker", "zucker"),  # with a soft hyphen
        ("Τι είναι;", "τι είναι"),
        ("很好「好」・", "很 好 好"),
    ],
)
def test_punctuation_of_other_languages_separates_words(text, words):
    assert TextEncoder.split(text) == words.split()
    assert set(tokenizer.count([text])["word"].to_pylist()) == set(words.split())


# Middle dot of Catalan, accents of Armenian, marks of Hebrew abbreviations, N'Ko and Samaritan (rare), a vowel of
# Tibetan, words of Burmese, syllable marks of Mongolian
WITHIN_WORDS = "\u00b7\u055a-\u055c\u055e\u055f\u05f3\u05f4\u07f7-\u085e\u0f85\u104c-\u104f\u1806\u1807\u180a"


def test_all_punctuation_of_common_languages_is_a_separator_except_within_words():
    blocks = (*range(0x80, 0x1680), *range(0x17D4, 0x1900), *range(0x2000, 0x2070), *range(0x2E00, 0x3100))
    characters = [chr(code) for code in (*blocks, *range(0xFE10, 0xFF70))]
    marks = [mark for mark in characters if unicodedata.category(mark)[0] in "PZ"]
    within = [mark for mark in marks if mark in unicodedata.normalize("NFD", tokenizer.normalize(f"א{mark}א"))]
    assert within == [mark for mark in marks if re.match(f"[{WITHIN_WORDS}]", mark)]


def test_no_chunk_begins_with_a_character_that_is_combined_with_those_before():
    for character in map(chr, range(sys.maxunicode + 1)):
        if tokenizer._FIRST_OF_CHUNK.match(f"a{character}", 1):
            first = unicodedata.normalize("NFD", character)[0]
            assert unicodedata.combining(first) == 0
            assert not 0x1160 <= ord(first) <= 0x11FF
            assert unicodedata.category(first)[0] != "M"


SHORT_WORDS = (
    "don’t",
    "‘a’",
    "a\u0301\u0323",
    "a\u0323\u0301",
    "it´s",
    "Zu\u00adc",
    "漢",
    "한",
    "\u1112\u1161\u11ab",
    "ক\u09c7\u09be",
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(SHORT_WORDS), max_size=50).map(" ".join), st.integers(80, 100))
def test_words_do_not_depend_on_where_a_text_is_divided_into_chunks(text, size):
    whole = tokenizer._normalize_chunk(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "CHUNK_CHARACTERS", size)
        assert tokenizer.normalize(text) == whole


@pytest.mark.parametrize("text", ["\u0301\u0316" * 50_000, "’" * 100_000, "\u1161" * 100_000])
def test_no_chunk_of_a_text_without_letters_is_long(text):
    chunks = [*tokenizer._chunks(text)]
    assert "".join(chunks) == text
    assert max(map(len, chunks)) <= 1.2 * tokenizer.CHUNK_CHARACTERS


def test_counts_of_several_parts_are_added():
    parts = [["a b", "b c"], ["c c"], [""]]
    total = tokenizer.total(map(tokenizer.count, parts))
    assert dict(zip(*total.to_pydict().values(), strict=True)) == {"a": 1, "b": 2, "c": 3}


def test_word_pairs_do_not_cross_texts_and_unknown_pairs_set_no_column():
    counts = tokenizer.count(["not good", "film", "not good"], 2)
    vocabulary = tokenizer.rank(counts, 8)
    assert vocabulary.words == ("good", "not", "not good", "film")
    assert tokenizer.facts(counts) == {"distinct_words": 3, "distinct_pairs": 1}
    rows = tokenizer.encode(["Not, good!", "good not", "not"], vocabulary)
    assert [row.tolist() for row in np.split(rows.indices, rows.indptr[1:-1])] == [[1, 4, 5, 6], [1, 4, 5], [1, 5]]


def test_encoding_no_texts_gives_no_rows():
    assert tokenizer.encode([], Vocabulary(("the",), 9)).shape == (0, 9)
    assert tokenizer.count([]).num_rows == 0


def test_nul_right_to_left_text_and_invalid_utf8_are_encoded():
    texts = [b"a\0b c", "שלום עולם".encode(), b"caf\xe9 \xff\xff"]
    distinct = set(tokenizer.count(texts)["word"].to_pylist())
    assert distinct == {"a\0b", "c", "שלום", "עולם", "café", "ÿÿ"}


def test_spaces_are_added_around_each_character_of_a_text_of_several_chunks():
    assert tokenizer.CHUNK_CHARACTERS < 20_000
    assert tokenizer.normalize("漢" * 20_000) == " 漢 " * 20_000


def test_a_megabyte_of_text_and_a_text_without_spaces_are_encoded():
    rows = tokenizer.encode(["film " * 200_000, "x" * 2**20], Vocabulary(("film",), 9))
    assert [row.tolist() for row in np.split(rows.indices, rows.indptr[1:-1])] == [[1, 4], [1, 2]]


def test_a_vocabulary_of_65536_columns_is_encoded():
    vocabulary = Vocabulary(tuple(map(str, range(65_532))), 65_536)
    assert tokenizer.encode(["a", "b"], vocabulary).indices.tolist() == [1, 2, 1, 2]
    assert tokenizer.encode(["65531"], vocabulary).indices.tolist() == [1, 65_535]


def test_words_of_a_vocabulary_may_contain_unicode_line_separators(tmp_path):
    (tmp_path / "vocabulary.txt").write_bytes("a\rb\n\u2028\nc\0d\n".encode())
    assert tokenizer.load_vocabulary(tmp_path / "vocabulary.txt", 7) == Vocabulary(("a\rb", "\u2028", "c\0d"), 7)


def test_a_vocabulary_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "vocabulary.txt").write_bytes(b"a\nb\nc\n")
    with pytest.raises(DataError, match="3 words do not fit into 6 columns"):
        tokenizer.load_vocabulary(tmp_path / "vocabulary.txt", 6)
    (tmp_path / "vocabulary.txt").write_bytes(b"\xff\n")
    for name in ("vocabulary.txt", "missing.txt"):
        with pytest.raises(DataError, match="dvc repro vectorize"):
            tokenizer.load_vocabulary(tmp_path / name, 7)


def test_a_vocabulary_of_single_characters_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer.rank(tokenizer.count(["这部电影很好看", "演员的表演很差"]), 100)
    [line] = caplog.messages
    assert "12 of 12 words are single characters" in line
    caplog.clear()
    tokenizer.rank(tokenizer.count(["a good film with a 好 in it, and then some more words of English"]), 100)
    assert not caplog.messages
