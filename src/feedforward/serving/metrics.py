"""Metrics of the service in Prometheus's format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # s


class ServiceMetrics:
    """Counters, histograms and gauges of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "feedforward_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "feedforward_request_seconds",
            "Seconds from a complete request to its answer.",
            ["path"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._samples = Counter("feedforward_samples", "Samples answered.", ["dataset"], registry=self.registry)
        self._feedback = Counter("feedforward_incoming", "Labeled samples stored.", ["dataset"], registry=self.registry)
        self._version = Gauge(
            "feedforward_champion_version", "Version that serves; 0: none.", ["dataset"], registry=self.registry
        )

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a request. path: one of a few fixed names, never text from a client."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_refusal(self, status: int) -> None:
        """Count a request that was refused before it reached the application."""
        self._requests.labels("other", str(status)).inc()

    def count_samples(self, dataset: str, samples: int) -> None:
        """Count samples that were answered."""
        self._samples.labels(dataset).inc(samples)

    def count_feedback(self, dataset: str) -> None:
        """Count a labeled sample that was stored."""
        self._feedback.labels(dataset).inc()

    def set_version(self, dataset: str, version: int) -> None:
        """Record which version serves."""
        self._version.labels(dataset).set(version)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return bytes(generate_latest(self.registry))
