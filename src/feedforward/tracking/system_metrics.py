"""Collect system metrics while a block runs: CPU, memory, disk, network and, if there are any, GPUs.

The metrics have the names that MLflow uses for system metrics, so MLflow's pages show them. MLflow's own sampler is not
used, because it sends each sample to the store immediately, and would block if the store did not answer.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from feedforward.tracking.records import Sample, now

Values = dict[str, float]


@contextlib.contextmanager
def sampling(interval: float = 1.0) -> Iterator[list[Sample]]:
    """Yield a list that receives one Sample every `interval` seconds and a last one at the end of the block."""
    samples: list[Sample] = []
    start = psutil.net_io_counters()  # None without a network interface
    readers = [_cpu, _disk, *([_network_since(start)] if start else []), *_gpus()]
    psutil.cpu_percent()  # starts the first interval; the value of the first call is always 0
    stop = threading.Event()

    def collect() -> None:
        is_last = False
        while not is_last:
            is_last = stop.wait(interval)
            values = {key: value for read in readers for key, value in read().items()}
            samples.append(Sample(now(), values))

    thread = threading.Thread(target=collect, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _cpu() -> Values:
    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": round(memory.used / memory.total * 100, 1),
    }


def _disk() -> Values:
    usage = psutil.disk_usage(os.sep)
    return {
        "disk_usage_percentage": usage.percent,
        "disk_usage_megabytes": round(usage.used / 1e6, 1),
        "disk_available_megabytes": round(usage.free / 1e6, 1),
    }


def _network_since(start: Any) -> Callable[[], Values]:
    def read() -> Values:
        counters = psutil.net_io_counters()
        return {
            "network_receive_megabytes": (counters.bytes_recv - start.bytes_recv) / 1e6,
            "network_transmit_megabytes": (counters.bytes_sent - start.bytes_sent) / 1e6,
        }

    return read


def _gpus() -> list[Callable[[], Values]]:
    """One reader per NVIDIA GPU; none without a GPU, its driver or nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        return [_gpu(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def _gpu(nvml: Any, number: int) -> Callable[[], Values]:
    handle = nvml.nvmlDeviceGetHandleByIndex(number)

    def read() -> Values:
        values: Values = {}
        with contextlib.suppress(nvml.NVMLError):  # virtual GPUs report only some of these
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            values["memory_usage_percentage"] = round(memory.used / memory.total * 100, 1)
            values["memory_usage_megabytes"] = round(memory.used / 1e6, 1)
        with contextlib.suppress(nvml.NVMLError):
            values["utilization_percentage"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with contextlib.suppress(nvml.NVMLError):
            power = nvml.nvmlDeviceGetPowerUsage(handle)  # mW
            values["power_usage_watts"] = power / 1000
            values["power_usage_percentage"] = power / nvml.nvmlDeviceGetEnforcedPowerLimit(handle) * 100
        return {f"gpu_{number}_{key}": value for key, value in values.items()}

    return read
