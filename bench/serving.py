"""Compares the service with `mlflow models serve` on the same version: `python -m bench.serving`, or `make bench`.

For a few rounds, 32 clients on loopback send requests to one server, then to the other. Each client has a persistent
connection and sends one sample per request; the clients share the machine's cores with the servers. The samples for
each dataset with a champion are texts as long as reviews, or its test pictures and drawings.
Writes reports/bench/serving.json.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import math
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
from PIL import Image, ImageDraw

from bench import measure
from bench.bench import Target, aligned
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import NothingToServe
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import Split
from feedforward.serving import prediction
from feedforward.serving.prediction import Champion
from feedforward.tracking import settings

CLIENTS = 32
SAMPLES = 200  # number of different samples, sent in turn
WORDS = 230  # per text: the mean over the reviews
SIDE = 280  # pixels of a drawing, as on the playground
ALIKE = 1e-6  # allowed difference between the probabilities from the two servers
OURS, MLFLOWS = "feedforward serve", "mlflow models serve"
START = 90.0  # s until a server must answer
THROUGHPUT = Target("{}: throughput, mlflow / feedforward (lower is better)", 0.20)
LATENCY = Target("{}: p99 latency, feedforward / mlflow (lower is better)", 1.0)


@dataclass(frozen=True)
class Load:
    """Measurements of the clients. rate: requests per second; p50, p99: ms until the last byte of a response."""

    rate: float
    p50: float
    p99: float


def main() -> None:
    """Measure, write, print; report datasets without a champion."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=paths.root() / "reports" / "bench" / "serving.json")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds per round and server")
    parser.add_argument("--quick", action="store_true", help="one round of one second, to test the benchmark itself")
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
    machine, rows = measure.machine(), {}
    for name in load_params().datasets:
        try:
            champion = prediction.champion(name)
        except NothingToServe as error:
            print(error, flush=True)
            continue
        rows |= _dataset(champion, rounds, seconds)
    return {"machine": machine, "rounds": rounds, "clients": CLIENTS, "rows": rows}


