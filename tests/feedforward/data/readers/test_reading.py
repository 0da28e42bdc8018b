"""Test splits that are drawn because the data have none, and samples by their row numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import own_data
import pytest
from own_tables import Prepare

from feedforward.config.schema import RandomSplitReader
from feedforward.core import paths
from feedforward.core.errors import ParamsError
from feedforward.data import manifest
from feedforward.data.readers import reading
from feedforward.data.sources import download

SHARE = RandomSplitReader().test_share


@pytest.mark.proves("Adding samples moves an earlier one only if the hash puts its whole class into one split")
def test_a_sample_changes_its_split_only_if_the_hash_puts_its_whole_class_into_one_split() -> None:
    moved_samples = 0
    for seed in range(100):
        config = RandomSplitReader(split_seed=seed)
        labels = np.array([0] * 40 + [1] * 4 + [2] * 3 + [3] + [2, 1, 0, 3])  # the last four are added
        digests = reading.content_digests(str(k).encode() for k in range(len(labels)))
        before = set(reading.draw_test_split(digests[:-4], labels[:-4], config)[1].tolist())
        after = set(reading.draw_test_split(digests, labels, config)[1].tolist())
        moved = before ^ (after & set(range(len(labels) - 4)))
        is_test = reading._keys(digests[:-4], seed, copies_together=True) < np.uint64(SHARE * 2**64)
        assert all(len(set(is_test[labels[:-4] == labels[row]])) == 1 for row in moved)
        moved_samples += len(moved)
    assert moved_samples  # else, the loop above has tested nothing


@pytest.mark.proves("No text or image of a drawn test split is also, with the same label, in the training split")
def test_copies_of_a_sample_are_drawn_together() -> None:
    for seed in range(20):
        digests = reading.content_digests(str(k % 100).encode() for k in range(300))
        labels = np.arange(300) % 2  # a sample's label is the same as those of its copies
        train, test = reading.draw_test_split(digests, labels, RandomSplitReader(split_seed=seed))
        assert sorted([*train, *test]) == list(range(300))
        assert not {row % 100 for row in train} & {row % 100 for row in test}
        assert 30 <= len(test) <= 90


@pytest.mark.parametrize("seed", range(20))
def test_a_text_that_dominates_its_class_does_not_change_the_size_of_the_test_split(seed: int) -> None:
    contents = [b"ok"] * 400 + [str(k).encode() for k in range(600)]
    _, test = reading.draw_test_split(
        reading.content_digests(contents), np.zeros(1000, int), RandomSplitReader(split_seed=seed)
    )
    assert 80 <= len(test) <= 160
    assert test.min() >= 400


def test_a_class_whose_samples_are_all_equal_is_trained_on() -> None:
    digests, labels = reading.content_digests([b"a", b"a", b"b", b"c", b"d", b"e"]), np.array([0, 0, 1, 1, 1, 1])
    train, test = reading.draw_test_split(digests, labels, RandomSplitReader())
    assert {0, 1} <= set(train.tolist())
    assert set(labels[test]) == {1}


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (own_data.idx_folder, "idx"),
        (own_data.picture_folder, "image_folder"),
        (own_data.texts, "labeled_text"),
        (own_data.regression, "table"),
    ],
)
def test_a_row_that_does_not_exist_is_refused(
    tmp_path: Path, prepare: Prepare, write: Callable[[Path], Path], kind: str
) -> None:
    _, dataset = prepare(write(tmp_path / ("own.csv" if kind in ("labeled_text", "table") else "own")))
    assert dataset.reader.kind == kind
    files = {key: paths.raw("own") / download.stored_name(key, file) for key, file in dataset.files.items()}
    count = manifest.load("own")["samples"]["test"]
    assert len(reading.samples(dataset.reader, files, [count - 1, 0])) == 2
    for row in (count, -1):
        with pytest.raises(ParamsError) as caught:
            reading.samples(dataset.reader, files, [0, row])
        assert str(caught.value) == f"row {row}: must be from 0 to {count - 1}, because there are {count} test samples"
