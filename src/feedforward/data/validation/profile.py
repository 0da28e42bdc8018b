"""The profile of a vectorized dataset (one row per sample), and statistics of the profile."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feedforward.config.schema import Dataset, Expectations
from feedforward.config.tasks import TASKS
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, ValidationFailed
from feedforward.reports import html_page

SPLITS = ("train", "test")
TEXT_COLUMNS, NUMBER_COLUMNS = ("split", "digest"), ("label", "raw_length", "ones", "minimum", "maximum")
BINS = 30  # maximum number of bins of a histogram; one more if the first bin starts below the lowest value


def load(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The profile, with the columns that `describe` adds, and the manifest.

    Raises:
        DataError: a file cannot be read, or the two do not match.
        ValidationFailed: a column is missing or not numeric.
    """
    remedy = "run `dvc repro vectorize`"
    profile = folder / "profile.parquet"
    try:
        rows = pd.read_parquet(profile)
        manifest = atomic_files.read_json(folder / "manifest.json")
        expected = {split: manifest["samples"][split] for split in SPLITS}
        manifest["data_digest"], manifest["features"]  # KeyError if one is missing
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: profile.parquet or manifest.json cannot be read ({error}); {remedy}") from None
    missing = [column for column in (*TEXT_COLUMNS, *NUMBER_COLUMNS) if column not in rows]
    if missing:
        raise ValidationFailed(f"{profile}: columns missing: {', '.join(missing)}; {remedy}")
    not_numeric = [column for column in NUMBER_COLUMNS if not pd.api.types.is_numeric_dtype(rows[column])]
    if not_numeric:
        raise ValidationFailed(f"{profile}: columns must be numeric: {', '.join(not_numeric)}; {remedy}")
    for split, samples in expected.items():
        count = int((rows["split"] == split).sum())
        if count != samples:
            raise DataError(f"{profile}: {count:,} rows of {split}, but manifest.json says {samples:,}; {remedy}")
    return describe(rows), manifest


def describe(rows: pd.DataFrame) -> pd.DataFrame:
    """The profile without its digests, with additional columns that the rules check.

    class_share: share of the sample's class (or value) in its split. missing, empty, duplicate, overlap: 0 or 1. A
    duplicate equals an earlier sample in its split; an overlap is a test sample that is also in train and is not a
    duplicate.
    """
    profile = rows.drop(columns="digest")
    raw = pd.Series(pd.factorize(rows["digest"])[0], index=rows.index)  # numbers compare 30 times faster than text
    split = rows["split"]
    profile["class_share"] = _class_share(rows)
    profile["missing"] = rows.isna().any(axis=1).astype(int)
    profile["empty"] = (rows["ones"] == 0).astype(int)
    duplicate = pd.DataFrame({"split": split, "raw": raw}).duplicated()
    profile["duplicate"] = duplicate.astype(int)
    profile["overlap"] = ((split == "test") & ~duplicate & raw.isin(raw[split == "train"])).astype(int)
    return profile


def _class_share(rows: pd.DataFrame) -> pd.Series:
    label, split = rows["label"], rows["split"]
    return label.groupby([split, label]).transform("size") / label.groupby(split).transform("size")


def without_users(rows: pd.DataFrame, collected: int, held_out: str) -> pd.DataFrame:
    """The rows with `class_share` computed without users' samples, for which it is NaN.

    rows: as returned by `load`. collected: number of users' samples in the training split. held_out: on which side the
    validation samples are, `first` or `last`; those of users are on the other (see `feedback_features.join`).
    """
    train = rows.index[rows["split"] == "train"]
    from_users = train[len(train) - collected :] if held_out == "first" else train[:collected]
    return rows.assign(class_share=_class_share(rows.drop(from_users)))


