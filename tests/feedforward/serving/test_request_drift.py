"""Request drift, measured without labels: the reservoir, and a real service whose requests change."""

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import registered
from live_service import GLAD, SERVING, LiveService
from registered import NAME
from small_data import dense, from_dense, multihot, values, write_params
from waiting import until

from feedforward import tracking
from feedforward.config.schema import Drift, Params
from feedforward.core import atomic_files, paths
from feedforward.data import manifest as manifest_file
from feedforward.data import request_windows
from feedforward.data.readers import tokenizer
from feedforward.data.request_windows import Window
from feedforward.data.splits import Split
from feedforward.promotion import bundle, drift_windows
from feedforward.retraining import policy
from feedforward.serving.request_drift import process
from feedforward.serving.request_drift.reservoir import RequestReservoir
from feedforward.tracking import model_versions
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

VERSION = (1, "d")


def test_every_sample_is_kept_with_the_same_probability() -> None:
    counts = np.zeros(40)
    for _ in range(300):
        reservoir = RequestReservoir(10)
        for k in range(40):
            reservoir.offer(VERSION, np.array([[k]], np.uint8))
        window = reservoir.take(0)
        assert window is not None
        assert (len(window.features), window.asked, window.version) == (10, 40, 1)
        counts[np.asarray(window.features).ravel()] += 1
    # each count is binomial (300 draws, probability 1/4): mean 75, standard deviation 7.5
    assert counts.min() > 75 - 4.5 * 7.5
    assert counts.max() < 75 + 4.5 * 7.5


def test_a_window_contains_a_limited_number_of_rows_of_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = multihot(30, 2)
    reservoir = RequestReservoir(20)
    assert reservoir.take(0) is None
    reservoir.offer(VERSION, rows)
    assert reservoir.take(1000) is None, "the window has just begun"
    reservoir.offer((2, "e"), rows.rows(0, 19))
    assert reservoir.take(0) is None, "one sample is missing"
    reservoir.offer((2, "e"), rows.rows(19, 20))
    window = reservoir.take(0)
    assert window is not None
    assert (window.version, window.digest, window.asked) == (2, "e", 20)
    assert np.array_equal(dense(window.features), dense(rows.rows(0, 20)))
    monkeypatch.setattr("feedforward.serving.request_drift.reservoir.MAX_BYTES", 100)
    reservoir.offer(VERSION, multihot(20, 2))
    assert sum(row.nbytes for row in reservoir._rows) <= 100


def replace_training_split_by_texts() -> list[str]:
    """Replace the training split by one that consists of encoded texts, and return the texts."""
    folder = paths.vectorized(NAME) / "train"
    split, words = Split.load(folder), registered.ENCODER.vocabulary.words
    rows = dense(split.features)[:, tokenizer.RANK_OFFSET :]
    texts = [" ".join(np.array(words)[np.flatnonzero(row[: len(words)])]) or "nothing" for row in rows]
    encoded, labels = registered.ENCODER.encode(texts), np.array(split.labels)
    shutil.rmtree(folder)
    replacement = Split(encoded, labels)
    replacement.save(folder)
    manifest = manifest_file.load(NAME) | {"train": replacement.digest()}
    atomic_files.write_json(folder.with_name("manifest.json"), manifest)
    return texts


@pytest.mark.slow
def test_outputs_are_compared_only_with_those_for_validation_samples_that_are_new_to_the_holdout_model(
    small: Params, small_store: "Store"
) -> None:
    registered.write_vocabulary()
    run = registered.final_run(small_store, small)
    forty = registered.with_validation(small, "first", 40).datasets[NAME]
    version = registered.version(Registry(), run, 1.0, dataset=forty)
    served = bundle.read(model_versions.folder(version, "served"), version.tags["digest"])

    def compared(take: str, samples: int) -> int | None:
        dataset = registered.with_validation(small, take, samples).datasets[NAME]
        outputs = process._outputs(version, served, multihot(7, 2), dataset)
        return None if outputs is None else len(outputs[0])

    assert [compared("first", 40), compared("first", 60), compared("last", 40)] == [40, 40, None]


