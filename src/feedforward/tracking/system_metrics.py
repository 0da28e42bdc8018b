"""Figures of the machine while a block runs: CPU, memory, disk, network and, where there is one, the GPU."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from feedforward.tracking.records import Sample, now


@contextlib.contextmanager
def sampling(interval: float = 1.0) -> Iterator[list[Sample]]:
    """Yield a list that fills with one Sample every `interval` seconds, the last one at the end of the block.

    MLflow's own monitors without its thread, which asks the store every second and would wait for a frozen server.
    """
    samples: list[Sample] = []
    monitors = _monitors()
    _look(monitors)  # the first look of CPUMonitor is always 0
    ended = threading.Event()

    def watch() -> None:
        while True:
            last = ended.wait(interval)
            samples.append(Sample(now(), _look(monitors)))
            if last:
                return

    thread = threading.Thread(target=watch, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _monitors() -> list[Any]:
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    # without a GPU or without nvidia-ml-py
    with contextlib.suppress(ImportError, RuntimeError):
        monitors.append(GPUMonitor())
    return monitors


def _look(monitors: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        values.update(monitor.aggregate_metrics())
        monitor.clear_metrics()
    return values
