"""Test splits that are drawn because the data have none."""

import numpy as np
import pytest

from feedforward.config.schema import RandomSplitReader
from feedforward.data.readers import reading

SHARE = RandomSplitReader().test_share


@pytest.mark.proves("Adding samples moves another one only in a class that the hash puts into one split as a whole")
def test_a_sample_changes_its_split_only_in_a_class_that_its_hash_puts_into_one_split() -> None:
    moved_samples = 0
    for seed in range(100):
        config = RandomSplitReader(split_seed=seed)
        labels = np.array([0] * 40 + [1] * 4 + [2] * 3 + [3] + [2, 1, 0, 3])
        digests = reading.content_digests(str(k).encode() for k in range(len(labels)))
        before = set(reading.draw_test_split(digests[:-4], labels[:-4], config)[1].tolist())
        after = set(reading.draw_test_split(digests, labels, config)[1].tolist())
        moved = before ^ (after & set(range(len(labels) - 4)))
        is_test = reading._keys(digests[:-4], seed) < np.uint64(SHARE * 2**64)
        assert all(len(set(is_test[labels[:-4] == labels[row]])) == 1 for row in moved)
        moved_samples += len(moved)
    assert moved_samples, "the exception that docs/datasets.md describes exists"
