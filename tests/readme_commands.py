"""Every command of the README, run for real after `make run`: `make readme` (minutes; not collected by pytest)."""

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
OWN = "~/flowers"  # a folder that a reader may have; tests/feedforward/experiments/test_own_data.py follows these lines
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS if OWN not in block for line in block.splitlines()]
WRITTEN = "imdb.html"
COMMANDS += ["make ui", "make verify", f"feedforward playground imdb --out {WRITTEN}"]  # in the text
SERVES = {"make ui": "http://127.0.0.1:5000/health", "make serve": "http://127.0.0.1:8000/health"}
CHANGED = ("params.yaml", "dvc.lock", "reports/comparison/metrics.json")  # by `dvc exp run`
pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", autouse=True)
def _as_before() -> Iterator[None]:
    kept = {name: (ROOT / name).read_bytes() for name in CHANGED}
    yield
    (ROOT / WRITTEN).unlink(missing_ok=True)
    for name, content in kept.items():
        (ROOT / name).write_bytes(content)
    subprocess.run(["dvc", "checkout", "--quiet", "--force", "dvc.yaml"], cwd=ROOT, env=environment(), check=True)


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_works(command: str) -> None:
    if command == "make test":
        pytest.skip("this is a test")
    if command in SERVES:
        serve(command)
        return
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def serve(command: str) -> None:
    """Start the command, request the page, stop it as Ctrl-C does."""
    process = subprocess.Popen(shlex.split(command), cwd=ROOT, env=environment(), start_new_session=True)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(SERVES[command], timeout=5) as answer:
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
