"""Follows the remedies in messages literally until the command that failed succeeds."""

import dataclasses
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults import workspace
from faults.workspace import NAME, Completed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REMEDY = re.compile(r"`((?:feedforward|dvc) [^`]+)`")
PREDICT = f"feedforward predict {NAME} 'a good film'"
TRAIN = f"feedforward train {NAME}"


@dataclass(frozen=True)
class Workspace:
    """A workspace, and the address of the Prefect server that its jobs use."""

    folder: Path
    server: str

    def run(self, command: str, **variables: str) -> Completed:
        """Run a command, given as a user would type it, with this Python."""
        program, *arguments = shlex.split(command)
        module = {"feedforward": "feedforward.cli"}.get(program, program)
        words = (sys.executable, "-m", module, *arguments)
        done = workspace.run(self.folder, *words, PREFECT_API_URL=self.server, **variables)
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        return done

    def follow(self, command: str, depth: int = 4) -> list[str]:
        """Run a command; while it fails, follow the first remedy in its message. Return the remedies followed."""
        followed: list[str] = []
        while (done := self.run(command)).returncode != 0:
            remedies = REMEDY.findall(done.stderr)
            assert remedies, f"{command}: no remedy: {done.stderr[-1000:]}"
            assert remedies[0] not in followed, f"{command}: `{remedies[0]}` did not help: {done.stderr[-1000:]}"
            assert depth > 0, done.stderr[-1000:]
            followed += [*self.follow(remedies[0], depth - 1), remedies[0]]
        return followed

    def copy(self, folder: Path) -> "Workspace":
        shutil.copytree(self.folder, folder, symlinks=True)
        return dataclasses.replace(self, folder=folder)


@pytest.fixture(scope="module")
def new_workspace(tmp_path_factory: pytest.TempPathFactory, prefect_server_address: str) -> Workspace:
    """A workspace in which no stage has run."""
    folder = workspace.prepare(tmp_path_factory.mktemp("remedies") / "workspace")
    return Workspace(folder, prefect_server_address)


@pytest.fixture(scope="module")
def champion_workspace(new_workspace: Workspace) -> Workspace:
    """The same workspace with a champion, after following the remedies for a prediction without one."""
    assert new_workspace.follow(PREDICT) == ["feedforward run", f"feedforward promote {NAME}"]
    return new_workspace


def test_remedies_of_predict_produce_a_champion(champion_workspace: Workspace) -> None:
    assert champion_workspace.run(PREDICT).stdout.strip()


@pytest.mark.proves("With a new tracking store, the remedies train what it lacks, and give the same champion again")
def test_remedies_of_predict_with_a_new_store_produce_the_same_champion(
    champion_workspace: Workspace, tmp_path: Path
) -> None:
    copy = champion_workspace.copy(tmp_path / "copy")
    shutil.rmtree(copy.folder / "mlruns")
    assert copy.run("feedforward run").returncode == 0  # its results are up to date
    assert copy.follow(PREDICT) == [TRAIN, f"feedforward promote {NAME}"]
    assert copy.run(PREDICT).stdout == champion_workspace.run(PREDICT).stdout


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()  # may be a link into the DVC cache
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("file", "damage", "command"),
    [
        (f"data/vectorized/{NAME}/manifest.json", truncate, TRAIN),
        (f"data/vectorized/{NAME}/manifest.json", Path.unlink, TRAIN),
        # with one seed, the run would be reused, and the data would not be read
        (f"data/vectorized/{NAME}/train/indices.npy", truncate, f"{TRAIN} --seeds 2"),
        ("data/trained/fair.json", truncate, "dvc repro compare"),
    ],
)
def test_remedy_for_a_damaged_output_restores_it(
    champion_workspace: Workspace, tmp_path: Path, file: str, damage: Callable[[Path], None], command: str
) -> None:
    copy = champion_workspace.copy(tmp_path / "copy")
    content = (copy.folder / file).read_bytes()
    damage(copy.folder / file)
    copy.follow(command)
    assert (copy.folder / file).read_bytes() == content


def test_sync_sends_runs_that_wait_for_the_tracking_server(champion_workspace: Workspace, tmp_path: Path) -> None:
    copy = champion_workspace.copy(tmp_path / "copy")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        unused_address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        done = copy.run(f"{TRAIN} --seeds 2", MLFLOW_TRACKING_URI=unused_address)
    assert done.returncode == 0, done.stderr
    [remedy] = set(REMEDY.findall(done.stderr))
    assert remedy == "feedforward sync"
    sent = copy.run(remedy)
    assert sent.returncode == 0, sent.stderr
    assert re.search(r"sent [1-9]\d*, waiting 0", sent.stderr + sent.stdout)