def distributions(rows: pd.DataFrame, dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Counts by class, and histograms of `ones` and `raw_length`, each by split."""
    parts = {split: rows[rows["split"] == split] for split in SPLITS}
    if any(part.empty for part in parts.values()):
        return {}
    bounds = bounds_of(dataset)
    counts = {split: label_counts(part, dataset) for split, part in parts.items()}
    labels = {"label": {"labels": list(dataset.labels), "accepted": bounds.class_share, **counts}}
    return {
        **(labels if all(counts.values()) else {}),
        "ones": _histogram({split: part["ones"] for split, part in parts.items()}, bounds.nonzero_features),
        "raw_length": _histogram({split: part["raw_length"] for split, part in parts.items()}, bounds.raw_length),
    }


def label_counts(rows: pd.DataFrame, dataset: Dataset) -> list[int]:
    """The number of samples of each class, or with each label; empty for regression."""
    answers, label_numbers = TASKS[dataset.task].answers, range(len(dataset.labels))
    if answers == "labels":
        return [int(rows[f"label_{i}"].sum()) for i in label_numbers]
    return [int((rows["label"] == i).sum()) for i in label_numbers] if answers == "class" else []


def bounds_of(dataset: Dataset) -> Expectations:
    """The expectations of a dataset, from params.yaml or derived.

    Raises:
        ValidationFailed: there are no expectations.
    """
    if dataset.expectations is None:
        raise ValidationFailed(f"{dataset.title}: has no expectations; run `dvc repro validate`")
    return dataset.expectations


def derive(rows: pd.DataFrame, dataset: Dataset, collected: int = 0) -> Expectations:
    """Derive bounds for both splits: the range of the training values, widened on either side by twice its width.

    If all values are equal, their range is widened by half the value. A class share may be as low as half the lowest or
    as high as twice the highest one. The numbers of samples and of flawed samples are those of the current data (for
    duplicates, the larger of both splits), so that further flaws are detected. collected: number of users' samples in
    the training split, which `train_samples` and `class_share` do not count (see `without_users`).
    """
    train = rows[rows["split"] == "train"]
    counts = {split: int((rows["split"] == split).sum()) for split in SPLITS}
    fetched = train[train["class_share"].notna()]
    shares = [count / max(1, len(fetched)) for count in label_counts(fetched, dataset)] or [0.0, 1.0]
    value, ones, length = (
        (float(train[low].min()), float(train[high].max()))
        for low, high in (("minimum", "maximum"), ("ones", "ones"), ("raw_length", "raw_length"))
    )
    target = None
    if TASKS[dataset.task].answers == "value":
        target = _widen((float(train["label"].min()), float(train["label"].max())))
    return Expectations(
        train_samples=(counts["train"] - collected,) * 2,
        test_samples=(counts["test"],) * 2,
        class_share=(min(shares) / 2, min(1.0, 2 * max(shares))),
        target=target,
        nonzero_features=_round_outward(_widen(ones)),
        value=_widen(value),
        raw_length=_round_outward(_widen(length)),
        empty=int(rows["empty"].sum()),
        duplicates=max(int(rows.loc[rows["split"] == split, "duplicate"].sum()) for split in SPLITS),
        overlap=int(rows["overlap"].sum()),
    )


def _widen(pair: tuple[float, float]) -> tuple[float, float]:
    # a wide margin, because a value that is rare in training may be far more extreme in the test split
    margin = 2 * (pair[1] - pair[0]) or abs(pair[0]) / 2
    return float(f"{pair[0] - margin:.4g}"), float(f"{pair[1] + margin:.4g}")


def _round_outward(pair: tuple[float, float]) -> tuple[int, int]:
    return max(0, int(pair[0])), int(pair[1]) + 1


def _histogram(values: Mapping[str, pd.Series], accepted: tuple[int, int]) -> dict[str, Any]:
    """Counts in at most BINS bins of a round width; the last bin also counts values beyond the 99.5th percentile."""
    arrays = {split: np.nan_to_num(column.to_numpy(np.float64), posinf=0, neginf=0) for split, column in values.items()}
    all_values = np.concatenate(list(arrays.values()))
    lowest, highest = int(all_values.min()), int(all_values.max())
    percentile = int(np.quantile(all_values, 0.995, method="inverted_cdf"))
    width = math.ceil(html_page.nice_step((percentile - lowest + 1) / BINS))
    first = lowest // width * width
    bins = max((percentile - first) // width + 1, 1)
    if lowest == highest:  # center a single bar
        first, bins = lowest - 2, 5
    edges = [first + width * i for i in range(bins + 1)]
    counts = {split: np.histogram(np.minimum(array, edges[-1] - 1), edges)[0] for split, array in arrays.items()}
    histogram = {split: [int(count) for count in numbers] for split, numbers in counts.items()}
    return {"edges": edges, "open_end": highest >= edges[-1], "accepted": accepted, **histogram}
