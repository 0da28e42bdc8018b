"""The profile of vectorized data: derived columns and histograms, and damaged or missing files."""

import numpy as np
import pandas as pd
import profile_rows
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedforward.core.errors import DataError, ValidationFailed
from feedforward.data.validation import profile

DATASET = profile_rows.dataset()
texts = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


def table(train: list[str], test: list[str]) -> pd.DataFrame:
    split = ["train"] * len(train) + ["test"] * len(test)
    other_columns = {"label": 0, "raw_length": 1, "ones": 1, "minimum": 0.0, "maximum": 1.0}
    return pd.DataFrame(
        {"split": split, **other_columns, "digest": [profile_rows.digest(text) for text in train + test]}
    )


@settings(max_examples=40, deadline=None)
@given(texts, texts)
def test_duplicates_and_overlap_match_set_operations(train: list[str], test: list[str]) -> None:
    described_rows = profile.describe(table(train, test))
    duplicates = described_rows.groupby("split")["duplicate"].sum()
    assert duplicates["train"] == len(train) - len(set(train))
    assert duplicates["test"] == len(test) - len(set(test))
    assert described_rows["overlap"].sum() == len(set(train) & set(test))


def test_class_shares_of_a_split_sum_to_one():
    rows = profile_rows.rows()
    rows.loc[:9, "label"] = 0
    described_rows = profile.describe(rows)
    per_class = described_rows.groupby(["split", "label"])["class_share"].first()
    assert per_class.groupby("split").sum().tolist() == pytest.approx([1.0, 1.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200), st.lists(st.integers(0, 10**6), min_size=1))
@example([0], [62])
def test_a_histogram_counts_every_sample_once(train: list[int], test: list[int]) -> None:
    rows = table([str(i) for i in range(len(train))], [str(i) for i in range(len(test))])
    rows["ones"] = train + test
    histogram = profile.distributions(rows, DATASET)["ones"]
    assert (sum(histogram["train"]), sum(histogram["test"])) == (len(train), len(test))
    assert len(histogram["train"]) == len(histogram["edges"]) - 1 <= profile.BINS + 1
    assert np.all(np.diff(histogram["edges"]) > 0)
    assert histogram["open_end"] == (max(train + test) >= histogram["edges"][-1])


def test_no_distributions_are_returned_if_a_split_has_no_samples():
    assert profile.distributions(table(["a"], []), DATASET) == {}


def test_error_for_a_missing_or_damaged_file_names_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read.*dvc repro vectorize"):
        profile.load(tmp_path)
    folder = profile_rows.save(profile_rows.rows(), tmp_path)
    (folder / "profile.parquet").write_bytes((folder / "profile.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cannot be read.*dvc repro vectorize"):
        profile.load(folder)


@pytest.mark.parametrize("manifest", ["", "[]", '{"samples": {"train": 40}}', '{"samples": {"train": 40, "test": 20}}'])
def test_a_damaged_or_incomplete_manifest_is_reported(tmp_path, manifest):
    folder = profile_rows.save(profile_rows.rows(), tmp_path)
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(DataError, match=r"manifest\.json cannot be read"):
        profile.load(folder)


def test_a_profile_that_does_not_match_the_manifest_is_rejected(tmp_path):
    folder = profile_rows.save(profile_rows.rows(), tmp_path, samples={"train": 41, "test": 20})
    with pytest.raises(DataError, match=r"40 rows of train, but manifest.json says 41"):
        profile.load(folder)


@pytest.mark.parametrize("column", ["split", "ones", "digest"])
def test_a_missing_column_fails_validation(tmp_path, column):
    folder = profile_rows.save(profile_rows.rows().drop(columns=column), tmp_path)
    with pytest.raises(ValidationFailed, match=f"columns missing: {column}; run `dvc repro vectorize`"):
        profile.load(folder)


def test_text_instead_of_numbers_fails_validation(tmp_path):
    folder = profile_rows.save(profile_rows.rows().assign(ones="many"), tmp_path)
    with pytest.raises(ValidationFailed, match="columns must be numeric: ones"):
        profile.load(folder)