@pytest.mark.proves(
    "Words known only to the model, or only in the training data, count as unknown words, so they cause no drift"
)
@pytest.mark.slow
def test_a_new_word_in_the_training_data_is_not_reported_as_drift_of_requests(
    small: Params, small_store: "Store"
) -> None:
    version = registered.version(Registry(), registered.final_run(small_store, small), 1.0)
    words = ("fresh", *registered.ENCODER.vocabulary.words[1:])  # "fresh" in place of a word of two thirds of the texts
    (paths.vectorized(NAME) / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words))
    rows = dense(Split.load(paths.vectorized(NAME) / "train").features)
    fresh = tokenizer.RANK_OFFSET + 1
    rows[:, tokenizer.DROPPED] = np.maximum(rows[:, tokenizer.DROPPED], rows[:, fresh])
    rows[:, fresh] = 0  # as the model, which does not know the word, encodes the training texts
    times = ("2030-01-01T00:00:00+00:00", "2030-01-01T01:00:00+00:00")
    request_windows.save(NAME, Window(version.number, version.tags["digest"], *times, len(rows), from_dense(rows)))
    distances = process.compare(small, NAME)["distances"]
    assert {kind: distance["value"] for kind, distance in distances.items()} == {"non-zero features": 0, "features": 0}
    titled = small.datasets[NAME].model_copy(update={"title": "größte Notizen"})
    subprocess.run(  # as the service runs it, in a locale without this title's letters
        [sys.executable, "-m", process.__name__, NAME],
        input=small.model_copy(update={"datasets": {NAME: titled}}).model_dump_json().encode(),
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=True,
    )


@pytest.mark.slow
def test_request_drift_is_a_reason_to_retrain_only_with_labeled_samples(small: Params, small_store: "Store") -> None:
    registered.write_vocabulary()
    registry = Registry()
    version = registered.version(registry, registered.final_run(small_store, small), 1.0)
    registry.set_alias(version, "champion")
    serving = SERVING.model_copy(update={"reservoir": 30, "reservoir_seconds": 0.1})
    texts = replace_training_split_by_texts()
    bounds = Drift(feature=0.45, label=0.5, false_alarm_rate=0.01)
    retraining = small.retraining.model_copy(update={"drift": bounds})
    params = small.model_copy(update={"serving": serving, "retraining": retraining})
    with LiveService(params) as service:

        def entries() -> list[dict[str, Any]]:
            return service.service.handlers.drift.entries.get(NAME, [])

        for text in texts[:30]:
            service.ask(text)
        until(lambda: len(entries()) == 1)
        assert entries()[0]["drifted"] == 0
        assert b"word" not in paths.requests(NAME).read_bytes()  # features, but no texts of users, are stored
        assert policy.request_drift(NAME) is None
        for _ in range(30):
            service.ask(GLAD)
        until(lambda: len(entries()) == 2)
        latest = entries()[-1]
        assert (latest["samples"], latest["asked"], latest["version"]) == (30, 30, 1)
        assert set(latest["distances"]) == {"non-zero features", "features", "predicted classes", "outputs"}
        text = service.client.get("/metrics").text
        assert f'feedforward_request_distance{{dataset="{NAME}",measurement="features"}}' in text
        assert f'feedforward_request_drifted{{dataset="{NAME}"}} 0.0' not in text
        page = service.client.get("/monitoring")
        assert "<strong>Drift</strong> in the latest window: " in page.text
        assert page.text.count("<svg") == 4
        assert "script" not in page.text  # the figures need none
    line = policy.request_drift(NAME)
    assert line
    observations = policy.Observations(requests=line)
    without_labels = policy.decide(params, {NAME: observations}, [], forced=False)
    assert not without_labels.retrain
    assert "there are no labeled samples to train on" in without_labels.remarks[0]
    with_feedback = params.model_copy(update={"retraining": retraining.model_copy(update={"use_feedback": True})})
    with_labels = policy.decide(with_feedback, {NAME: policy.Observations(new=3, requests=line)}, [], forced=False)
    assert f"{NAME}: request drift: {line}" in with_labels.reasons
    write_params(paths.params(), values(project="other"))  # the registry of another project, with its own version 1
    registered.version(Registry(), registered.final_run(tracking.open_store(), params), 2.0)
    Registry().set_alias(registered.find_version(1), "champion")
    assert policy.request_drift(NAME) is None
    assert drift_windows.load(NAME) == []
    write_params(paths.params(), values())
    assert policy.request_drift(NAME) == line
    new_version = registered.version(registry, registered.final_run(small_store, small, seed=1), 1.0)
    registry.set_alias(new_version, "champion")
    assert policy.request_drift(NAME) is None, "the window belongs to another champion"
    assert len(request_windows.load_distances(NAME)) == 2
