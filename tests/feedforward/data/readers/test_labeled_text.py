"""The reader of labeled texts: labels from class folders, multi-hot rows, shuffling, and damaged files."""

import logging

import numpy as np
import pytest
from raw_files import REVIEWS, sha256

from feedforward.config.schema import TextReader
from feedforward.core.errors import DataError
from feedforward.data import collected_files
from feedforward.data.readers import reading


def config(**changes: object) -> TextReader:
    values = {"kind": "labeled_text", "file": "set.tar.gz", "train": "set/train", "test": "set/test"}
    return TextReader(**{**values, "classes": ("neg", "pos"), "num_words": 12, "shuffle_seed": None, **changes})


@pytest.fixture
def store(tmp_path):
    """A function that stores texts as `fetch` stores an archive, and returns the path of each file of the dataset."""

    def put(reviews: dict[str, bytes]) -> dict:
        path = tmp_path / "set.parquet"
        with path.open("wb") as file:
            collected_files.write(list(reviews), [len(text) for text in reviews.values()], reviews.__getitem__, file)
        return {"set.tar.gz": path}

    return put


def test_a_word_of_a_million_letters_is_shortened_for_display(store, tmp_path):
    reviews = REVIEWS | {"set/train/pos/9_9.txt": b"x" * 2**20 + b" fun"}
    content = reading.read(config(), store(reviews))
    (tmp_path / "vocabulary.txt").write_text("".join(f"{word}\n" for word in content.vocabulary))
    name = reading.column_names(config(), tmp_path)
    displayed_words = {name(column) for column in range(1, 4 + len(content.vocabulary))}
    assert "x" * reading.LONGEST_NAME + "…" in displayed_words
    assert max(map(len, displayed_words)) == reading.LONGEST_NAME + 1


def test_each_column_has_its_own_name(tmp_path):
    (tmp_path / "vocabulary.txt").write_bytes(b"good\nb\rad\n")  # only a line break ends a word
    name = reading.column_names(config(), tmp_path)
    displayed = [name(column) for column in range(7)]
    assert displayed == ["(unused)", "(start)", "(dropped words)", "(unused)", "good", "b\rad", "(unused)"]


def test_reviews_become_multi_hot_rows_with_the_label_of_their_folder(store):
    content = reading.read(config(), store(REVIEWS))
    train, test = content.parts
    # counts in the training split alone: bad 3, a 2, film 2, good 2; `and`, `fun` and `long` occur once
    assert content.vocabulary == ["bad", "a", "film", "good", "and", "fun", "long"]
    assert content.facts == {"distinct_words": 7}
    assert train.split.labels.tolist() == [0, 0, 1]
    assert test.split.labels.tolist() == [0, 1]
    assert train.split.labels.dtype == np.uint8
    rows = train.split.features
    assert [row.tolist() for row in np.split(rows.indices, rows.indptr[1:-1])] == [
        [1, 4, 5, 6],
        [1, 4, 8, 10],
        [1, 5, 6, 7, 9],
    ]
    assert test.split.features.dense().nonzero()[1].tolist() == [1, 4, 1, 2]
    assert train.split.features.shape == (3, 12)


def test_profile_describes_the_raw_bytes(store):
    for part in reading.read(config(), store(REVIEWS)).parts:
        texts = [text for name, text in REVIEWS.items() if f"/{part.name}/" in name]
        assert part.raw_lengths.tolist() == [len(text) for text in texts]
        assert [digest.tobytes().hex() for digest in part.digests] == [sha256(text) for text in texts]


def test_a_seed_shuffles_only_the_training_texts_together_with_their_properties(store, monkeypatch):
    monkeypatch.setattr(collected_files, "ROW_GROUP_BYTES", 100)  # several row groups
    reviews = {f"set/train/{'np'[i % 2]}/{i:02}.txt": f"word{i} film".encode() for i in range(40)}
    reviews = dict(sorted(reviews.items())) | {"set/test/n/0.txt": b"film", "set/test/p/1.txt": b"word1"}
    files = store(reviews)
    ordered, ordered_test = reading.read(config(classes=("n", "p"), num_words=99), files).parts
    shuffled, shuffled_test = reading.read(config(classes=("n", "p"), num_words=99, shuffle_seed=5), files).parts
    order = np.random.default_rng(5).permutation(40)
    np.testing.assert_array_equal(shuffled.split.features.dense(), ordered.split.features.dense()[order])
    np.testing.assert_array_equal(shuffled.split.labels, ordered.split.labels[order])
    np.testing.assert_array_equal(shuffled.raw_lengths, ordered.raw_lengths[order])
    np.testing.assert_array_equal(shuffled.digests, ordered.digests[order])
    assert shuffled_test.split.digest() == ordered_test.split.digest()


def test_labels_follow_the_order_of_classes(store):
    train, _ = reading.read(config(classes=("pos", "neg")), store(REVIEWS)).parts
    assert train.split.labels.tolist() == [1, 1, 0]


def test_other_folders_are_skipped(store):
    reviews = REVIEWS | {"set/train/unsup/0.txt": b"unheard", "set/other/neg/0.txt": b"unheard"}
    assert "unheard" not in reading.read(config(), store(reviews)).vocabulary


def test_folders_inside_class_folders_belong_to_the_class(store):
    train, _ = reading.read(config(), store(REVIEWS | {"set/train/pos/deep/0.txt": b"nested"})).parts
    assert train.split.labels.tolist() == [0, 0, 1, 1]


def test_texts_that_are_not_utf8_are_decoded_and_reported(store, caplog):
    caplog.set_level(logging.WARNING)
    reviews = REVIEWS | {"set/train/pos/3_9.txt": b"caf\xe9", "set/train/pos/4_9.txt": b"caf\xe9 \xff"}
    content = reading.read(config(num_words=99), store(reviews))
    assert {"café", "ÿ"} <= set(content.vocabulary)
    assert [len(part.split) for part in content.parts] == [5, 2]
    assert "train: 2 texts are not UTF-8 (the first: set/train/pos/3_9.txt)" in caplog.text


def test_an_empty_text_sets_only_the_start_column(store):
    train, _ = reading.read(config(), store({"set/train/neg/0.txt": b"", **REVIEWS})).parts
    assert train.split.features.dense().sum(axis=1)[0] == 1
    assert train.raw_lengths[0] == 0


def test_a_split_without_texts_is_rejected(store):
    only_train = {name: text for name, text in REVIEWS.items() if "train" in name}
    with pytest.raises(DataError, match="has no text in the class folders set/test/neg, set/test/pos; check `reader`"):
        list(reading.read(config(), store(only_train)).parts)
    with pytest.raises(DataError, match="no text in the class folders other/"):
        reading.read(config(train="other"), store(REVIEWS))


def test_error_for_a_damaged_or_missing_file_names_it_and_the_remedy(store):
    files = store(REVIEWS)
    path = files["set.tar.gz"]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"set\.parquet: cannot be read .*fetch again"):
        reading.read(config(), files)
    path.unlink()
    with pytest.raises(DataError, match=r"set\.parquet: cannot be read .*fetch again"):
        reading.read(config(), files)