def _dataset(champion: Champion, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure both servers with each kind of sample."""
    name, rows = champion.version.dataset, {}
    with ours() as port, mlflows(name) as other:
        ports = {OURS: (port, f"/predict/{name}"), MLFLOWS: (other, "/invocations")}
        for kind, sent in samples(champion).items():
            bodies = {
                OURS: [{"samples": [sample]} for sample in sent],
                MLFLOWS: [{"inputs": [sample]} for sample in sent],
            }
            measured: dict[str, list[Load]] = {OURS: [], MLFLOWS: []}
            check_alike(*(answers(*ports[server], bodies[server]) for server in ports))
            for _ in range(rounds):
                for server, (server_port, path) in ports.items():
                    measured[server].append(asyncio.run(load(server_port, path, bodies[server], seconds)))
                    print(kind, server, measured[server][-1], flush=True)
            rows[kind] = {server: [asdict(load) for load in loads] for server, loads in measured.items()}
    return rows


def samples(champion: Champion) -> dict[str, list[str]]:
    """Samples by kind: texts with words drawn from the vocabulary by Zipf's law, or pictures in base64."""
    name, random, encoder = champion.version.dataset, np.random.default_rng(0), champion.served.encoder
    if isinstance(encoder, TextEncoder):
        words = encoder.vocabulary.words
        share = 1 / np.arange(10, 10 + len(words))  # Zipf's law, flattened at its head as in texts
        share /= share.sum()
        return {name: [" ".join(random.choice(words, WORDS, p=share)) for _ in range(SAMPLES)]}
    rows = Split.load(paths.vectorized(name) / "test").rows(0, SAMPLES).features
    shape = (len(rows), encoder.settings()["height"], -1)
    pictures = [Image.fromarray(levels) for levels in np.asarray(rows, np.uint8).reshape(shape)]
    return {
        f"{name}, test pictures": [_png(picture) for picture in pictures],
        f"{name}, drawings": [_png(_drawing(random)) for _ in range(SAMPLES)],
    }


def _drawing(random: np.random.Generator) -> Image.Image:
    sheet = Image.new("L", (SIDE, SIDE), 255)
    line = [(int(x), int(y)) for x, y in random.integers(SIDE // 6, SIDE - SIDE // 6, (5, 2))]
    ImageDraw.Draw(sheet).line(line, fill=0, width=SIDE // 12, joint="curve")
    return sheet


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


# --- servers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def ours(**variables: str) -> Iterator[int]:
    """Start the service of this checkout; yields its port. variables: environment variables to set."""
    command = [sys.executable, "-m", "feedforward.cli", "serve", "--port", "0"]
    with _started(command, stdout=subprocess.PIPE, **variables) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[0].rpartition(b":")[2])
        _wait(process, port, "/ready")
        yield port


@contextlib.contextmanager
def mlflows(name: str) -> Iterator[int]:
    """Start MLflow's server with the champion and default settings; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}@champion"]
    with _started([*command, "--env-manager", "local", "-p", str(port)], stdout=subprocess.DEVNULL) as process:
        _wait(process, port, "/ping")
        yield port


@contextlib.contextmanager
def _started(command: Sequence[str], stdout: int, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # MLflow calls uvicorn by name
    environment = os.environ | {"PATH": path, "MLFLOW_TRACKING_URI": settings.tracking_uri()} | variables
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: "subprocess.Popen[bytes]", port: int, path: str) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
            return
        time.sleep(0.1)
    raise SystemExit(f"{process.args}: no answer at {path} within {START:.0f} s")


# --- clients -------------------------------------------------------------------------------------


def answers(port: int, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, float]]:
    """The probabilities that the server returns for each sample."""
    probabilities = []
    for body in bodies:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            probabilities.append(json.load(response)["predictions"][0]["probabilities"])
    return probabilities


def check_alike(one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> None:
    """Refuse to compare servers with different answers.

    Raises:
        SystemExit: a probability differs.
    """
    for left, right in zip(one, other, strict=True):
        if left.keys() != right.keys() or any(abs(left[key] - right[key]) > ALIKE for key in left):
            raise SystemExit(f"the two servers give different answers: {left} and {right}")


async def load(
    port: int, path: str, bodies: Sequence[Mapping[str, Any]], seconds: float, number: int = CLIENTS
) -> Load:
    """Run `number` clients for `seconds`, after a warm-up of a tenth of it; each sends at least one request."""
    requests = [_request(port, path, body) for body in bodies]
    loop = asyncio.get_running_loop()
    began = time.perf_counter() + seconds / 10
    clients = [_Client(requests[first:] + requests[:first], began, began + seconds) for first in range(number)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.gather(*(client.done for client in clients))
    moments = [moment for client in clients for moment in client.moments]
    times = sorted(end - start for start, end in moments if start >= began)
    last = max(end for _, end in moments)
    return Load(len(times) / (last - began), 1000 * quantile(times, 0.5), 1000 * quantile(times, 0.99))


class _Client(asyncio.Protocol):
    """Sends one request after another over one connection; minimal, because it shares the cores with the server.

    moments: for each request, when it was sent and when its response was complete.
    """

    def __init__(self, requests: Sequence[bytes], began: float, ends: float) -> None:
        self.requests, self.began, self.ends = requests, began, ends
        self.moments: list[tuple[float, float]] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = b""

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self.requests[len(self.moments) % len(self.requests)])

    def data_received(self, data: bytes) -> None:
        """Receive part of a response; send the next request once the response is complete."""
        self._answer += data
        head, between, body = self._answer.partition(b"\r\n\r\n")
        if not between or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        if b" 200 " not in head[:20]:
            self._transport.close()
            return
        self.moments.append((self._sent, time.perf_counter()))
        self._answer = b""
        if self._sent < self.began or self.moments[-1][1] < self.ends:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the load is not complete: the server closed the connection or refused a request."""
        if not self.done.done():
            self.done.set_exception(SystemExit(f"a request was answered with {self._answer[:100]!r} ({exc})"))


def quantile(times: Sequence[float], share: float) -> float:
    """The smallest of the sorted times that at least this share of them does not exceed."""
    return times[max(0, math.ceil(share * len(times)) - 1)]


def _request(port: int, path: str, body: Mapping[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


# --- output --------------------------------------------------------------------------------------


def medians(report: Mapping[str, Any], name: str, server: str) -> Load:
    """The median load over the rounds."""
    loads = report["rows"][name][server]
    return Load(*(statistics.median(load[key] for load in loads) for key in ("rate", "p50", "p99")))


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each dataset and server."""
    rows = [["", "requests/s", "p50 ms", "p99 ms"]]
    for name, servers in report["rows"].items():
        for server in servers:
            row = medians(report, name, server)
            rows.append([f"{name}, {server}", f"{row.rate:.0f}", f"{row.p50:.1f}", f"{row.p99:.1f}"])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target."""
    rows = [["target", "limit", "measured", ""]]
    for name in report["rows"]:
        ours_load, mlflow_load = (medians(report, name, server) for server in (OURS, MLFLOWS))
        ratios = (mlflow_load.rate / ours_load.rate, ours_load.p99 / mlflow_load.p99)
        for target, value in zip((THROUGHPUT, LATENCY), ratios, strict=True):
            rows.append([target.name.format(name), f"{target.limit:g}", f"{value:.3f}", target.verdict(value)])
    return rows


def text(report: Mapping[str, Any]) -> str:
    """Both tables, for a terminal."""
    note = "QUICK: the figures mean nothing\n" if report["quick"] else ""
    return note + "\n\n".join(aligned(rows) for rows in (table(report), targets_table(report)))


if __name__ == "__main__":
    main()
