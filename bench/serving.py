"""Compares `feedforward serve` with `mlflow models serve`, both serving the same model version.

Run it with `python -m bench.serving` or `make bench`. In each round, 32 clients on loopback (`bench.clients`) send
requests to one server, then to the other. Each client has a persistent connection and sends one sample per request;
the clients share the machine's cores with the servers. For each dataset that has a champion, the samples are either
random texts of a typical review's length, or test images of the dataset and random drawings.
Writes reports/bench/serving.json.
"""

import base64
import contextlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image, ImageDraw

from bench import clients, measure, terminal
from bench.bench import Target
from bench.clients import Measurement
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import NothingToServe
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import Split
from feedforward.serving import prediction
from feedforward.serving.prediction import LoadedVersion
from feedforward.tracking import settings

CLIENTS = 32
SAMPLES = 200  # number of different samples, sent in turn
WORDS = 230  # per text: the mean over the reviews
SIDE = 280  # side of a drawing in pixels, the same as on the playground page
TOLERANCE = 1e-6  # largest allowed difference between the probabilities that the two servers return
FEEDFORWARD, MLFLOW = "feedforward serve", "mlflow models serve"  # the two servers
START_TIMEOUT = 90.0  # s within which a server must answer for the first time
THROUGHPUT = Target("{}: throughput, mlflow / feedforward (lower is better)", 0.20)
LATENCY = Target("{}: p99 latency, feedforward / mlflow (lower is better)", 1.0)
TEXT_TIME = Target("{}: ms per request (inverse of the throughput)", 0.2)
TEXT_LATENCY = Target("{}: p99 latency in ms", 12.0)
READY_TIME = Target("seconds until the service is ready", 1.5)
MEMORY = Target("resident memory of the service after all requests, in MB", 150.0)


@dataclass(frozen=True)
class Service:
    """A running server. ready: seconds from its start until it answered."""

    port: int
    process: psutil.Process
    ready: float


def main() -> None:
    """Measure, write, print; report datasets without a champion."""
    parser = terminal.parser("serving", __doc__, "one round of one second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds per round and server")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    report = measure_all(options.rounds, options.seconds) | {"quick": options.quick}
    if not report["rows"]:  # the reason has been printed
        return
    atomic_files.write_json(options.json, report)
    print(text(report))


