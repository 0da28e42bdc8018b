"""Damaged local copies of a version on a server are downloaded again, and never count against the version."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import registered
from registered import NAME, find_version, flip_bit

from feedforward.config.schema import Params
from feedforward.core.errors import DataError
from feedforward.promotion import candidate, promote, version_bundles
from feedforward.serving import prediction
from feedforward.tracking import model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

# finds the champion, waits for a line of input, and then loads the champion
LOAD = """
import sys
from feedforward.promotion import version_bundles
from feedforward.tracking import model_versions
version = model_versions.find(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(version_bundles.served(version).digest)
"""


def champion(store: "Store", params: Params, strength: float = 3.0) -> Version:
    version = registered.version(Registry(), registered.final_run(store, params), strength, variants={"original": 1.0})
    Registry().set_alias(version, "champion")
    return find_version()


@pytest.mark.proves("A damaged local copy of a version is downloaded again, and the version is not refused")
@pytest.mark.parametrize("file", ["weights.npz", "manifest.json", "description.json"])
def test_damaged_copies_are_downloaded_again(remote_store: "Store", params: Params, file: str) -> None:
    version = champion(remote_store, params)
    version_bundles.check(version)
    for role in ("served", "variants/original", "holdout_models/0"):
        flip_bit(model_versions.folder(version, role) / file)
    loaded = prediction.champion(NAME)
    assert loaded.served.digest == version.tags["digest"]
    assert list(loaded.variants) == ["original"]
    version_bundles.check(version)
    for role in ("served", "variants/original", "holdout_models/0"):
        (model_versions.folder(version, role) / file).unlink()
    version_bundles.check(version)


def test_a_version_that_was_not_promoted_is_refused_before_its_files_are_fetched() -> None:
    version = Version(NAME, 1, "", "s3://foreign/model", {"weights_digest": "1"})
    for read in (version_bundles.served, version_bundles.check):
        with pytest.raises(DataError, match="is not the result of a promotion"):
            read(version)
    assert candidate._must_be_replaced(version)
    assert "is not the result of a promotion" in promote._equality(version, version)


@pytest.mark.proves("A damaged local copy of the champion does not make a worse challenger the champion")
@pytest.mark.parametrize("role", ["served", "holdout_models/0"])
def test_a_worse_challenger_does_not_replace_a_champion_whose_copy_is_damaged(
    remote_store: "Store", params: Params, role: str
) -> None:
    version = champion(remote_store, params)
    flip_bit(model_versions.folder(version, role) / "weights.npz")
    outcome = registered.conclude(params, remote_store, 1.0)
    assert (outcome.version.number, outcome.decision.promoted, outcome.champion) == (2, False, 1)
    assert outcome.decision.gain is not None


def test_a_challenger_with_a_damaged_copy_is_compared(remote_store: "Store", params: Params) -> None:
    champion(remote_store, params, 1.0)
    registry, run = Registry(), registered.final_run(remote_store, params)
    better = registered.version(registry, run, 3.0)
    for role in ("served", "holdout_models/0"):
        flip_bit(model_versions.folder(better, role) / "weights.npz")
    assert promote.conclude(params, NAME, run, better, registry).champion == 2


def test_a_version_that_was_changed_on_the_server_is_refused(
    remote_store: "Store", params: Params, tmp_path: Path
) -> None:
    version = champion(remote_store, params)
    registry = Registry()
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "weights.npz").write_bytes(registered.weights(1.0))
    registry.add(version, changed, "data/served")
    with pytest.raises(DataError, match=r"weights\.npz: has changed since it was registered"):
        version_bundles.served(version)


def test_processes_that_find_a_damaged_copy_at_the_same_time_all_get_an_intact_one(
    remote_store: "Store", params: Params
) -> None:
    version = champion(remote_store, params)
    flip_bit(model_versions.folder(version, "served") / "weights.npz")
    command = [sys.executable, "-c", LOAD, NAME]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=60)[0].strip() == version.tags["digest"]
        assert process.returncode == 0
