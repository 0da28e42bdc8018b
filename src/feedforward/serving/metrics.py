"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # s


class Meters:
    """Counters of one service; they live in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "feedforward_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "feedforward_request_seconds", "Time of a request.", ["path"], buckets=BUCKETS, registry=self.registry
        )
        self._samples = Counter("feedforward_samples", "Samples answered.", ["dataset"], registry=self.registry)
        self._kept = Counter("feedforward_incoming", "Labelled samples kept.", ["dataset"], registry=self.registry)
        self._version = Gauge(
            "feedforward_champion_version", "Version that serves; 0: none.", ["dataset"], registry=self.registry
        )

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a request. path: one of few names, never what a client wrote."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def answered(self, dataset: str, samples: int) -> None:
        """Count samples."""
        self._samples.labels(dataset).inc(samples)

    def kept(self, dataset: str) -> None:
        """Count a labelled sample."""
        self._kept.labels(dataset).inc()

    def serves(self, dataset: str, version: int) -> None:
        """Note who is champion."""
        self._version.labels(dataset).set(version)

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        return bytes(generate_latest(self.registry))
