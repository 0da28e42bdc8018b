"""Measure the latest champions on current data: the validation split, and accepted user-submitted samples.

On the validation split, a version is represented by its holdout models, as in a promotion, because the served network
was trained on that split. On accepted user-submitted samples that it was not trained on, the served network itself is
measured.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, NothingToServe, TrackingError
from feedforward.data import encoded_again, feedback, feedback_decisions, feedback_features
from feedforward.data import manifest as manifest_file
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import Split
from feedforward.promotion import (
    compatibility,
    evaluation,
    history,
    holdout_split,
    model_card,
    policy,
    version_bundles,
)
from feedforward.promotion.bundle import Servable
from feedforward.promotion.holdout_split import HoldoutSplit
from feedforward.promotion.policy import Evidence
from feedforward.reports import backtest_figure
from feedforward.tracking import model_versions, settings
from feedforward.tracking.model_version import Version

VALIDATION, FEEDBACK = "validation split", "accepted samples from users"
NOTES = {
    VALIDATION: "The gate chose the champion on this split, so differences in its favor are optimistic.",
    FEEDBACK: "Users mostly correct wrong predictions, so the version that made them is at a disadvantage here.",
}


Interval = tuple[float, float | None, float | None]  # mean, low, high; low and high are None if unknown


@dataclass(frozen=True)
class Score:
    """How a version performs on one set of samples.

    since: when the version last became champion. difference: its loss minus the champion's on the same samples; None
    for the champion itself. models: number of networks that were measured.
    """

    version: int
    since: str
    loss: Interval
    accuracy: Interval | None
    r2: float | None
    difference: Interval | None
    models: int


@dataclass(frozen=True)
class Comparison:
    """The results of the versions on one set of samples, in the order in which they last became champion.

    samples: the size of the set, including samples that are left out for some versions (see Backtest.remarks).
    """

    title: str
    samples: int
    note: str
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Backtest:
    """The results of a backtest.

    skipped: version → why it was not measured, or not on the validation split. remarks: one line for each version for
    which validation samples are left out, because its holdout models were trained on them, and for each version that
    cannot be measured on user-submitted samples.

    confidence: level of each loss interval, and simultaneous level of all difference intervals for one set of samples.
    """

    dataset: str
    champion: int
    confidence: float
    comparisons: tuple[Comparison, ...]
    skipped: Mapping[int, str]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _LoadedVersion:
    version: Version
    since: str
    served: Servable
    holdout: list[Servable]
    validation: Split


def run(params: Params, name: str, last: int) -> Backtest:
    """Measure the champion and up to `last` earlier ones; write the results and a figure to `paths.backtest`.

    Raises:
        ParamsError: unknown dataset. NothingToServe: there is no champion. DataError: the champion cannot be read, or
            the dataset is not vectorized. TrackingError: the registry does not answer.
    """
    settings.apply()
    dataset = params.dataset(name)
    champion = model_versions.find(name)
    if champion is None:
        remedy = compatibility.champion_remedy(name, dataset)
        raise NothingToServe(f"{name}: there is no champion to compare with; {remedy}")
    split = holdout_split.of_today(name, dataset)
    skipped: dict[int, str] = {}
    versions = []
    for number, since in _champions(name, champion.number, last).items():
        try:
            versions.append(_load(name, dataset, split, number, since))
        except (DataError, TrackingError) as error:
            if number == champion.number:
                raise
            skipped[number] = str(error)
    current = next(loaded for loaded in versions if loaded.version.number == champion.number)
    confidence = params.promotion.confidence
    remarks: list[str] = []
    evidence = {VALIDATION: _validation_evidence(name, split, versions, current, skipped, remarks)}
    evidence[FEEDBACK] = _feedback_evidence(name, dataset, versions, current, remarks)
    comparisons = tuple(
        _compare(title, measured, current, confidence) for title, measured in evidence.items() if measured
    )
    backtest = Backtest(name, champion.number, confidence, comparisons, skipped, tuple(remarks))
    _write(backtest, dataset)
    return backtest


def _champions(name: str, champion: int, last: int) -> dict[int, str]:
    """Version → when it last became champion: up to `last` earlier champions, oldest first, then the champion."""
    since: dict[int, str] = {}
    for period in history.history(name).periods:
        since.pop(period.version, None)  # so that the order is that of the last periods
        since[period.version] = period.since
    ordered = [number for number in since if number != champion]
    return {number: since[number] for number in ordered[-last:]} | {champion: since.get(champion, "")}


def _load(name: str, dataset: Dataset, split: HoldoutSplit, number: int, since: str) -> _LoadedVersion:
    """Load a version and its networks, and encode the validation samples for them.

    Raises:
        DataError: the version was changed, is gone, is not signed, was never evaluated, or does not fit the
            dataset or its data. TrackingError: the registry does not answer.
    """
    version = model_versions.find(name, number)
    if version is None:
        raise DataError(f"{name} version {number}: is no longer registered")
    served = version_bundles.served(version)
    if problem := compatibility.mismatch(served, dataset):
        raise DataError(f"{version.name}: {problem}")
    try:
        validation = encoded_again.samples(name, dataset, "train", split.held_out, served.encoder)
    except DataError as error:
        raise DataError(f"{version.name}: {error}") from None
    return _LoadedVersion(version, since, served, evaluation.holdout_models(version), validation)


# --- evidence --------------------------------------------------------------------------------

Measurements = list[tuple[_LoadedVersion, Evidence]]


def _validation_evidence(
    name: str,
    split: HoldoutSplit,
    versions: Sequence[_LoadedVersion],
    current: _LoadedVersion,
    skipped: dict[int, str],
    remarks: list[str],
) -> Measurements:
    """Evidence from the holdout models, on the validation samples that are new to them.

    Empty if too few samples are new to the champion's. Other versions that cannot be compared are added to `skipped`,
    and lines about samples that are left out to `remarks`.
    """
    recorded = manifest_file.load(name).get("target")
    target = (recorded["mean"], recorded["scale"]) if recorded else None
    champion_unseen, total = split.unseen(current.holdout), len(split.held_out)
    if policy.too_few(int(champion_unseen.sum()), total):
        remarks.append(f"{_unseen(current, champion_unseen)}; no version is compared on this split")
        return []
    measured: Measurements = []
    for loaded in versions:
        unseen = split.unseen(loaded.holdout)
        try:
            if policy.too_few(int((unseen & champion_unseen).sum()), total):
                raise DataError(f"{_unseen(loaded, unseen & champion_unseen)} and to those of the champion")
            evidence = evaluation.evidence(loaded.holdout, loaded.validation, target, unseen)
        except DataError as error:
            if loaded is current:
                raise
            skipped[loaded.version.number] = str(error)
            continue
        measured.append((loaded, evidence))
        if not unseen.all():
            remarks.append(f"{_unseen(loaded, unseen)}; the others are left out")
    return measured


def _unseen(loaded: _LoadedVersion, unseen: npt.NDArray[np.bool_]) -> str:
    return f"{loaded.version.name}: {unseen.sum()} of {len(unseen)} validation samples are new to its holdout models"


def _feedback_evidence(
    name: str, dataset: Dataset, versions: Sequence[_LoadedVersion], current: _LoadedVersion, remarks: list[str]
) -> Measurements:
    """Evidence from the served networks on accepted samples that are in no training data and are new to the champion.

    Empty if there are no such samples, or the champion cannot be measured on them. Versions that cannot be measured on
    them, and lines about samples that are left out, are added to `remarks`.
    """
    entries = [
        sample.entry
        for sample in feedback.samples(name, dataset)
        if sample.decision is not None
        and sample.decision.verdict == feedback_decisions.ACCEPTED
        and sample.problem is None
        and not sample.used
    ]
    is_new = _is_new(entries, current)
    if not is_new.all():
        remarks.append(f"{_new_to(current, is_new)}; the others are left out")
    entries = list(itertools.compress(entries, is_new))
    measured: Measurements = []
    for loaded in versions if entries else ():
        is_new = _is_new(entries, loaded)
        if policy.too_few(int(is_new.sum()), len(entries)):
            remarks.append(f"{_new_to(loaded, is_new)}; it is not measured on them")
            continue
        encoder = loaded.served.encoder
        part = feedback_features.part(entries, dataset, encoder if isinstance(encoder, TextEncoder) else None)
        try:
            evidence = evaluation.evidence([loaded.served], part.split, loaded.served.description.target, is_new)
            measured.append((loaded, evidence))
        except DataError as error:
            remarks.append(f"{loaded.version.name}: cannot be measured on {FEEDBACK} ({error})")
    return measured if any(loaded is current for loaded, _ in measured) else []


def _is_new(entries: Sequence[Mapping[str, Any]], loaded: _LoadedVersion) -> npt.NDArray[np.bool_]:
    """For each sample, whether it is new to the version, which was then not trained on it.

    Its holdout models were trained on the same users' samples as its served network, and record them. Early versions do
    not record them, so no sample counts as new to these.
    """
    digests = np.array([int(entry["digest"][:8], 16) for entry in entries], np.uint32)
    seen = [digests if model.training_samples is None else model.training_samples for model in loaded.holdout]
    return ~np.isin(digests, np.concatenate(seen))


def _new_to(loaded: _LoadedVersion, is_new: npt.NDArray[np.bool_]) -> str:
    return f"{loaded.version.name}: {is_new.sum()} of {len(is_new)} {FEEDBACK} are new to it"


def _compare(title: str, measured: Measurements, current: _LoadedVersion, confidence: float) -> Comparison:
    reference = next(evidence for loaded, evidence in measured if loaded is current)
    simultaneous = 1 - (1 - confidence) / max(1, len(measured) - 1)  # Bonferroni
    scores = [
        Score(
            loaded.version.number,
            loaded.since,
            _with_interval(title, policy.expected_loss(evidence, confidence), evidence),
            _accuracy(evidence),
            evidence.r2,
            None if loaded is current else _difference(title, reference, evidence, simultaneous),
            len(evidence.losses),
        )
        for loaded, evidence in measured
    ]
    return Comparison(title, reference.losses.shape[1], NOTES[title], tuple(scores))


def _difference(title: str, champion: Evidence, other: Evidence, confidence: float) -> Interval:
    gain = policy.gain(champion, other, confidence)
    return _with_interval(title, (gain.mean, gain.low, gain.high), champion, other)


def _with_interval(title: str, values: tuple[float, float, float], *evidence: Evidence) -> Interval:
    """Mean, low and high; low and high are None if the spread over samples or, for holdout models, seeds is unknown."""
    is_known = policy.shows_samples(*evidence) and (title == FEEDBACK or policy.shows_seeds(*evidence))
    return values if is_known else (values[0], None, None)


def _accuracy(evidence: Evidence) -> Interval | None:
    """The first network's accuracy, with Wilson's 95 % interval if each sample has one class; None for regression."""
    correct = evidence.correct[policy.unseen(evidence)]
    if not correct.size:
        return None
    accuracy = float(np.mean(correct))
    return (accuracy, *model_card.wilson(accuracy, len(correct))) if correct.ndim == 1 else (accuracy, None, None)


# --- report ----------------------------------------------------------------------------------


def as_json(backtest: Backtest) -> dict[str, Any]:
    """The backtest, serializable as JSON."""
    return dataclasses.asdict(backtest)


def _write(backtest: Backtest, dataset: Dataset) -> Path:
    series = {
        f"{comparison.title} ({comparison.samples:,})": {score.version: score.loss for score in comparison.scores}
        for comparison in backtest.comparisons
    }
    png = backtest_figure.draw(dataset.title, series, backtest.champion, backtest.confidence)
    with atomic_files.writing_folder(paths.backtest(backtest.dataset), "backtest") as folder:
        (folder / "losses.png").write_bytes(png)
        atomic_files.write_json(folder / "backtest.json", as_json(backtest))
    return paths.backtest(backtest.dataset)
