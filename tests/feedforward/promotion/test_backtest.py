"""A backtest of registered champions: metrics that can be computed by hand, and versions that are skipped."""

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import registered
from registered import NAME, find_version
from shell import Shell
from small_data import HELD_OUT, PIXELS, split

from feedforward.config.schema import Params
from feedforward.core import append_only_log, atomic_files, paths
from feedforward.core.errors import NothingToServe, ParamsError
from feedforward.data import feedback, feedback_review
from feedforward.models import metrics
from feedforward.promotion import audit_log, backtest, bundle
from feedforward.promotion.backtest import FEEDBACK, VALIDATION
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

STRENGTHS = (0.5, 2.0, 1.0)


@pytest.fixture
def champions(params: Params, small_store: "Store") -> list[Version]:
    """Three versions that were champion one after the other; the last one still is."""
    registry, run = Registry(), registered.final_run(small_store, params)
    versions = []
    for strength in STRENGTHS:
        version = registered.version(registry, run, strength)
        before = versions[-1] if versions else None
        audit_log.append(NAME, audit_log.PROMOTED, "a test", version, before)
        registry.set_alias(version, "champion")
        versions.append(version)
    return versions


def give(text: str, label: str) -> None:
    """Store a labeled text as the service does when a user corrects a label."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    append_only_log.append(paths.incoming(NAME), {"label": label, "digest": digest, "text": text, "version": 1})


def losses(strength: float, samples: int = HELD_OUT) -> np.ndarray:
    """Return the losses of the network with this strength on the first samples, which are held out."""
    held_out = split(NAME).rows(0, samples)
    network = registered.network(strength)
    return metrics.losses(network, network.logits(held_out.features), held_out.labels)


def test_metrics_are_those_of_the_holdout_models(params: Params, champions: list[Version]) -> None:
    result = backtest.run(params, NAME, last=5)
    [comparison] = result.comparisons
    assert (comparison.title, comparison.samples, result.champion, result.skipped) == (VALIDATION, HELD_OUT, 3, {})
    assert [score.version for score in comparison.scores] == [1, 2, 3]
    for strength, score in zip(STRENGTHS, comparison.scores, strict=True):
        assert score.loss[0] == pytest.approx(losses(strength).mean())
        assert score.loss[1] < score.loss[0] < score.loss[2]
    first, second, champion = comparison.scores
    assert champion.difference is None
    for score, strength in ((first, 0.5), (second, 2.0)):
        assert score.difference is not None
        assert score.difference[0] == pytest.approx((losses(strength) - losses(1.0)).mean())
        standard_error = (losses(strength) - losses(1.0)).std(ddof=1) / HELD_OUT**0.5
        # t with 23 degrees of freedom, for two simultaneous comparisons at 95 %: 2.398
        assert score.difference[2] - score.difference[0] == pytest.approx(2.398 * standard_error, rel=1e-3)
    assert champion.accuracy is not None
    assert champion.accuracy[0] == pytest.approx(1.0, abs=0.2)
    assert [score.version for score in backtest.run(params, NAME, last=1).comparisons[0].scores] == [2, 3]
    registered.redate(1, days=1)  # the order is that of the log, not that of its times
    assert [score.version for score in backtest.run(params, NAME, last=1).comparisons[0].scores] == [2, 3]
    folder = paths.backtest(NAME)
    assert (folder / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert atomic_files.read_json(folder / "backtest.json")["champion"] == 3


@pytest.mark.proves("Model card and backtest show the same interval for the same loss")
def test_the_model_card_shows_the_interval_of_the_backtest(params: Params, small_store: "Store") -> None:
    version = registered.conclude(params, small_store, 1.0).version
    [comparison] = backtest.run(params, NAME, last=1).comparisons
    mean, low, high = comparison.scores[0].loss
    card = (model_versions.folder(version, "card") / "card.md").read_text()
    assert f"| validation cross-entropy | {mean:.4f} | [{low:.4f}, {high:.4f}] | mean of 3 holdout models |" in card


@pytest.mark.proves("A backtest shows no interval over seeds for a version with too few holdout models")
def test_a_version_with_one_holdout_model_has_no_interval(
    params: Params, champions: list[Version], small_store: "Store"
) -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    for strength in (3.0, 4.0):
        version = registered.version(registry, run, strength, holdout_models=1)
        audit_log.append(NAME, audit_log.PROMOTED, "a test", version, find_version())
        registry.set_alias(version, "champion")
    [comparison] = backtest.run(params, NAME, last=2).comparisons
    three_models, one_model, champion = comparison.scores
    assert [score.models for score in comparison.scores] == [3, 1, 1]
    assert None not in three_models.loss
    assert one_model.loss[1:] == champion.loss[1:] == (None, None)
    assert three_models.difference is not None
    assert None not in three_models.difference
    assert one_model.difference is not None
    assert one_model.difference[1:] == (None, None)


def test_served_networks_are_evaluated_on_accepted_samples_not_used_for_training(
    params: Params, champions: list[Version]
) -> None:
    glad = " ".join(f"word{k}" for k in range(1, 21))
    give(glad, "glad")
    give(f"{glad} word30", "sad")
    give("word1 word2", "sad")
    dataset = params.datasets[NAME]
    accepted = [s.id for s in feedback_review.samples(NAME, dataset) if s.entry["text"] != "word1 word2"]
    feedback_review.review(NAME, dataset, accept=accepted)
    comparison = next(c for c in backtest.run(params, NAME, last=5).comparisons if c.title == FEEDBACK)
    assert comparison.samples == 2
    assert [score.accuracy[0] for score in comparison.scores if score.accuracy] == [0.5, 0.5, 0.5]
    features = registered.ENCODER.encode([glad, f"{glad} word30"])
    network = registered.network(2.0)
    expected = metrics.losses(network, network.logits(features), np.array([1, 0], np.uint8)).mean()
    assert comparison.scores[1].loss[0] == pytest.approx(expected)
    assert comparison.scores[1].models == 1
    feedback_review.review(NAME, dataset, reject=accepted[:1])
    [_, comparison] = backtest.run(params, NAME, last=5).comparisons
    assert (comparison.samples, comparison.scores[0].loss[1:], comparison.scores[0].difference[1:]) == (
        1,
        (None, None),
        (None, None),
    )
    feedback.take(NAME, dataset, collect=True, review=True)  # from now on they are training samples
    assert [c.title for c in backtest.run(params, NAME, last=5).comparisons] == [VALIDATION]


@pytest.mark.proves("A backtest measures no version on users' samples that it was trained on")
def test_samples_that_a_version_was_trained_on_are_left_out(
    params: Params, small_store: "Store", champions: list[Version]
) -> None:
    """They can be absent from today's training data: rejected and accepted again, or in another checkout."""
    registry, run, dataset = Registry(), registered.final_run(small_store, params), params.datasets[NAME]
    texts = ["word1 word2", "word3 word4", "word5 word6"]
    for text in texts:
        give(text, "sad")
    feedback_review.review(NAME, dataset, accept=[s.id for s in feedback_review.samples(NAME, dataset)])

    def add_champion(*seen: str) -> None:
        version = registered.version(registry, run, 1.0 + len(seen), texts=seen)
        audit_log.append(NAME, audit_log.PROMOTED, "a test", version, find_version())
        registry.set_alias(version, "champion")

    add_champion(texts[0], texts[1])  # version 4
    result = backtest.run(params, NAME, last=5)
    assert [c.samples for c in result.comparisons if c.title == FEEDBACK] == [1]
    left_out = "notes version 4: 1 of 3 accepted samples from users are new to it; the others are left out"
    assert left_out in result.remarks
    add_champion()  # version 5
    result = backtest.run(params, NAME, last=5)
    [comparison] = [c for c in result.comparisons if c.title == FEEDBACK]
    assert (comparison.samples, [score.version for score in comparison.scores]) == (3, [1, 2, 3, 5])
    assert "notes version 4: 1 of 3 accepted samples from users are new to it; it is not measured on them" in (
        result.remarks
    )
    add_champion(*texts)  # version 6
    assert [c.title for c in backtest.run(params, NAME, last=5).comparisons] == [VALIDATION]


