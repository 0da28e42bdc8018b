"""Runs the commands of the README in a checkout with a finished `make run`: `make readme` (takes minutes).

`make test` and the commands for the reader's own data are left out, because they are run elsewhere.
"""

import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
READERS_FOLDER = "~/flowers"  # in blocks about the reader's own data, which experiments/test_own_data.py tests
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS if READERS_FOLDER not in block for line in block.splitlines()]
PLAYGROUND = "imdb.html"
COMMANDS += ["make ui", "make verify", f"feedforward playground imdb --out {PLAYGROUND}"]  # only in the text
SERVER_URLS = {"make ui": "http://127.0.0.1:5000/health", "make serve": "http://127.0.0.1:8000/health"}
CHANGED_FILES = ("params.yaml", "dvc.lock", "reports/comparison/metrics.json")  # changed by `dvc exp run`
pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", autouse=True)
def _restored_checkout() -> Iterator[None]:
    """After the last command, restore the files that commands change."""
    original = {name: (ROOT / name).read_bytes() for name in CHANGED_FILES}
    yield
    (ROOT / PLAYGROUND).unlink(missing_ok=True)
    for name, content in original.items():
        (ROOT / name).write_bytes(content)
    subprocess.run(["dvc", "checkout", "--quiet", "--force", "dvc.yaml"], cwd=ROOT, env=environment(), check=True)


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command_succeeds(command: str) -> None:
    if command == "make test":
        pytest.skip("is run on its own")
    if command in SERVER_URLS:
        serve(command)
        return
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def serve(command: str) -> None:
    """Start the command, wait until its server answers, and stop the command as Ctrl-C does."""
    process = subprocess.Popen(shlex.split(command), cwd=ROOT, env=environment(), start_new_session=True)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(SERVER_URLS[command], timeout=5) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                assert process.poll() is None, f"{command} ended with {process.returncode}"
                time.sleep(1)
        raise AssertionError(f"{command} does not answer")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
