"""Request drift that the service has recorded becomes an event and a message, with a real Prefect server."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_prefect import Server, ask
from small_data import values, write_params
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

DEPLOY = """
import asyncio
from feedforward.config.schema import load_params
from pipelines import request_alerts
for _ in range(2):
    print(asyncio.run(request_alerts.deploy(load_params())))
"""
WATCH = """
import sys
from pipelines import environment
environment.apply()
from pipelines import request_alerts
for _ in sys.stdin:
    print(request_alerts.watch(return_state=True).name, flush=True)
"""
REGISTER = """
from feedforward import tracking
from feedforward.tracking import names
from feedforward.tracking.registry import Registry
tracking.open_store()
client, name = Registry()._client, names.registered_model("notes")
client.create_registered_model(name)
client.create_model_version(name, "mlruns/nothing", tags={"digest": "d1"})
"""


def record_window(folder: Path, hour: int, drifted: int, digest: str = "d1") -> None:
    """Record a window of notes, as the service does. drifted: how many distances exceed their bounds."""
    times = {"time": f"2026-01-01T{hour:02}:00:00+00:00", "began": f"2026-01-01T{max(hour - 1, 0):02}:00:00+00:00"}
    entry = {**times, "version": 1, "digest": digest, "asked": 500, "samples": 100, "distances": {}, "drifted": drifted}
    entry["farthest"] = "word7 (0.61, bound 0.2)" if drifted else None
    path = folder / "data" / "requests" / "notes.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


@contextlib.contextmanager
def watching(server: Server, log: Path) -> Iterator[Callable[[], str]]:
    """Run WATCH in a process; yield a function that runs the flow once and returns the name of its final state."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", WATCH],
            env=server.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def watch() -> str:
            requests.write("\n")
            requests.flush()
            return answers.readline().strip()

        yield watch
        requests.close()
        assert (answers.read(), process.wait(60)) == ("", 0), log.read_text()[-2000:]
    assert "Traceback" not in log.read_text()


def test_each_drifted_window_is_reported_once_through_the_default_block(tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml", values(project="one"))
    with Server(tmp_path) as server:

        def run(script: str) -> list[str]:
            command = [sys.executable, "-c", script]
            done = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            assert "Traceback" not in done.stderr
            return done.stdout.split()

        assert run(DEPLOY) == ["feedforward-log/one"] * 2
        assert len(ask(server.api, "automations")) == 1, "a second deploy must replace the automation"
        with watching(server, tmp_path / "first.log") as watch:
            assert watch() == "Quiet", "there is no window yet"
            run(REGISTER)
            record_window(tmp_path, 0, drifted=3, digest="d2")
            assert watch() == "Quiet", "the window is about another project's version 1"
            record_window(tmp_path, 1, drifted=0)
            assert watch() == "Quiet"
            record_window(tmp_path, 2, drifted=3)
            assert watch() == "Drifted"
        messages = tmp_path / "mlruns" / "notifications.jsonl"
        [line] = until(lambda: messages.is_file() and messages.read_text()).splitlines()
        expected = "notes: the requests to version 1 have drifted: word7 (0.61, bound 0.2)"
        assert json.loads(line)["body"] == expected
        damaged = tmp_path / "data" / "requests" / "tones.jsonl"  # of the dataset that comes first in params.yaml
        with watching(server, tmp_path / "second.log") as watch:
            assert watch() == "Quiet", "the window was already reported, by another process"
            damaged.write_text('{"distances": {}, "digest": "d1", "time": "yesterday"}\n')
            record_window(tmp_path, 3, drifted=3)
            assert watch() == "Failed"
            until(lambda: len(messages.read_text().splitlines()) == 2)
            (tmp_path / "params.yaml").write_text("seeds: none\n")
            assert watch() == "Failed", "params.yaml is invalid"
