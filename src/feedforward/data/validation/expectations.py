"""Rules for a dataset: each combines a Great Expectations expectation, a split, and bounds.

The bounds come from `dataset.expectations`, except those that hold for every dataset, such as: no missing measurements.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from great_expectations import expectations as gxe

from feedforward.config.schema import Dataset
from feedforward.config.tasks import TASKS
from feedforward.data.validation import profile
from feedforward.data.validation.profile import SPLITS
from feedforward.reports.html_page import number, percent, span

BOTH = "both"  # for a rule on train and test together


@dataclass(frozen=True)
class Rule:
    """An expectation of Great Expectations on a split, and how to describe it.

    kind, arguments: class and arguments of the expectation. expected, explained: what the rule requires, and what it
    checks, in words. found: describes what the rows (at least one) contain. flaws: the column whose sum is the number
    of flawed samples.
    """

    name: str
    split: str
    kind: type[Any]
    arguments: dict[str, Any]
    expected: str
    found: Callable[[pd.DataFrame], str]
    explained: str
    flaws: str = ""


def rules_of(dataset: Dataset, collected: int = 0) -> list[Rule]:
    """The rules for a dataset. collected: number of users' samples in the training split."""
    return [
        *(rule for split in SPLITS for rule in _rules_of_split(split, dataset, collected)),
        _values_rule(
            gxe.ExpectColumnDistinctValuesToEqualSet, "splits", BOTH, "split", dict(zip(SPLITS, SPLITS, strict=True)),
            f"all of {', '.join(SPLITS)}", "Samples of each split.",
        ),
        _flaw_rule(
            0, "missing measurements", BOTH, "missing",
            "Samples that lack one of the measurements on this page. Missing cells of a table do not count: they are"
            " replaced, and `feedforward describe NAME` counts them.",
        ),
        _flaw_rule(
            profile.bounds_of(dataset).overlap, "overlap", BOTH, "overlap",
            "Distinct raw test samples that are also in train; they make test results look better.", "test",
        ),
    ]  # fmt: skip


def _rules_of_split(split: str, dataset: Dataset, collected: int) -> Iterator[Rule]:
    bounds, answers = profile.bounds_of(dataset), TASKS[dataset.task].answers
    low, high = {"train": bounds.train_samples, "test": bounds.test_samples}[split]
    low, high = (low + collected, high + collected) if split == "train" else (low, high)
    yield Rule(
        "samples", split, gxe.ExpectTableRowCountToBeBetween, {"min_value": low, "max_value": high},
        span(low, high), lambda rows: number(len(rows)), "Number of samples.",
    )  # fmt: skip
    if answers == "class":
        column, known, names = "label", dict(enumerate(dataset.labels)), ", ".join(dataset.labels)
        yield _values_rule(
            gxe.ExpectColumnDistinctValuesToBeInSet, "labels", split, column, known, f"only {names}", "No other labels."
        )
        if split == "train" or bounds.class_share[0] > 0:
            expected = f"all of {names}{', because class_share must be above 0' if split == 'test' else ''}"
            explained = "Samples of each class; all classes must occur."
            yield _values_rule(
                gxe.ExpectColumnDistinctValuesToContainSet, "classes", split, column, known, expected, explained
            )
        others = f", not counting {number(collected)} samples of users" if split == "train" and collected else ""
        yield _range_rule(
            bounds.class_share, "class share", split, "class_share", f"Share of each class{others}.", percent
        )
    elif answers == "labels":
        for index, label in enumerate(dataset.labels):
            yield _mean_rule(bounds.class_share, f"share of {label}", split, f"label_{index}")
    elif bounds.target is not None:
        yield _range_rule(bounds.target, "target", split, "label", "Value to predict, in the units that training uses.")
    yield _range_rule(bounds.value, "lowest value", split, "minimum", "Smallest feature of each sample.")
    yield _range_rule(bounds.value, "highest value", split, "maximum", "Largest feature of each sample.")
    yield _range_rule(
        bounds.nonzero_features, "non-zero features", split, "ones", "Features of each sample that are not zero."
    )
    yield _range_rule(bounds.raw_length, "raw length", split, "raw_length", "Bytes of each raw sample.")
    yield _flaw_rule(bounds.empty, "empty", split, "empty", "Samples without any non-zero feature.")
    yield _flaw_rule(
        bounds.duplicates, "duplicates", split, "duplicate",
        "Samples whose raw bytes equal those of an earlier sample in the same split.",
    )  # fmt: skip


def _range_rule(
    bounds: tuple[float, float], name: str, split: str, column: str, explained: str,
    form: Callable[[float], str] = number,
) -> Rule:  # fmt: skip
    """The rule that every value of the column is within the bounds."""

    def found(rows: pd.DataFrame) -> str:
        values = rows[column].dropna()
        outside = int((~values.between(*bounds)).sum())
        text = span(values.min(), values.max(), form)
        return f"{text}; outside in {_count(outside, len(rows))}" if outside else text

    arguments = {"column": column, "min_value": bounds[0], "max_value": bounds[1]}
    return Rule(
        name, split, gxe.ExpectColumnValuesToBeBetween, arguments, span(*bounds, form), found, explained
    )  # fmt: skip


def _mean_rule(bounds: tuple[float, float], name: str, split: str, column: str) -> Rule:
    """The rule that the mean of a column of zeros and ones, which is a share, is within the bounds."""
    return Rule(
        name, split, gxe.ExpectColumnMeanToBeBetween,
        {"column": column, "min_value": bounds[0], "max_value": bounds[1]}, span(*bounds, percent),
        lambda rows: percent(float(rows[column].mean())), "Share of the samples with this label.",
    )  # fmt: skip


def _flaw_rule(bound: int, name: str, split: str, column: str, explained: str, flawed_split: str = "") -> Rule:
    """The rule that at most `bound` samples have a 1, which marks a flaw, in a column of zeros and ones.

    flawed_split: the only split in which samples can have this flaw, if any.
    """

    def found(rows: pd.DataFrame) -> str:
        samples = int((rows["split"] == flawed_split).sum()) if flawed_split else len(rows)
        return _count(int(rows[column].sum()), samples, f" of {flawed_split}" if flawed_split else "")

    return Rule(
        name, split, gxe.ExpectColumnSumToBeBetween, {"column": column, "min_value": 0, "max_value": bound},
        f"at most {number(bound)}" if bound else "none", found, explained, flaws=column,
    )  # fmt: skip


def _values_rule(
    kind: type[Any], name: str, split: str, column: str, known: dict[Any, str], expected: str, explained: str
) -> Rule:  # fmt: skip
    """A rule about the set of values in a column. known: value → its name in messages."""

    def found(rows: pd.DataFrame) -> str:
        counts: dict[Any, int] = rows[column].value_counts(sort=False).to_dict()
        others = sorted(value for value in counts if value not in known)
        named = [f"{text}: {number(counts.get(value, 0))}" for value, text in known.items()]
        return ", ".join([*named, *(f"unknown {value}: {number(counts[value])}" for value in others)])

    arguments = {"column": column, "value_set": list(known)}
    return Rule(name, split, kind, arguments, expected, found, explained)


def _count(count: int, samples: int, suffix: str = "") -> str:
    return f"{number(count)} ({percent(count / samples)}{suffix})" if count else "none"
