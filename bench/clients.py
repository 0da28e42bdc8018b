"""Clients on loopback that keep a server busy, each with a persistent connection and one request at a time.

If wrk is installed, it plays the clients: a load generator written in C that is independent of this project and needs a
tenth of the CPU time of the clients in this module, which are used only if wrk is missing.
"""

import asyncio
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

SCRIPT = Path(__file__).with_suffix(".lua")
OWN_CLIENTS = "bench.clients"


@dataclass(frozen=True)
class Measurement:
    """What the clients measured. rate: requests per second; p50, p99: ms from a request to the end of its response.

    requests: number of requests, including the warm-up. cpu: CPU time of the server per request, in µs.
    """

    rate: float
    p50: float
    p99: float
    requests: int
    cpu: float = math.nan


def measure(processes: Sequence[psutil.Process], *arguments: Any) -> Measurement:
    """Call `send` with the arguments, and add the CPU time that the server's `processes` used per request."""
    before = _cpu_seconds(processes)
    result = send(*arguments)
    return replace(result, cpu=1e6 * (_cpu_seconds(processes) - before) / result.requests)


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(time.user + time.system for time in times)


def program() -> str:
    """The program that `send` uses, with its version."""
    if shutil.which("wrk") is None:
        return OWN_CLIENTS
    output = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout  # exits with code 1
    return " ".join(output.split()[:2])


def send(port: int, path: str, bodies: Sequence[Mapping[str, Any]], seconds: float, clients: int) -> Measurement:
    """Let `clients` clients send the bodies in turn to `path` for `seconds`; return what they measured.

    Raises:
        SystemExit: a request was not answered with status 200.
    """
    if shutil.which("wrk") is None:
        return asyncio.run(send_without_wrk(port, path, bodies, seconds, clients))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(f"{json.dumps(body)}\n" for body in bodies)
        file.flush()
        load = ["-t", "1", "-c", str(clients), "-d", f"{max(1, round(seconds))}s", "--timeout", "30s"]
        command = ["wrk", *load, "-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--", path, file.name]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    values = json.loads(output.splitlines()[-1])
    if values.pop("failed"):
        raise SystemExit(f"requests to {path} failed:\n{output}")
    return Measurement(**values)


async def send_without_wrk(
    port: int, path: str, bodies: Sequence[Mapping[str, Any]], seconds: float, clients: int
) -> Measurement:
    """Run `clients` clients for `seconds`, after a warm-up a tenth as long; each client sends at least one request."""
    requests = [request(port, path, body) for body in bodies]
    loop = asyncio.get_running_loop()
    start_time = time.perf_counter() + seconds / 10
    protocols = [
        _Client(requests[first:] + requests[:first], start_time, start_time + seconds) for first in range(clients)
    ]
    for protocol in protocols:
        await loop.create_connection(lambda protocol=protocol: protocol, "127.0.0.1", port)
    await asyncio.gather(*(protocol.done for protocol in protocols))
    moments = [moment for protocol in protocols for moment in protocol.moments]
    times = sorted(end - start for start, end in moments if start >= start_time)
    last = max(end for _, end in moments)
    rate = len(times) / (last - start_time)
    return Measurement(rate, 1000 * quantile(times, 0.5), 1000 * quantile(times, 0.99), len(moments))


class _Client(asyncio.Protocol):
    """Sends one request after another over one connection. It is minimal, because it shares the server's cores.

    start_time, end_time: of the measurement. moments: for each request, when it was sent and when its response
    was complete.
    """

    def __init__(self, requests: Sequence[bytes], start_time: float, end_time: float) -> None:
        self.requests, self.start_time, self.end_time = requests, start_time, end_time
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
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        if b" 200 " not in head[:20]:
            self._transport.close()
            return
        self.moments.append((self._sent, time.perf_counter()))
        self._answer = b""
        if self._sent < self.start_time or self.moments[-1][1] < self.end_time:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the measurement is not over: the server closed the connection or refused a request."""
        if not self.done.done():
            problem = f"a request was not answered with status 200: received {self._answer[:100]!r} ({exc})"
            self.done.set_exception(SystemExit(problem))


def quantile(times: Sequence[float], share: float) -> float:
    """The shortest of the sorted `times` that at least this share of them does not exceed."""
    return times[max(0, math.ceil(share * len(times)) - 1)]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bytes:
    """Send one request (see `request`); return the body of the response."""
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))


def request(port: int, path: str, body: Mapping[str, Any]) -> bytes:
    """Return the bytes of a POST request with a JSON body."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
