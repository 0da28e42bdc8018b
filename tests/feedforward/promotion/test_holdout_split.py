"""Which of today's validation samples are new to holdout models that were trained on an earlier split."""

import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import registered
from registered import NAME
from small_data import HELD_OUT, TRAIN

from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError
from feedforward.data import manifest
from feedforward.promotion import holdout_split
from feedforward.promotion.holdout_split import HoldoutSplit


class Model:
    """A holdout model, as far as its training samples are concerned."""

    def __init__(self, split: HoldoutSplit | None) -> None:
        self.training_samples = split.training_samples if split else None


def split_of(params: Params, digests: list[str] | None = None) -> HoldoutSplit:
    """Today's split. digests: replace those of the training samples first."""
    if digests is not None:
        table = pa.table({"split": ["train"] * len(digests), "digest": digests})
        pq.write_table(table, paths.vectorized(NAME) / "profile.parquet")
    return holdout_split.of_today(NAME, params.datasets[NAME])


def new_samples(split: HoldoutSplit, *models: Any) -> list[int]:
    return np.flatnonzero(split.unseen(models)).tolist()


DIGESTS = [f"{k:08x}" + "0" * 56 for k in range(TRAIN)]
ALL = list(range(HELD_OUT))


def test_samples_are_recognized_wherever_they_are_in_the_new_data(params: Params) -> None:
    model = Model(split_of(params, DIGESTS))
    assert new_samples(split_of(params), model) == ALL
    assert new_samples(split_with_validation(params, "last", HELD_OUT), model) == []
    assert new_samples(split_with_validation(params, "first", HELD_OUT + 6), model) == ALL
    reversed_rows = split_of(params, DIGESTS[::-1])
    assert new_samples(reversed_rows, model) == []
    other = split_of(params, [f"{k + TRAIN - 6:08x}" + "0" * 56 for k in range(TRAIN)])
    assert new_samples(other, model) == ALL[6:], "the other samples were not in the earlier data"
    assert new_samples(other, model, Model(None)) == [], "nothing is known about the second model"


def split_with_validation(params: Params, take: str, samples: int) -> HoldoutSplit:
    return split_of(registered.with_validation(params, take, samples))


def test_a_validation_sample_with_a_duplicate_in_todays_training_samples_counts_as_new(params: Params) -> None:
    model = Model(split_of(params, DIGESTS))
    duplicates = split_of(params, [DIGESTS[HELD_OUT], *DIGESTS[1:]])
    assert new_samples(duplicates, model) == ALL


def test_a_damaged_profile_is_reported(params: Params) -> None:
    with pytest.raises(DataError, match=r"must have one row per sample of `train` \(90\), got 89; run `dvc repro"):
        _ = split_of(params, DIGESTS[1:]).training_samples
    with pytest.raises(DataError, match="cannot be read"):
        _ = split_of(params, ["x" * 64] * TRAIN).training_samples


@pytest.mark.proves("No model is promoted by the samples of some classes alone because a file is sorted by class")
def test_held_out_samples_that_lack_a_class_because_of_sorting_are_refused(params: Params) -> None:
    folder, content = paths.vectorized(NAME), manifest.load(NAME)
    split = manifest.load_split(NAME, "train")
    by_class = split.take(np.argsort(split.labels, kind="stable"))
    shutil.rmtree(folder / "train")
    by_class.save(folder / "train")
    atomic_files.write_json(folder / "manifest.json", content | {"train": by_class.digest()})
    with pytest.raises(DataError) as caught:
        holdout_split.check_classes(split_of(params), params.datasets[NAME])
    assert f"first {HELD_OUT} training samples, which are held out, lack glad;" in str(caught.value)
    assert "`reader.shuffle_seed: 0`" in str(caught.value)
    few = split_with_validation(params, "first", 12)  # even random samples may lack a class if there are so few
    assert set(few.held_out.labels.tolist()) == {0}
    holdout_split.check_classes(few, params.datasets[NAME])
