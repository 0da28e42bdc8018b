"""A bundle: a folder with a network, its preprocessing as plain files, and a manifest with the digests of these files.

    manifest.json      size and SHA-256 of every other file except model.sig; its own SHA-256 is a tag in the registry
    model.sig          signature of all other files, if params.yaml has a `promotion.key`
    description.json   dataset, variant, seed, labels, digests, and the settings of the encoder
    network.json       sizes and activations of the layers
    weights.npz        the weights of the layers
    vocabulary.txt     if the features are words
    columns.json       if the features are columns of a table
    model.keras        the same network in Keras's format; not in bundles of variants' replicas and of holdout models
    training_samples.bin
                       only in bundles of holdout models: the short digests of the samples that the model was trained on

No file is parsed before its digest is checked, and the bytes that are parsed are the bytes that were checked.
"""

import contextlib
import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.tasks import TASKS, Task
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, TrackingError
from feedforward.data.readers import encoders
from feedforward.data.readers.encoders import Encoder
from feedforward.data.sample_digests import ShortDigests
from feedforward.data.splits import Features
from feedforward.models import network_files
from feedforward.models.calibration import LIMITS
from feedforward.models.numpy_network import Network
from feedforward.promotion import signatures
from feedforward.tracking.model_version import SERVED

MANIFEST, DESCRIPTION, MODEL = "manifest.json", "description.json", "model.keras"
TRAINING_SAMPLES = "training_samples.bin"
SHORT_DIGEST = np.dtype(">u4")  # an entry of TRAINING_SAMPLES
FORMAT = 2  # of the description; in format 1, only model.keras contained the weights
MAX_MANIFEST_BYTES = 2**16
MAX_BYTES = 2**30  # of all files together


@dataclass(frozen=True)
class Description:
    """Metadata of the network in a bundle.

    epochs: number of epochs it was trained for. samples: number of samples it was trained on. target: (mean, standard
    deviation) of the target in the training data; a regression network predicts standardized values. spread: standard
    deviation in the training data of a target from 0 to 1, which is not standardized; None for other targets, and in
    bundles of releases up to 0.2. run_id, fingerprint: of the run that logged the network; empty for a holdout model,
    which no run logs. temperature: divides the logits (Network.temperature); 1 if the network predicts a value, and in
    bundles from releases before calibration. The bundle's Keras model does not apply it.
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
    task: str = ""  # empty in bundles from the time when classification was the only task
    target: tuple[float, float] | None = None
    spread: float | None = None
    temperature: float = 1.0

    @property
    def task_name(self) -> str:
        """The key in TASKS of the network's task."""
        return self.task or ("binary" if len(self.labels) == 2 else "multiclass")

    @property
    def task_definition(self) -> Task:
        """The entry in TASKS for the network's task."""
        return TASKS[self.task_name]


@dataclass(frozen=True)
class Servable:
    """A verified bundle in memory. digest: SHA-256 (hex) of its manifest. bytes: size of its files without model.keras.

    network: with the temperature of the description, so its probabilities are calibrated. training_samples: the
    sorted short digests of the samples that a holdout model was trained on; None if the bundle does not contain them.
    """

    description: Description
    encoder: Encoder
    network: Network
    digest: str
    bytes: int
    training_samples: ShortDigests | None = None

    def predict(self, features: Features) -> npt.NDArray[np.float64]:
        """Predictions of shape (samples, labels): probabilities, or values in the target's units."""
        if self.description.task_definition.answers == "class":
            return self.network.probabilities(features)
        mean, scale = self.description.target or (0.0, 1.0)
        return self.network.outputs(features) * scale + mean


def write(folder: Path, files: Mapping[str, bytes], description: Description, encoder: Encoder, role: str) -> str:
    """Write a bundle to the new `folder`; return the SHA-256 (hex) of its manifest.

    files: network.json and weights.npz, and optionally model.keras or training_samples.bin. role: what the bundle is in
    its version, such as `served` or `variants/l2`; it is signed, so that no bundle can take the place of another one.

    Raises:
        DataError: the network, the encoder and the description (task, labels, weights, temperature) do not match.
        ParamsError: the bundle must be signed, but the private key is missing or wrong.
    """
    _check_consistency(network_files.read(files), description, encoder)
    values = {"format": FORMAT, **asdict(description), "encoder": encoder.settings()}
    if description.spread is None:  # so that the bundles of other targets keep their digests
        del values["spread"]
    text = atomic_files.canonical_json(values, indent=2) + "\n"
    contents = {**files, DESCRIPTION: text.encode(), **encoder.files()}
    manifest = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    contents[MANIFEST] = (atomic_files.canonical_json(manifest, indent=2) + "\n").encode()
    if signature := signatures.sign(role, _digests(contents)):
        contents[signatures.FILE] = signature
    with atomic_files.writing_folder(folder, "package") as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
    return hashlib.sha256(contents[MANIFEST]).hexdigest()


def read(folder: Path, digest: str, role: str = SERVED) -> Servable:
    """Verify and read the bundle in `folder`; `digest` is the SHA-256 that its manifest must have.

    role: see `write`.

    Raises:
        DataError: a file or the signature is missing, changed or invalid, or a file was added. No code from the folder
            is run. ParamsError: params.yaml or its `promotion.key` is invalid.
    """
    return parse(folder, read_verified(folder, digest, role), digest)


