"""Follows the remedies in messages literally, in a workspace, until the command that failed works."""

import re
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import workspace
from faults.workspace import NAME, Done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REMEDY = re.compile(r"`((?:feedforward|dvc) [^`]+)`")
PREDICT = f"feedforward predict {NAME} 'a good film'"
TRAIN = f"feedforward train {NAME}"


def run(folder: Path, command: str, **more: str) -> Done:
    """Run a command as a user types it, in this environment."""
    program, *arguments = shlex.split(command)
    module = {"feedforward": "feedforward.cli"}.get(program, program)
    done = workspace.run(folder, sys.executable, "-m", module, *arguments, **more)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done


def follow(folder: Path, command: str, depth: int = 4) -> list[str]:
    """Run a command; while it fails, follow the first remedy in its message. Return the remedies that were followed."""
    followed: list[str] = []
    while (done := run(folder, command)).returncode != 0:
        remedies = REMEDY.findall(done.stderr)
        assert remedies, f"{command}: no remedy: {done.stderr[-1000:]}"
        assert remedies[0] not in followed, f"{command}: `{remedies[0]}` did not help: {done.stderr[-1000:]}"
        assert depth > 0, done.stderr[-1000:]
        followed += [*follow(folder, remedies[0], depth - 1), remedies[0]]
    return followed


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which no stage has run."""
    return workspace.prepare(tmp_path_factory.mktemp("remedies") / "workspace")


@pytest.fixture(scope="module")
def served(prepared: Path) -> Path:
    """The workspace after following the remedies for the first prediction."""
    assert follow(prepared, PREDICT) == ["feedforward run", f"feedforward promote {NAME}"]
    return prepared


def test_following_the_remedies_makes_a_prediction_without_a_champion_work(served: Path) -> None:
    assert run(served, PREDICT).stdout.strip()


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()  # may be a link into the DVC cache
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("file", "damage", "command"),
    [
        (f"data/vectorized/{NAME}/manifest.json", truncated, TRAIN),
        (f"data/vectorized/{NAME}/manifest.json", Path.unlink, TRAIN),
        (
            f"data/vectorized/{NAME}/train/indices.npy",
            truncated,
            f"{TRAIN} --seeds 2",
        ),  # a reused run would not read the data
        ("data/trained/fair.json", truncated, "dvc repro compare"),
    ],
)
def test_remedy_for_a_damaged_output_restores_it(
    served: Path, tmp_path: Path, file: str, damage: Callable[[Path], None], command: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(served, folder, symlinks=True)
    content = (folder / file).read_bytes()
    damage(folder / file)
    follow(folder, command)
    assert (folder / file).read_bytes() == content


def test_following_the_remedy_sends_runs_that_wait_for_the_tracking_server(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(served, folder, symlinks=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        unused_address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        done = run(folder, f"{TRAIN} --seeds 2", MLFLOW_TRACKING_URI=unused_address)
    assert done.returncode == 0, done.stderr
    [remedy] = set(REMEDY.findall(done.stderr))
    assert remedy == "feedforward sync"
    sent = run(folder, remedy)
    assert sent.returncode == 0, sent.stderr
    assert re.search(r"sent [1-9]\d*, waiting 0", sent.stderr + sent.stdout)
