"""The process in which challengers answer requests a second time: `python -m feedforward.serving.shadow.process`.

Standard input is a socket to the service: params.yaml as one JSON line, then frames. Reports go back over the same
socket, one JSON line each. The process has the lowest priority, so it runs only on idle cores, and it pauses after
every few requests, because even an idle core shares caches and memory with the core that answers clients. It ends when
the service closes the socket.
"""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from dataclasses import asdict
from typing import Any, BinaryIO

from feedforward.config.schema import Params
from feedforward.core.errors import Busy, DataError, FeedforwardError, InputError, NothingToServe
from feedforward.promotion import shadow_evidence
from feedforward.promotion.shadow_evidence import Evidence, Pair
from feedforward.serving import prediction, schemas
from feedforward.serving.prediction import LoadedVersion
from feedforward.serving.shadow import agreement, frames
from feedforward.serving.shadow.frames import Frame
from feedforward.tracking import model_version, model_versions, names

SHARE = 0.03  # of one core's time, at most, for comparing answers
REQUESTS_PER_BURST = 8  # requests between pauses; right after a pause, a request takes up to twice as long
READ_BYTES = 2**16
MAX_PAUSE = 1.0  # s, even after very large requests, or after a challenger was loaded
REPORT_INTERVAL = 1.0  # s between reports
FLUSH_INTERVAL = 5.0  # s between writes to the files with the statistics
RETRY_DELAY = 10.0  # s before loading a challenger is tried again
NICENESS = 19  # of the lowest priority


class Comparer:
    """Compares a challenger's answers with the champion's. Safe to use from two threads."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.problems: dict[str, str] = {}
        self._lock = threading.Lock()
        self._pairs: dict[str, Pair] = {}  # the latest, by dataset
        self._totals: dict[str, Evidence] = {}
        self._unwritten: dict[tuple[str, Pair], Evidence] = {}
        self._write_problems: dict[str, str] = {}
        self._challengers: dict[str, LoadedVersion] = {}
        self._retry_times = dict[str, float]()
        for name in params.datasets:
            self._restore(name)

    def compare(self, frame: Frame) -> None:
        """Answer the request with the challenger, and record how its answer differs from the champion's.

        If the challenger refuses the request, it agrees on none of the samples; no label is compared.
        """
        challenger = self._challenger(frame)
        if challenger is None:
            return
        served, champion_answers = challenger.served, json.loads(frame.answer)["predictions"]
        began = time.thread_time()
        limits, kind = self.params.serving, served.encoder.sample_kind
        try:
            question = schemas.question(kind, frame.kind, frame.body, limits.max_samples)
            samples = schemas.check_samples(served, question, limits)
            challenger_answers = prediction.as_answers(served, served.predict(served.encoder.encode(samples)))
            evidence = agreement.compare(champion_answers, challenger_answers, served, time.thread_time() - began)
        except InputError:
            evidence = Evidence(requests=1, samples=len(champion_answers), seconds=time.thread_time() - began)
        with self._lock:
            self._totals[frame.dataset].add(evidence)
            self._unwritten.setdefault((frame.dataset, frame.pair), Evidence()).add(evidence)

    def report(self) -> dict[str, Any]:
        """The statistics of each dataset's latest pair of versions, and the problems."""
        with self._lock:
            statistics = {name: {**asdict(self._pairs[name]), **asdict(total)} for name, total in self._totals.items()}
            return {"statistics": statistics, "problems": self.problems | self._write_problems}

    def flush(self) -> None:
        """Write the statistics recorded since the last call, and those that an earlier call could not write."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, {}
            self._write_problems = {}
        for (name, pair), evidence in unwritten.items():
            try:
                shadow_evidence.add(name, pair, evidence)
            except (OSError, ValueError, DataError, Busy) as error:
                with self._lock:
                    self._write_problems[name] = f"{name}: the shadow's statistics cannot be written ({error})"
                    if not isinstance(error, ValueError):  # if a sum is not finite, it can never be written
                        self._unwritten.setdefault((name, pair), Evidence()).add(evidence)

    def _challenger(self, frame: Frame) -> LoadedVersion | None:
        name = frame.dataset
        if self._pairs.get(name) != frame.pair:
            self._switch_pair(name, frame.pair)
        if name not in self._challengers and time.monotonic() >= self._retry_times.get(name, 0.0):
            try:
                self._challengers[name] = self._load(name, frame.pair)
                self.problems.pop(name, None)
            except FeedforwardError as error:
                self.problems[name] = str(error).splitlines()[0]
                self._retry_times[name] = time.monotonic() + RETRY_DELAY
        return self._challengers.get(name)

    def _restore(self, name: str) -> None:
        """Report what was recorded before a restart; otherwise, it would be missing until the next request."""
        try:
            if recorded := shadow_evidence.latest(name):
                self._pairs[name], self._totals[name] = recorded
        except DataError as error:
            self.problems[name] = str(error)

    def _switch_pair(self, name: str, pair: Pair) -> None:
        """Switch to another pair and its recorded statistics."""
        self.flush()
        recorded = Evidence()
        try:
            recorded = shadow_evidence.for_pair(name, pair)
        except DataError as error:
            self.problems[name] = str(error)
        with self._lock:
            if name not in self._pairs or self._pairs[name].challenger != pair.challenger:
                self._challengers.pop(name, None)
                self._retry_times.pop(name, None)
            self._pairs[name], self._totals[name] = pair, recorded

    def _load(self, name: str, pair: Pair) -> LoadedVersion:
        number, digest = pair.challenger
        version = model_versions.find(name, number)
        if version is None or version.tags.get(model_version.DIGEST) != digest:
            raise NothingToServe(f"{name} version {number}: is no longer registered")
        return prediction.champion(name, version, self.params.datasets[name])


def main() -> None:
    """Compare answers until the service closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the service, which closes the socket
    _lower_priority()
    with socket.socket(fileno=os.dup(0)) as connection, os.fdopen(os.dup(0), "rb", READ_BYTES) as stream:
        params = Params.model_validate_json(stream.readline())
        comparer = Comparer(params)
        stopped = threading.Event()
        reporting = threading.Thread(target=_report, args=(comparer, connection, stopped), daemon=True)
        reporting.start()
        try:
            with names.fixed(params.project):
                _compare_all(stream, comparer)
        finally:
            stopped.set()
            reporting.join(FLUSH_INTERVAL)
            comparer.flush()


def _compare_all(stream: BinaryIO, comparer: Comparer) -> None:
    burst_start, compared = time.thread_time(), 0
    while (frame := frames.read(stream)) is not None:
        with contextlib.suppress(FeedforwardError):  # one request must not end the comparison of the others
            comparer.compare(frame)
        compared += 1
        if compared % REQUESTS_PER_BURST == 0:
            time.sleep(min((1 / SHARE - 1) * (time.thread_time() - burst_start), MAX_PAUSE))
            burst_start = time.thread_time()


def _report(comparer: Comparer, connection: socket.socket, stopped: threading.Event) -> None:
    last_flush, last_report = time.monotonic(), b""
    while not stopped.wait(REPORT_INTERVAL):
        if time.monotonic() - last_flush >= FLUSH_INTERVAL:
            comparer.flush()
            last_flush = time.monotonic()
        report = json.dumps(comparer.report()).encode() + b"\n"
        if report != last_report:
            with contextlib.suppress(OSError):
                connection.sendall(report)
        last_report = report


def _lower_priority() -> None:
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    if hasattr(os, "SCHED_IDLE"):  # Linux: run only while a core would otherwise be idle
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main()