def test_versions_that_cannot_be_compared_are_reported_and_skipped(
    params: Params, champions: list[Version], small_shell: Shell
) -> None:
    first, second, champion = champions
    folder = model_versions.folder(first, model_version.SERVED)
    description = atomic_files.read_json(folder / bundle.DESCRIPTION) | {"labels": ["bad", "good"]}
    atomic_files.write_json(folder / bundle.DESCRIPTION, description)
    entries = atomic_files.read_json(folder / bundle.MANIFEST)
    content = (folder / bundle.DESCRIPTION).read_bytes()
    entries[bundle.DESCRIPTION] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    atomic_files.write_json(folder / bundle.MANIFEST, entries)
    Registry().tag(first, {model_version.DIGEST: atomic_files.file_digest(folder / bundle.MANIFEST)})
    audit_log.append(NAME, audit_log.PROMOTED, "a test", registered.find_version(first.number))
    (model_versions.folder(second, model_version.SERVED) / bundle.DESCRIPTION).write_text("{}")
    assert small_shell.run("backtest", NAME, "--json") == 0
    result = json.loads(small_shell.stdout)
    assert "its labels are bad, good, params.yaml says sad, glad" in result["skipped"]["1"]
    assert "has changed since it was registered" in result["skipped"]["2"]
    assert [score["version"] for score in result["comparisons"][0]["scores"]] == [champion.number]
    assert small_shell.run("backtest", NAME) == 0
    assert "version 1 was skipped: notes version 1: its labels are" in small_shell.stderr
    assert "validation split, 24" in small_shell.stdout