def measure_all(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure both servers with each dataset."""
    settings.apply()
    machine, report = measure.machine(), {"rows": {}, "texts": [], "services": []}
    for name in load_params().datasets:
        try:
            champion = prediction.champion(name)
        except NothingToServe as error:
            print(error, flush=True)
            continue
        rows, service = _measure_dataset(champion, rounds, seconds)
        report["rows"] |= rows
        report["texts"] += rows if champion.served.encoder.sample_kind == "text" else []
        report["services"].append(service)
    return {"machine": machine, "rounds": rounds, "clients": CLIENTS, "program": clients.program(), **report}


def _measure_dataset(champion: LoadedVersion, rounds: int, seconds: float) -> tuple[dict[str, Any], dict[str, float]]:
    """Measure both servers for each kind of sample, and the service's start (seconds) and final memory (MB)."""
    name, rows = champion.version.dataset, {}
    with feedforward_server() as service, mlflow_server(name) as mlflow:
        servers = {FEEDFORWARD: (service, f"/predict/{name}"), MLFLOW: (mlflow, "/invocations")}
        process_trees = {key: [s.process, *s.process.children(recursive=True)] for key, (s, _) in servers.items()}
        for kind, batch in samples(champion).items():
            bodies = {
                FEEDFORWARD: [{"samples": [sample]} for sample in batch],
                MLFLOW: [{"inputs": [sample]} for sample in batch],
            }
            measured: dict[str, list[Measurement]] = {FEEDFORWARD: [], MLFLOW: []}
            check_same_answers(*(answers(server.port, path, bodies[key]) for key, (server, path) in servers.items()))
            for _ in range(rounds):
                for key, (server, path) in servers.items():
                    measurement = clients.measure(process_trees[key], server.port, path, bodies[key], seconds, CLIENTS)
                    measured[key].append(measurement)
                    print(kind, key, measurement, flush=True)
            rows[kind] = {server: [asdict(each) for each in rounds_of] for server, rounds_of in measured.items()}
        return rows, {"ready": service.ready, "memory": service.process.memory_info().rss / 1e6}


def samples(champion: LoadedVersion) -> dict[str, list[str]]:
    """Samples by kind: texts with words drawn from the vocabulary by Zipf's law, or images as PNG in base64."""
    name, rng, encoder = champion.version.dataset, np.random.default_rng(0), champion.served.encoder
    if isinstance(encoder, TextEncoder):
        words = encoder.vocabulary.words
        frequencies = 1 / np.arange(10, 10 + len(words))  # Zipf's law, flattened for frequent words, as in real text
        frequencies /= frequencies.sum()
        return {name: [" ".join(rng.choice(words, WORDS, p=frequencies)) for _ in range(SAMPLES)]}
    rows = Split.load(paths.vectorized(name) / "test").rows(0, SAMPLES).features
    shape = (len(rows), encoder.settings()["height"], -1)
    images = [Image.fromarray(levels) for levels in np.asarray(rows, np.uint8).reshape(shape)]
    return {
        f"{name}, test images": [_png(image) for image in images],
        f"{name}, drawings": [_png(_drawing(rng)) for _ in range(SAMPLES)],
    }


def _drawing(rng: np.random.Generator) -> Image.Image:
    sheet = Image.new("L", (SIDE, SIDE), 255)
    line = [(int(x), int(y)) for x, y in rng.integers(SIDE // 6, SIDE - SIDE // 6, (5, 2))]
    ImageDraw.Draw(sheet).line(line, fill=0, width=SIDE // 12, joint="curve")
    return sheet


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


# --- servers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def feedforward_server(**variables: str) -> Iterator[Service]:
    """Run `feedforward serve` in this checkout. variables: environment variables to set."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "feedforward.cli", "serve", "--port", "0"]
    with _run_server(command, stdout=subprocess.PIPE, **variables) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[0].rpartition(b":")[2])
        yield _wait_for_answer(process, port, "/ready", began)


@contextlib.contextmanager
def mlflow_server(name: str) -> Iterator[Service]:
    """Run MLflow's server with the champion and default settings."""
    began = time.perf_counter()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}@champion"]
    with _run_server([*command, "--env-manager", "local", "-p", str(port)], stdout=subprocess.DEVNULL) as process:
        yield _wait_for_answer(process, port, "/ping", began)


@contextlib.contextmanager
def _run_server(command: Sequence[str], stdout: int, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # MLflow calls uvicorn by name
    environment = os.environ | {"PATH": path, "MLFLOW_TRACKING_URI": settings.tracking_uri()} | variables
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_answer(process: "subprocess.Popen[bytes]", port: int, path: str, began: float) -> Service:
    """Wait until the server answers at `path`; return it.

    Raises:
        SystemExit: the server exited, or did not answer in time.
    """
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
            return Service(port, psutil.Process(process.pid), time.perf_counter() - began)
        if process.poll() is not None:
            raise SystemExit(f"{process.args}: exited with code {process.returncode} before it answered at {path}")
        time.sleep(0.1)
    raise SystemExit(f"{process.args}: no answer at {path} within {START_TIMEOUT:.0f} s")


# --- answers -------------------------------------------------------------------------------------


def answers(port: int, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, float]]:
    """The probabilities that the server returns for the first sample of each body, by label."""
    probabilities = []
    for body in bodies:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            probabilities.append(json.load(response)["predictions"][0]["probabilities"])
    return probabilities


def check_same_answers(one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> None:
    """Check that two servers give the same probabilities.

    Raises:
        SystemExit: a probability differs by more than TOLERANCE.
    """
    for left, right in zip(one, other, strict=True):
        if left.keys() != right.keys() or any(abs(left[key] - right[key]) > TOLERANCE for key in left):
            raise SystemExit(f"the two servers give different answers: {left} and {right}")


# --- output --------------------------------------------------------------------------------------


def medians(report: Mapping[str, Any], name: str, server: str) -> Measurement:
    """The median of each measurement over the rounds."""
    rounds = report["rows"][name][server]
    return Measurement(**{key: statistics.median(each[key] for each in rounds) for key in rounds[0]})


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each dataset and server."""
    rows = [["", "requests/s", "p50 ms", "p99 ms", "CPU µs per request"]]
    for name, servers in report["rows"].items():
        for server in servers:
            row = medians(report, name, server)
            rows.append([f"{name}, {server}", f"{row.rate:.0f}", f"{row.p50:.1f}", f"{row.p99:.1f}", f"{row.cpu:.0f}"])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target."""
    rows = [["target", "limit", "measured", ""]]
    for name in report["rows"]:
        service, mlflow = (medians(report, name, server) for server in (FEEDFORWARD, MLFLOW))
        ratios = (mlflow.rate / service.rate, service.p99 / mlflow.p99)
        for target, value in zip((THROUGHPUT, LATENCY), ratios, strict=True):
            rows.append(_verdict(target, name, value))
        if name in report["texts"]:
            rows += [_verdict(TEXT_TIME, name, 1000 / service.rate), _verdict(TEXT_LATENCY, name, service.p99)]
    worst = {key: max(each[key] for each in report["services"]) for key in ("ready", "memory")}
    return [*rows, _verdict(READY_TIME, "", worst["ready"]), _verdict(MEMORY, "", worst["memory"])]


def _verdict(target: Target, name: str, value: float) -> list[str]:
    return [target.name.format(name), f"{target.limit:g}", f"{value:.3g}", target.verdict(value)]


def text(report: Mapping[str, Any]) -> str:
    """Both tables, for a terminal."""
    return terminal.text(report, table(report), targets_table(report))


if __name__ == "__main__":
    main()
