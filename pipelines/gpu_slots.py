"""The device of a training job: the CPU, or one GPU that no other training job uses."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import Timeout
from prefect.concurrency.sync import concurrency

from feedforward.core import locks
from feedforward.core.errors import Busy, FeedforwardError

LIMIT = "gpu"  # the global concurrency limit that `make deploy` creates, with `retraining.gpus` slots
LEASE = 60  # seconds until the slot of a killed training job is free again; the minimum that Prefect allows
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"

Device = Literal["cpu", "gpu"]


@contextlib.contextmanager
def computing_on(device: Device, fallback: bool) -> Iterator[str]:
    """Make child processes started in this block use the device; yield a description of the device.

    A GPU job occupies a slot of Prefect's limit, which applies to all machines together, and a GPU of this machine.

    Raises:
        FeedforwardError: no GPU of this machine is visible, and `fallback` is false. Busy: all GPUs of this machine are
            in use, which can happen if there are more slots than GPUs.
    """
    indices = gpus() if device == "gpu" else []
    if device == "gpu" and not indices and not fallback:
        raise FeedforwardError(
            "no GPU is visible on this machine; start the worker of the gpu pool on a machine that has one,"
            " or set retraining.cpu_fallback in params.yaml"
        )
    if not indices:
        with _set_visible_devices(""):
            yield "the CPU, since there is no GPU" if device == "gpu" else "the CPU"
        return
    # strict: a limit that does not exist is an error; otherwise, it would be ignored
    slot = concurrency(LIMIT, occupy=1, strict=True, lease_duration=LEASE)
    with slot, hold_free_gpu(indices) as index, _set_visible_devices(index):
        yield f"GPU {index}"


def gpus() -> list[str]:
    """The indices of this machine's GPUs or, if $CUDA_VISIBLE_DEVICES is set, of the GPUs listed there."""
    visible = os.environ.get(VISIBLE_DEVICES)
    if visible is not None:
        return [index for index in visible.split(",") if index and index != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listing.stdout.split() if listing.returncode == 0 else []


@contextlib.contextmanager
def hold_free_gpu(indices: list[str], folder: Path | None = None) -> Iterator[str]:
    """Yield the first GPU that no other process of this user holds, and hold it until the block or the process ends.

    Raises:
        Busy: other processes hold all GPUs. FeedforwardError: the lock folder is a link or belongs to another user.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"feedforward-gpus-{os.getuid()}"  # shared by all checkouts
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise FeedforwardError(f"{folder}: is a link or belongs to another user; have it removed, or set TMPDIR")
    for index in indices:
        lock = locks.private(folder / f"{index}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            yield index
        finally:
            lock.release()
        return
    raise Busy(f"all GPUs of this machine ({', '.join(indices)}) are in use; lower retraining.gpus in params.yaml")


@contextlib.contextmanager
def _set_visible_devices(indices: str) -> Iterator[None]:
    previous = os.environ.get(VISIBLE_DEVICES)
    os.environ[VISIBLE_DEVICES] = indices
    try:
        yield
    finally:
        if previous is None:
            del os.environ[VISIBLE_DEVICES]
        else:
            os.environ[VISIBLE_DEVICES] = previous
