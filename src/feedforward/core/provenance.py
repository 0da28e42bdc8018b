"""Provenance of a run: commit, library versions, kind of CPU, and the fingerprint of all of them.

Two runs with the same fingerprint give the same bits, so the second need not be trained.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files
from feedforward.core.code_digest import code_digest

LIBRARIES = ("tensorflow", "keras", "numba", "numpy")
# Outputs of stages do not make the tree dirty; otherwise every run would make its own tree dirty.
WRITTEN_BY_STAGES = ("dvc.lock", "data", "reports", "mlruns", "demo/data", "demo/reports", "demo/mlruns")


@dataclass(frozen=True)
class GitState:
    """Commit (hex; None outside a repository) and whether the tree differs from it."""

    commit: str | None
    dirty: bool


def git_state(folder: Path) -> GitState:
    """The commit that is checked out in `folder`; dirty: files changed, or new ones that git does not ignore."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return GitState(None, False)
    outputs = [f":(top,exclude){path}" for path in WRITTEN_BY_STAGES]
    return GitState(commit, bool(_git(folder, "status", "--porcelain", "--", ":(top)", *outputs)))


def _git(folder: Path, *arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # do not take git's lock
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@functools.cache
def installed_version(name: str) -> str:
    """The installed version, without importing the library; `tensorflow` is also found as `tensorflow-cpu`."""
    for distribution in (name, f"{name}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "absent"


def requirement(name: str) -> str:
    """The installed library as a pip requirement, under the name of the distribution that is installed."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name}-cpu=={installed_version(name)}"
    return f"{name}=={installed_version(name)}"


@functools.cache
def cpu_kind() -> dict[str, str | bool]:
    """The properties of a CPU that select kernels: vendor, family, model and vector units; no host name."""
    fields: dict[str, str] = {}
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:  # not Linux
        first = ""
    for line in first.splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    flags = fields.get("flags", fields.get("Features", "")).split()
    return {
        "machine": platform.machine(),
        "vendor": fields.get("vendor_id", fields.get("CPU implementer", platform.processor())),
        "family": fields.get("cpu family", fields.get("CPU architecture", "")),
        "model": fields.get("model", fields.get("CPU part", "")),
        "avx2": "avx2" in flags,
        "avx512": "avx512f" in flags,
        "amx": "amx_tile" in flags,
    }


def machine() -> str:
    """The machine in general terms, for reports: cores, memory, vector units; no host name."""
    import psutil

    kind, cores = cpu_kind(), psutil.cpu_count() or 1
    vectors = "AVX-512" if kind["avx512"] else "AVX2" if kind["avx2"] else "no AVX2"
    memory = psutil.virtual_memory().total / 2**30
    return f"{cores} CPU cores ({kind['machine']}, {vectors}) and {memory:.0f} GiB of memory"


def cpu_digest() -> str:
    """Twelve hex digits that are equal on CPUs of one kind."""
    return atomic_files.digest(cpu_kind())[:12]


def device() -> str:
    """`cpu`, or the model of the GPU that TensorFlow uses: the first that CUDA_VISIBLE_DEVICES lets it see.

    It is read from the driver, because importing TensorFlow takes seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if (
        visible in ("", "-1")
        or requirement("tensorflow").startswith("tensorflow-cpu")
        or not shutil.which("nvidia-smi")
    ):
        return "cpu"
    gpus = _gpus()
    first = visible.split(",")[0].strip() if visible else "0"
    return next((name for index, uuid, name in gpus if first == index or uuid.startswith(first)), "cpu")


@functools.cache
def _gpus() -> tuple[tuple[str, str, str], ...]:
    """(index, UUID, model) of each GPU of the machine."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split(", ", 2) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return tuple((row[0], row[1], row[2]) for row in rows if len(row) == 3)


@functools.cache
def host_digest() -> str:
    """Twelve hex digits for one boot of one machine or container, within which process numbers are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        identity = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        identity = socket.gethostname()
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def threads_decide() -> bool:
    """Whether the bits of a run depend on the number of threads of a matrix product.

    oneDNN's products with AVX-512 add up in one order, however the work is divided; its other products and those of
    Eigen do not, so they must run in one thread.
    """
    return device() != "cpu" or not cpu_kind()["avx512"] or _onednn() == "0"


def _onednn() -> str:
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")  # as the backend sets it


def fingerprint(
    *,
    data_digest: str,
    resolved: Mapping[str, Any],
    seed: int | None,
    protocol: str,
    role: str,
    device: str = "cpu",
    modules: Sequence[str],
) -> str:
    """SHA-256 (hex) of everything that decides the bits of a run.

    resolved: the variant, network and training parameters as JSON values, defaults filled in.
    device: what `device()` returns.
    modules: dotted names of the modules that decide the bits; everything that they import counts too.
    """
    return atomic_files.digest(
        {
            "data_digest": data_digest,
            "resolved": dict(resolved),
            "seed": seed,
            "protocol": protocol,
            "role": role,
            "device": device,
            "cpu": cpu_kind(),
            "code": code_digest(modules),
            "libraries": {name: installed_version(name) for name in LIBRARIES},
            "onednn": _onednn(),
        }
    )
