"""Store the latest window of a dataset's encoded requests, and the drift distances of its latest windows.

A window is an .npz file without pickled objects, readable only by its owner. It contains features, never raw samples,
but the words of a short text can be recovered from its features. The window and the distances are stored in one file
each, which is replaced atomically, and which is not read if it exceeds a size limit.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from feedforward.core import append_only_log, atomic_files, paths
from feedforward.core.errors import DataError
from feedforward.data.splits import Features, MultiHot

MAX_BYTES = 2**27  # of each file
MAX_WINDOWS = 500  # number of windows whose distances are kept


@dataclass(frozen=True)
class Window:
    """Features of samples drawn uniformly at random from those that clients sent during a period.

    version, digest: the champion that encoded the samples. began, ended: the period, in ISO 8601, UTC. asked: number of
    samples that clients sent.
    """

    version: int
    digest: str
    began: str
    ended: str
    asked: int
    features: Features


def save(dataset: str, window: Window) -> None:
    """Replace the dataset's window."""
    head = {key: value for key, value in vars(window).items() if key != "features"}
    arrays: dict[str, Any] = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    if isinstance(window.features, MultiHot):
        arrays |= {"indptr": window.features.indptr, "indices": window.features.indices}
        arrays["columns"] = np.array([window.features.columns], np.int64)
    else:
        arrays["features"] = window.features
    with atomic_files.writing(paths.requests(dataset), "requests", private=True) as file:
        np.savez(file, **arrays)


def load(dataset: str) -> Window:
    """Load the dataset's window.

    Raises:
        DataError: the file is missing, too large or damaged.
    """
    path = paths.requests(dataset)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it decompresses to more than {MAX_BYTES} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _window(json.loads(arrays["head"].tobytes()), {name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, DataError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it; the service will write a new one") from None


def _window(head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Window:
    features: Features
    if "indptr" in arrays:
        features = MultiHot(arrays["indptr"], arrays["indices"], int(arrays["columns"][0]))
    else:
        features = arrays["features"]
    if len(features.shape) != 2 or not len(features):
        raise ValueError(f"its features must have two dimensions and at least one row, got shape {features.shape}")
    began, ended = (datetime.fromisoformat(head[key]).astimezone(UTC).isoformat() for key in ("began", "ended"))
    return Window(int(head["version"]), str(head["digest"]), began, ended, int(head["asked"]), features)


def append_distances(dataset: str, entry: Mapping[str, Any]) -> None:
    """Append a window's distances, and drop those of the oldest windows if there are more than MAX_WINDOWS.

    Only one process may do this at a time.
    """
    entries = [*load_distances(dataset)[-(MAX_WINDOWS - 1) :], entry]
    lines = "".join(f"{atomic_files.canonical_json(line)}\n" for line in entries)
    atomic_files.write_text(paths.request_drift(dataset), lines, "request_drift")


def load_distances(dataset: str) -> list[dict[str, Any]]:
    """The distances of the latest windows, oldest first.

    Keys of an entry: `time`, `began`, `version`, `digest`, `asked`, `samples`; `distances` (kind of distance → `name`,
    `value`, `bound`, `p` and `drift` (whether it counts as drift) of the largest distance); `drifted` (number of
    distances that count as drift); `farthest` (a line of text about the largest drifted distance, or null).

    Raises:
        DataError: the file is too large or damaged.
    """
    path = paths.request_drift(dataset)
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: has more than {MAX_BYTES} bytes; remove it")
    entries = [entry for entry in append_only_log.read(path) if {"distances", "digest"} <= entry.keys()][-MAX_WINDOWS:]
    try:
        for entry in entries:
            _check_entry(entry)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it; the service will write a new one") from None
    return entries


def _check_entry(entry: Mapping[str, Any]) -> None:
    """Raise an exception unless the entry has the keys that `load_distances` lists, with values of valid types."""
    moments = [datetime.fromisoformat(entry[key]) for key in ("time", "began")]
    numbers = [entry[key] for key in ("version", "asked", "samples", "drifted")]
    texts = [entry["farthest"] or "", entry["digest"]]
    for distance in entry["distances"].values():
        numbers += [distance[key] for key in ("value", "bound", "p", "drift")]
        texts.append(distance["name"])
    if any(moment.tzinfo is None for moment in moments):
        raise ValueError("a time has no time zone")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a digest, a name or `farthest` is not text")
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise TypeError("a value must be a finite number")