def parse(folder: Path, files: Mapping[str, bytes], digest: str) -> Servable:
    """Parse the files that `read_verified` returned; `folder` is for messages.

    Raises:
        DataError: the files are not a bundle of this release, or do not match each other.
    """
    description, settings = _description(folder / DESCRIPTION, files)
    encoder, network = encoders.load(settings, files), network_files.read(files, str(folder))
    _check_consistency(network, description, encoder)
    network = replace(network, temperature=description.temperature)
    size = sum(len(content) for name, content in files.items() if name != MODEL)
    return Servable(description, encoder, network, digest, size, _training_samples(folder, files))


def to_content(training_samples: ShortDigests) -> bytes:
    """The content of TRAINING_SAMPLES."""
    return training_samples.astype(SHORT_DIGEST).tobytes()


def _training_samples(folder: Path, files: Mapping[str, bytes]) -> ShortDigests | None:
    content = files.get(TRAINING_SAMPLES)
    if content is None:
        return None
    if len(content) % SHORT_DIGEST.itemsize:
        raise DataError(f"{folder / TRAINING_SAMPLES}: is not a list of digests; promote the run again")
    return np.frombuffer(content, SHORT_DIGEST).astype(np.uint32)


def _description(path: Path, files: Mapping[str, bytes]) -> tuple[Description, dict[str, Any]]:
    """The description and the encoder's settings."""
    try:
        values = json.loads(files[DESCRIPTION])
        settings = values.pop("encoder")
        if (version := values.pop("format")) != FORMAT:
            raise ValueError(f"its format is {version}, expected {FORMAT}: another release wrote it")
        values |= {key: tuple(values[key]) for key in ("labels", "target") if values.get(key) is not None}
        return Description(**values), settings
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: cannot be read ({problem}); train and promote again") from None


def read_verified(folder: Path, digest: str, role: str = SERVED) -> dict[str, bytes]:
    """Check all digests and the signature of a bundle; return the content of each file in its manifest, by name.

    role: see `write`.

    Raises:
        DataError: a file is missing, added, changed or too large, or params.yaml has a key that the files are not
            signed with. ParamsError: params.yaml or its `promotion.key` is invalid. TrackingError: a file or the
            folder cannot be read at the moment.
    """
    remedy = "do not use this version; promote the run again"
    manifest = _read_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    if (received := hashlib.sha256(manifest).hexdigest()) != digest:
        raise DataError(
            f"{folder / MANIFEST}: has changed since it was registered"
            f" (expected SHA-256 {digest[:12]}…, got {received[:12]}…); {remedy}"
        )
    entries = _manifest_entries(folder / MANIFEST, manifest)
    with _reading(folder):
        names = {path.name for path in folder.iterdir()}
    if different := (names - {MANIFEST, signatures.FILE}) ^ set(entries):
        name = min(different)
        raise DataError(f"{folder / name}: is {'missing' if name in entries else 'not in the manifest'}; {remedy}")
    if sum(size for size, _ in entries.values()) > MAX_BYTES:
        raise DataError(f"{folder}: has more than {MAX_BYTES} bytes; {remedy}")
    files = {}
    for name, (size, expected) in entries.items():
        files[name] = _read_file(folder / name, size)
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise DataError(f"{folder / name}: has changed since it was registered; {remedy}")
    if key := signatures.required():
        path = folder / signatures.FILE
        if path.name not in names:
            raise signatures.NotSigned(
                f"{path}: is missing, but promotion.key in params.yaml requires a signed version; promote the run again"
            )
        digests = _digests({**files, MANIFEST: manifest})
        signatures.check(path, _read_file(path, signatures.MAX_BYTES), role, digests, key)
    return files


def _manifest_entries(path: Path, manifest: bytes) -> dict[str, tuple[int, str]]:
    """(size, SHA-256) of each file by name. The manifest is untrusted: its signature has not been checked yet."""
    try:
        entries = {str(name): (int(e["bytes"]), str(e["sha256"])) for name, e in json.loads(manifest).items()}
        if any(size < 0 for size, _ in entries.values()):
            raise ValueError("negative size")
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        raise DataError(f"{path}: is not a manifest; do not use the version, promote the run again") from None
    return entries


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Report a file or folder that cannot be read."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); promote the run again") from None
    except OSError as error:  # such as missing permissions or a disk that does not answer: the version may be intact
        raise TrackingError(f"{path}: cannot be read ({error.strerror}); fix it, then run again") from None


def _read_file(path: Path, limit: int) -> bytes:
    with _reading(path):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DataError(f"{path}: must be a regular file; do not use this version; promote the run again")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        raise DataError(
            f"{path}: has changed since it was registered: expected at most {limit} bytes; promote the run again"
        )
    return content


def _is_temperature(value: object, task: Task) -> bool:
    if task.answers == "value":
        return value == 1
    return isinstance(value, float) and LIMITS[0] <= value <= LIMITS[1]


def _check_consistency(network: Network, description: Description, encoder: Encoder) -> None:
    if description.task not in ("", *TASKS):
        raise DataError(f"{description.dataset}: unknown task {description.task!r}; train and promote again")
    task = description.task_definition
    if not _is_temperature(description.temperature, task):
        raise DataError(
            f"{description.dataset}: temperature must be a float from {LIMITS[0]:.2g} to {LIMITS[1]:.2g}"
            f" (exactly 1 for regression), got {description.temperature!r}; train and promote again"
        )
    pairs: dict[str, tuple[Any, Any]] = {
        "outputs and labels": (network.units, task.outputs(len(description.labels))),
        "last activation and task": (network.last_activation, task.activation),
        "features of network and encoder": (network.columns, encoder.feature_count),
        "weights and their recorded digest": (network.weights_digest(), description.weights_digest),
    }
    for names, (one, other) in pairs.items():
        if one != other:
            raise DataError(f"{description.dataset}: {names} do not match: {one} and {other}; train and promote again")