def test_validation_samples_that_holdout_models_were_trained_on_are_left_out(
    params: Params, champions: list[Version]
) -> None:
    larger = registered.with_validation(params, "first", 60)
    result = backtest.run(larger, NAME, last=5)
    assert result.comparisons == ()
    assert result.remarks == (
        "notes version 3: 24 of 60 validation samples are new to its holdout models;"
        " no version is compared on this split",
    )


@pytest.mark.parametrize("samples", [40, 60])
def test_versions_are_measured_on_the_samples_that_are_new_to_them(
    params: Params, small_store: "Store", samples: int
) -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    largest = registered.with_validation(params, "first", 60)
    for strength, held_out_count in ((1.0, samples), (2.0, 60)):
        dataset = registered.with_validation(params, "first", held_out_count).datasets[NAME]
        version = registered.version(registry, run, strength, dataset=dataset)
        audit_log.append(NAME, audit_log.PROMOTED, "a test", version, registry.find(NAME, "champion"))
        registry.set_alias(version, "champion")
    result = backtest.run(largest, NAME, last=5)
    [comparison] = result.comparisons
    assert comparison.scores[0].loss[0] == pytest.approx(losses(1.0, samples).mean())
    assert comparison.scores[0].difference is not None
    assert comparison.scores[0].difference[0] == pytest.approx((losses(1.0, samples) - losses(2.0, samples)).mean())
    assert comparison.scores[1].loss[0] == pytest.approx(losses(2.0, 60).mean())
    assert [f"{samples} of 60" in remark for remark in result.remarks] == ([True] if samples < 60 else [])


@pytest.mark.proves("A backtest skips a champion for images of another size, and says so")
def test_a_champion_for_images_of_another_size_is_skipped(params: Params, small_store: "Store") -> None:
    for version in (
        registered.pictures_champion(small_store),
        registered.pictures_champion(small_store, 1, PIXELS, evaluated=True),
    ):
        audit_log.append("tones", audit_log.PROMOTED, "a test", version)
    pixels = bytes(range(PIXELS))
    entry = {"label": "dark", "digest": hashlib.sha256(pixels).hexdigest(), "pixels": base64.b64encode(pixels).decode()}
    append_only_log.append(paths.incoming("tones"), {**entry, "version": 2})
    dataset = params.datasets["tones"]
    feedback_review.review("tones", dataset, accept=[sample.id for sample in feedback_review.samples("tones", dataset)])
    result = backtest.run(params, "tones", last=5)
    assert result.skipped == {1: "tones version 1: it takes images of 28 × 28 pixels, but the data have 1 × 12"}
    assert [c.title for c in result.comparisons] == [VALIDATION, FEEDBACK]
    assert [[score.version for score in c.scores] for c in result.comparisons] == [[2], [2]]


def test_a_missing_champion_and_an_unknown_dataset_are_reported(params: Params, small_store: "Store") -> None:
    with pytest.raises(NothingToServe, match="no champion to compare with; run `feedforward promote notes`"):
        backtest.run(params, NAME, last=5)
    with pytest.raises(ParamsError, match="unknown dataset"):
        backtest.run(params, "nots", last=5)
