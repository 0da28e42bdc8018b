"""What is served, as a folder: a network, its preprocessing as plain files, and a manifest of digests over all of it.

    manifest.json      size and SHA-256 of each other file; its own SHA-256 is kept in the registry
    description.json   what it is: data set, variant, seed, labels, digests, the encoder's settings
    model.keras        the network, as Keras saved it
    vocabulary.txt     where features are words

Nothing is parsed before its digest is checked, and what is parsed are the very bytes that were checked.
"""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.tasks import TASKS, Task
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data.readers import encoders
from feedforward.data.readers.encoders import Encoder
from feedforward.data.splits import Features
from feedforward.models import numpy_network
from feedforward.models.numpy_network import Network

MANIFEST, DESCRIPTION, MODEL = "manifest.json", "description.json", "model.keras"
MAX_MANIFEST_BYTES = 2**16
MAX_BYTES = 2**30  # of all files together


@dataclass(frozen=True)
class Description:
    """What a served network is. epochs: that it was trained for; samples: that it was trained on.

    target: mean and standard deviation of the value that was learned, where it was learned in those.
    """

    dataset: str
    title: str
    labels: tuple[str, ...]
    variant: str
    seed: int
    epochs: int
    samples: int
    run_id: str
    fingerprint: str
    data_digest: str
    weights_digest: str
    task: str = ""  # what was packaged before there were others: a class
    target: tuple[float, float] | None = None

    @property
    def row(self) -> Task:
        """The row of the table of tasks."""
        return TASKS[self.task or ("binary" if len(self.labels) == 2 else "multiclass")]


@dataclass(frozen=True)
class Servable:
    """A network that can be asked. digest: SHA-256 (hex) of its manifest. bytes: size of its folder."""

    description: Description
    encoder: Encoder
    network: Network
    digest: str
    bytes: int

    def ask(self, features: Features) -> npt.NDArray[np.float64]:
        """(samples, labels): probabilities, or the value in its own unit."""
        if self.description.row.answers == "class":
            return self.network.probabilities(features)
        mean, scale = self.description.target or (0.0, 1.0)
        return self.network.outputs(features) * scale + mean


def write(folder: Path, model: bytes, description: Description, encoder: Encoder) -> str:
    """Write the files into the new `folder`; the digest of the manifest.

    Raises:
        DataError: network, labels, encoder and recorded weights do not belong together.
    """
    network = numpy_network.read(model)
    _check(network, description, encoder)
    described = {"format": 1, **asdict(description), "encoder": encoder.settings()}
    text = atomic_files.canonical_json(described, indent=2) + "\n"
    files = {MODEL: model, DESCRIPTION: text.encode(), **encoder.files()}
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    files[MANIFEST] = (atomic_files.canonical_json(listed, indent=2) + "\n").encode()
    with atomic_files.writing_folder(folder, "package") as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
    return hashlib.sha256(files[MANIFEST]).hexdigest()


def read(folder: Path, digest: str) -> Servable:
    """The servable in `folder`, whose manifest has that digest.

    Raises:
        DataError: a file is missing, added or changed, or is not what it should be; nothing of it was run.
    """
    files = verified(folder, digest)
    try:
        described = json.loads(files[DESCRIPTION])
        settings = described.pop("encoder")
        if described.pop("format") != 1:
            raise ValueError("its format is not 1")
        described |= {key: tuple(described[key]) for key in ("labels", "target") if described.get(key) is not None}
        description = Description(**described)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{folder / DESCRIPTION}: cannot be read ({error}); promote the run again") from None
    if MODEL not in files:
        raise DataError(f"{folder / MODEL}: missing; promote the run again")
    encoder, network = encoders.load(settings, files), numpy_network.read(files[MODEL], str(folder / MODEL))
    _check(network, description, encoder)
    return Servable(description, encoder, network, digest, sum(map(len, files.values())))


def verified(folder: Path, digest: str) -> dict[str, bytes]:
    """The content of each file of the manifest, and of no other, once all digests are right.

    Raises:
        DataError: a file is missing, added or changed.
    """
    remedy = "do not use it; promote the run again"
    manifest = _content(folder / MANIFEST, MAX_MANIFEST_BYTES)
    if (found := hashlib.sha256(manifest).hexdigest()) != digest:
        raise DataError(
            f"{folder / MANIFEST}: was changed since it was registered"
            f" (SHA-256 {found[:12]}…, expected {digest[:12]}…); {remedy}"
        )
    listed: Mapping[str, Mapping[str, Any]] = json.loads(manifest)
    names = {path.name for path in folder.iterdir()} - {MANIFEST}
    if names != set(listed):
        odd = sorted(names ^ set(listed))[0]
        raise DataError(f"{folder / odd}: is {'missing' if odd in listed else 'not in the manifest'}; {remedy}")
    if sum(int(entry["bytes"]) for entry in listed.values()) > MAX_BYTES:
        raise DataError(f"{folder}: has more than {MAX_BYTES} bytes; {remedy}")
    files = {}
    for name, entry in listed.items():
        files[name] = _content(folder / name, int(entry["bytes"]))
        if hashlib.sha256(files[name]).hexdigest() != entry["sha256"]:
            raise DataError(f"{folder / name}: was changed since it was registered; {remedy}")
    return files


def _content(path: Path, limit: int) -> bytes:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DataError(f"{path}: must be a plain file; do not use it, promote the run again")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); promote the run again") from None
    if len(content) > limit:
        raise DataError(
            f"{path}: was changed since it was registered: must have at most {limit} bytes; promote the run again"
        )
    return content


def _check(network: Network, description: Description, encoder: Encoder) -> None:
    if description.task not in ("", *TASKS):
        raise DataError(f"{description.dataset}: unknown task {description.task!r}; train and promote again")
    row = description.row
    pairs: dict[str, tuple[Any, Any]] = {
        "outputs and labels": (network.units, row.outputs(len(description.labels))),
        "last activation and task": (network.last, row.activation),
        "features of network and encoder": (network.columns, encoder.columns),
        "weights and their recorded digest": (network.weights_digest(), description.weights_digest),
    }
    for what, (one, other) in pairs.items():
        if one != other:
            raise DataError(f"{description.dataset}: {what} do not fit: {one} and {other}; train and promote again")
