"""The service's metrics, in Prometheus format."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from feedforward.serving.workers import METRICS_FOLDER_VARIABLE

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # s


class ServiceMetrics:
    """The counters, histograms and gauges of one service, in a registry of their own instead of the global one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "feedforward_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "feedforward_request_seconds",
            "Seconds from receiving a complete request to answering it.",
            ["path"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._samples = Counter("feedforward_samples", "Samples predicted.", ["dataset"], registry=self.registry)
        self._feedback = Counter("feedforward_incoming", "Labeled samples stored.", ["dataset"], registry=self.registry)
        self._version = Gauge(
            "feedforward_champion_version",
            "Version of the champion in use; 0 if none.",
            ["dataset"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )

        self._answers = Histogram(
            "feedforward_answer_seconds",
            "Seconds per answer, by version, while a canary runs.",
            ["dataset", "version", "canary"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._canary_failures = Counter(
            "feedforward_canary_failures",
            "Requests that the challenger failed to answer and the champion answered instead.",
            ["dataset"],
            registry=self.registry,
        )
        self._dropped = Counter(
            "feedforward_shadow_dropped",
            "Requests not sent to the shadow because it was busy or not running.",
            ["dataset"],
            registry=self.registry,
        )
        self._challenger = Gauge(
            "feedforward_challenger_version",
            "Version of the challenger in use; 0 if none.",
            ["dataset"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._gauges: dict[str, Gauge] = {}

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a request and record its duration. path: one of a few fixed names, never text from a client."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_refusal(self, status: int) -> None:
        """Count a request that the HTTP server refused, or whose response it could not hold."""
        self._requests.labels("other", str(status)).inc()

    def count_samples(self, dataset: str, samples: int) -> None:
        """Count predicted samples."""
        self._samples.labels(dataset).inc(samples)

    def count_feedback(self, dataset: str) -> None:
        """Count a labeled sample that was stored."""
        self._feedback.labels(dataset).inc()

    def set_version(self, dataset: str, version: int) -> None:
        """Record which version serves the dataset; 0 for none."""
        self._version.labels(dataset).set(version)

    def observe_answer(self, dataset: str, version: int, canary: bool, seconds: float) -> None:
        """Record the duration of an answer while a canary runs."""
        self._answers.labels(dataset, str(version), str(canary).lower()).observe(seconds)

    def count_canary_failure(self, dataset: str) -> None:
        """Count a request that the challenger failed to answer."""
        self._canary_failures.labels(dataset).inc()

    def count_dropped(self, dataset: str, number: int) -> None:
        """Count requests that were not sent to the shadow."""
        self._dropped.labels(dataset).inc(number)

    def set_challenger(self, dataset: str, version: int) -> None:
        """Record which challenger is in use; 0 for none."""
        self._challenger.labels(dataset).set(version)

    def dropped(self) -> dict[str, int]:
        """Number of requests that were not sent to the shadow, by dataset."""
        samples = [sample for metric in self._dropped.collect() for sample in metric.samples]
        return {sample.labels["dataset"]: int(sample.value) for sample in samples if sample.name.endswith("_total")}

    def set_gauges(self, name: str, meaning: str, labels: Sequence[str], values: Mapping[Any, float]) -> None:
        """Replace all values of the gauge `feedforward_{name}`. values: by tuple, with one string per label."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(f"feedforward_{name}", meaning, labels, registry=self.registry)
        gauge.clear()
        for key, value in values.items():
            gauge.labels(*key).set(value)

    def text(self) -> bytes:
        """All metrics in Prometheus text format; over several workers, counters are added up, and gauges are maxima."""
        if METRICS_FOLDER_VARIABLE not in os.environ:
            return bytes(generate_latest(self.registry))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(registry))
