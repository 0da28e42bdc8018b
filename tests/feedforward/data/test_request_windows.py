"""Windows of requests are saved and loaded unchanged, damaged ones are reported, and old distances are removed."""

import json
from typing import Any

import numpy as np
import pytest
from small_data import WORDS, dense, multihot, split

from feedforward.config.schema import Drift, Params
from feedforward.core import paths
from feedforward.core.errors import DataError
from feedforward.data import drift, request_windows
from feedforward.data.request_windows import Window

NAME = "notes"
TIMES = ("2026-01-01T00:00:00+00:00", "2026-01-01T01:00:00+00:00")


@pytest.mark.parametrize("name", ["notes", "tones"])
def test_a_window_of_requests_round_trips(small: Params, name: str) -> None:
    features = split(name, 20, seed=3).features
    request_windows.save(name, Window(2, "d", *TIMES, 500, features))
    loaded = request_windows.load(name)
    assert (loaded.version, loaded.digest, loaded.began, loaded.ended, loaded.asked) == (2, "d", *TIMES, 500)
    assert np.array_equal(dense(loaded.features), dense(features))
    assert paths.requests(name).stat().st_mode & 0o077 == 0, "only its owner may read it"


def test_damaged_windows_are_reported(small: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    request_windows.save(NAME, Window(2, "d", *TIMES, 500, multihot(20, 3)))
    valid = paths.requests(NAME).read_bytes()
    arrays = dict(np.load(paths.requests(NAME)))
    for change in (
        {"indptr": arrays["indptr"][::-1]},
        {"columns": np.array([3])},
        {"head": np.frombuffer(b"[]", np.uint8)},
        {"head": np.array([{"version": 1}], object)},  # a pickle
    ):
        np.savez(paths.requests(NAME), **arrays | change)
        with pytest.raises(DataError, match=r"remove it; the service will write a new one"):
            request_windows.load(NAME)
    for content in (b"", valid[: len(valid) // 2], b"PK\x03\x04" + bytes(99)):
        paths.requests(NAME).write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            request_windows.load(NAME)
    paths.requests(NAME).write_bytes(valid)
    monkeypatch.setattr(request_windows, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="has more than 1000 bytes"):
        request_windows.load(NAME)
    np.savez_compressed(paths.requests(NAME), head=np.zeros(5000, np.uint8))
    with pytest.raises(DataError, match="decompresses to more than 1000 bytes"):
        request_windows.load(NAME)


DISTANCE = {"name": "word1", "value": 0.1, "bound": 0.2, "p": 0.5, "drift": False}
ENTRY = {
    "time": "2026-11-29T00:01:00+00:00", "began": "2026-11-29T00:00:00+00:00", "version": 1, "digest": "d", "asked": 5,
    "samples": 5, "drifted": 0, "farthest": None, "distances": {"features": DISTANCE},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"time": "yesterday"},
        {"began": "2026-11-29T00:00:00"},
        {"asked": "5"},
        {"farthest": 1},
        {"digest": 1},
        {"distances": [1]},
        {"distances": {"features": {**DISTANCE, "value": float("nan")}}},
        {"distances": {"features": {"value": 0.1}}},
    ],
)
def test_damaged_distances_are_reported(small: Params, change: dict[str, Any]) -> None:
    path = paths.request_drift(NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**ENTRY, **change}))
    with pytest.raises(DataError, match="remove it; the service will write a new one"):
        request_windows.load_distances(NAME)


def test_only_distances_of_the_latest_windows_are_kept(small: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_windows, "MAX_WINDOWS", 3)
    for number in range(5):
        request_windows.append_distances(NAME, {**ENTRY, "version": number})
    assert [entry["version"] for entry in request_windows.load_distances(NAME)] == [2, 3, 4]


@pytest.mark.slow
def test_false_alarm_rate_does_not_exceed_the_one_in_params() -> None:
    """There are 100 windows without drift, and no bound on distances, so that the significance test alone decides."""
    bounds = Drift(feature=0.0, label=0.0, false_alarm_rate=0.05)
    train, alarms = multihot(2000, 0), 0
    rng = np.random.default_rng(1)
    shares = rng.beta(2, 2, 1000)
    for seed in range(100):
        outputs = (np.stack([1 - s, s], axis=1) for s in (shares, rng.beta(2, 2, 100)))
        groups = drift.measure_requests(train, multihot(100, 1 + seed), tuple(outputs), ["a", "b"], bounds, str)
        alarms += bool(
            drift.find_drifted([distance for distances in groups.values() for distance in distances], bounds)
        )
        assert set(groups) == {drift.NONZERO, drift.FEATURES, drift.PREDICTED, drift.OUTPUTS}
        assert (len(groups[drift.FEATURES]), len(groups[drift.OUTPUTS])) == (WORDS, 1)
    assert alarms <= 13, "four standard deviations above 5 % of 100 are 13.7"
