"""Provenance of a run: commit, library versions, kind of CPU, and a fingerprint of all that determines its results.

Two runs with the same fingerprint have the same results, bit for bit, so the second one need not be trained.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files

LIBRARIES = ("tensorflow", "keras", "numba", "numpy")
# These do not count as changes to the working tree; otherwise every run would make its own tree dirty.
STAGE_OUTPUTS = ("dvc.lock", "data", "reports", "mlruns", "demo/data", "demo/reports", "demo/mlruns")
CODE = ("src", "pipelines", "requirements")  # folders in which new files count as changes


@dataclass(frozen=True)
class GitState:
    """Commit (hex; None if there is none) and whether the working tree differs from it."""

    commit: str | None
    dirty: bool


def git_state(folder: Path) -> GitState:
    """The commit checked out in a workspace; dirty if files outside STAGE_OUTPUTS have changed or code is new.

    Other new files, such as exported archives and pages, do not count.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or not is_in_repository(folder):
        return GitState(None, False)
    outputs = [f":(top,exclude){path}" for path in STAGE_OUTPUTS]
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":(top)", *outputs)
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "--", *(f":(top){path}" for path in CODE))
    return GitState(commit, bool(changed or new))


def is_in_repository(folder: Path) -> bool:
    """Whether a workspace is a git repository or part of one, and not merely unpacked somewhere inside one."""
    if (folder / ".git").exists():
        return True
    return _git(folder, "ls-files", "--error-unmatch", "params.yaml") is not None


def _git(folder: Path, *arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # do not take git's lock
    try:
        completed = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.strip() if completed.returncode == 0 else None


@functools.cache
def installed_version(name: str) -> str:
    """The installed version of a library or `absent`, without an import; `tensorflow-cpu` counts as `tensorflow`."""
    for distribution in (name, f"{name}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "absent"


def requirement(name: str) -> str:
    """A pip requirement for the installed version of a library, such as `tensorflow-cpu==…` for `tensorflow`."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name}-cpu=={installed_version(name)}"
    return f"{name}=={installed_version(name)}"


@functools.cache
def cpu_kind() -> dict[str, str | bool]:
    """What determines which compute kernels run: the CPU's architecture, vendor, family, model and vector units."""
    fields: dict[str, str] = {}
    try:
        first_core = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:  # not Linux
        first_core = ""
    for line in first_core.splitlines():
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
    """A general description of the machine for reports: cores, vector units, memory; no host name."""
    import psutil

    kind, cores = cpu_kind(), psutil.cpu_count() or 1
    vectors = "AVX-512" if kind["avx512"] else "AVX2" if kind["avx2"] else "no AVX2"
    memory = psutil.virtual_memory().total / 2**30
    return f"{cores} CPU cores ({kind['machine']}, {vectors}) and {memory:.0f} GiB of memory"


def cpu_digest() -> str:
    """Twelve hex digits that are equal on CPUs of the same kind."""
    return atomic_files.digest(cpu_kind())[:12]


def device() -> str:
    """`cpu`, or the model of the GPU that TensorFlow uses: the first one that CUDA_VISIBLE_DEVICES allows.

    The model is read from the driver, because importing TensorFlow takes seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if (
        visible in ("", "-1")
        or requirement("tensorflow").startswith("tensorflow-cpu")
        or not shutil.which("nvidia-smi")
    ):
        return "cpu"
    gpus = _gpus()
    first_visible = visible.split(",")[0].strip() if visible else "0"  # an index, or the start of a UUID
    return next((name for index, uuid, name in gpus if first_visible == index or uuid.startswith(first_visible)), "cpu")


@functools.cache
def _gpus() -> tuple[tuple[str, str, str], ...]:
    """(index, UUID, model) of each GPU in the machine."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split(", ", 2) for line in completed.stdout.splitlines()] if completed.returncode == 0 else []
    return tuple((row[0], row[1], row[2]) for row in rows if len(row) == 3)


@functools.cache
def host_digest() -> str:
    """Twelve hex digits that identify a boot of a machine or container, within which process numbers are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        identity = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        identity = socket.gethostname()
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def bits_depend_on_threads() -> bool:
    """Whether the bits of a run may depend on the number of CPU threads that compute a matrix product.

    With AVX-512, oneDNN adds in the same order however the work is divided among threads. Without AVX-512 it does not,
    and neither does Eigen, which TensorFlow uses if oneDNN is turned off. With a GPU, the answer is always True.
    """
    return device() != "cpu" or not cpu_kind()["avx512"] or _onednn() == "0"


def _onednn() -> str:
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")  # the default that training/keras_backend.py sets


def computed_by() -> dict[str, Any]:
    """The kind of CPU and the versions of libraries, on which the bits of a run depend."""
    return {"cpu": cpu_kind(), "libraries": {name: installed_version(name) for name in LIBRARIES}}


def fingerprint(
    *,
    dataset: str,
    data_digest: str,
    resolved: Mapping[str, Any],
    seed: int | None,
    protocol: str,
    role: str,
    device: str = "cpu",
    code: str,
) -> str:
    """SHA-256 (hex) of everything that determines the bits of a run, and of its dataset's name.

    The name is included because two datasets with equal data and parameters are recorded separately.
    resolved: the variant, network and training parameters, with defaults filled in, as JSON values.
    device: the result of `device()`.
    code: the digest of the modules that determine the bits; see code_digest.
    """
    return atomic_files.digest(
        {
            "dataset": dataset,
            "data_digest": data_digest,
            "resolved": dict(resolved),
            "seed": seed,
            "protocol": protocol,
            "role": role,
            "device": device,
            "code": code,
            **computed_by(),
            "onednn": _onednn(),
        }
    )
