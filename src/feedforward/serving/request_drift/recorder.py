"""Request drift: windows of encoded requests, compared with the training data in a low-priority process."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Any

from feedforward.config.schema import Params
from feedforward.core.errors import FeedforwardError
from feedforward.data import request_windows
from feedforward.data.splits import Features
from feedforward.promotion import drift_windows, shadow_evidence
from feedforward.serving import problems
from feedforward.serving.metrics import ServiceMetrics
from feedforward.serving.prediction import LoadedVersion
from feedforward.serving.request_drift.reservoir import RequestReservoir

TICK = 1.0  # s between checks of the reservoirs
TIMEOUT = 600.0  # s for a comparison
log = logging.getLogger(__name__)


class RequestDrift:
    """A reservoir per dataset, and a thread that compares complete windows; nothing if `serving.reservoir` is 0."""

    def __init__(self, params: Params, names: Iterable[str], metrics: ServiceMetrics) -> None:
        self._params, self._metrics = params, metrics
        capacity = params.serving.reservoir
        self.reservoirs = {name: RequestReservoir(capacity) for name in names} if capacity else {}
        self.entries: dict[str, list[dict[str, Any]]] = {}  # one per window, for the latest windows
        self.problems: dict[str, str] = {}
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="request drift", daemon=True)

    def start(self) -> None:
        """Start the thread, which reads the entries recorded by earlier processes, then checks the reservoirs."""
        if self.reservoirs:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread and any comparison in progress; incomplete windows are lost."""
        self._stopped.set()
        if self._process is not None:
            self._process.kill()

    def offer(self, champion: LoadedVersion, features: Features) -> None:
        """Offer the encoded samples of a request that the champion has answered."""
        if (reservoir := self.reservoirs.get(champion.version.dataset)) is not None:
            reservoir.offer(shadow_evidence.identity(champion.version), features)

    def _run(self) -> None:
        for name in self.reservoirs:
            self._read_entries(name)
        while not self._stopped.wait(TICK):
            for name, reservoir in self.reservoirs.items():
                window = reservoir.take(self._params.serving.reservoir_seconds)
                if window is not None:
                    self._compare(name, window)

    def _compare(self, name: str, window: request_windows.Window) -> None:
        try:
            request_windows.save(name, window)
            self.problems.pop(name, None)
            self._run_process(name)
        except (OSError, subprocess.SubprocessError) as error:
            self._report(name, f"{name}: a window of requests was not compared ({error})")
        self._read_entries(name)

    def _run_process(self, name: str) -> None:
        command = [sys.executable, "-m", "feedforward.serving.request_drift.process", name]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stderr=pipe, process_group=0) as process:
            self._process = process
            try:
                _, errors = process.communicate(self._params.model_dump_json().encode(), TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        self._process = None
        if process.returncode and not self._stopped.is_set():
            lines = errors.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
            raise subprocess.SubprocessError(lines[-1][:300])

    def _read_entries(self, name: str) -> None:
        try:
            entries = drift_windows.load(name)
        except FeedforwardError as error:
            self._report(name, str(error))
            return
        self.entries[name] = entries
        self._set_gauges()

    def _report(self, name: str, problem: str) -> None:
        log.warning("%s", problem)
        self.problems[name] = problems.without_folders(problem)

    def _set_gauges(self) -> None:
        last = {name: entries[-1] for name, entries in self.entries.items() if entries}
        distances = {(n, kind): row["value"] for n, entry in last.items() for kind, row in entry["distances"].items()}
        gauge, dataset = self._metrics.set_gauges, ["dataset"]
        meaning = "Largest distance in the latest window of requests."
        gauge("request_distance", meaning, ["dataset", "measurement"], distances)
        meaning = "Number of distances in the latest window of requests that count as drift."
        gauge("request_drifted", meaning, dataset, {(name,): entry["drifted"] for name, entry in last.items()})
        meaning = "Number of samples in the latest window of requests."
        gauge("request_window_samples", meaning, dataset, {(name,): entry["samples"] for name, entry in last.items()})
