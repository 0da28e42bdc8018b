"""Checks that tampered models, and models that would run code, are refused before any part of them is loaded.

Row 25 of docs/reliability.md: without a key, a model is refused if it does not match the registry or is unsafe to load.
Row 36: with a key, a model is also refused if it is not signed with that key.
"""

import base64
import hashlib
import io
import json
import marshal
import os
import pickle
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py  # a dependency of Keras
import keras_files
import registered
import small_data

from faults import workspace
from faults.context import SEED, Context, environment
from feedforward import tracking
from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.models.network_files import WEIGHTS
from feedforward.promotion import promote, signatures
from feedforward.promotion.bundle import DESCRIPTION, MANIFEST, MODEL
from feedforward.serving import prediction
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version

UNITS, ACTIVATIONS = (small_data.WORDS, 1), ("sigmoid",)
Attack = Callable[[Path, Path], None]  # (served folder, marker: the file that the attacker's code would create)
Forgery = Callable[[Path, Path], None]  # (served folder, file for the attacker's private key)


def tamper(context: Context) -> str:
    """Row 25: flip bits, attack the champion's files, and register hostile challengers."""
    root = context.folder / "tampering"
    marker = root / "marker"
    with environment({"FEEDFORWARD_ROOT": str(root)}):
        params = _prepare(root)
        champion = prediction.champion(registered.NAME)
        flips = _flip_bits(_served(champion.version), context.count(100, 20))
        for name, attack in ATTACKS.items():
            with _RestoredFolder(_served(champion.version)) as folder:
                attack(folder, marker)
                _check_no_answer(root, name)
        names = ("a Lambda layer", "a pickle") if context.short else HOSTILE_FILES
        for name in names:
            file, content = HOSTILE_FILES[name]
            _check_refused_in_evaluation(params, name, file, content(marker))
        assert prediction.champion(registered.NAME).served.digest == champion.served.digest
    assert not marker.exists(), "an attacker's code was run"
    return (
        f"refused: {flips} of {flips} flipped bits, {len(ATTACKS)} of {len(ATTACKS)} attacks on the champion,"
        f" {len(names)} of {len(names)} hostile challengers; no attacker's code was run"
    )


def forge(context: Context) -> str:
    """Row 36: forge versions whose digests match the registry, as anyone can who may write to the store."""
    root, signer = context.folder / "forgery", context.folder / "keys" / "signer.pem"
    with environment({"FEEDFORWARD_ROOT": str(root), signatures.SIGNER: str(signer)}):
        key = signatures.create()[1]
        _prepare(root, promotion={"key": key})
        champion = prediction.champion(registered.NAME)
        for name, forgery in FORGERIES.items():
            with _RestoredFolder(_served(champion.version)) as folder:
                forgery(folder, signer.with_name(f"{name}.pem"))
                _register_digest(champion.version, folder)
                _check_no_answer(root, name)
        _register_digest(champion.version, _served(champion.version))  # undo the last forgery
        assert prediction.champion(registered.NAME).served.digest == champion.served.digest
        small_data.write_params(root / "params.yaml", small_data.values())
        with _RestoredFolder(_served(champion.version)) as folder:  # the forgery is valid except for its signature
            _swap_network(folder, signer)
            _register_digest(champion.version, folder)
            done = workspace.run(root, *workspace.FEEDFORWARD, "predict", registered.NAME, "word1 word2")
            assert done.returncode == 0, f"without a key: {done.stderr}"
    return f"{len(FORGERIES)} of {len(FORGERIES)} forged versions refused; without a key, a forged version is served"


def _register_digest(version: Version, folder: Path) -> None:
    """Set the digest in the registry to the digest of the folder's manifest."""
    from feedforward.tracking.registry import Registry

    Registry().tag(version, {model_version.DIGEST: atomic_files.file_digest(folder / MANIFEST)})


def _prepare(root: Path, **changes: object) -> Params:
    small_data.write_workspace(root, **changes)
    registered.write_vocabulary()
    params = load_params()
    registered.champion(tracking.open_store(), params)
    return params


def _served(version: Version) -> Path:
    return model_versions.folder(version, model_version.SERVED)


class _RestoredFolder:
    """A context manager that yields the folder, and restores it when the `with` block ends."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._backup = folder, folder.with_name("backup")

    def __enter__(self) -> Path:
        shutil.copytree(self._folder, self._backup)
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)
        self._backup.rename(self._folder)


def _flip_bits(folder: Path, count: int) -> int:
    """Flip `count` bits, one at a time, and check that each flip is detected; return `count`."""
    rng = random.Random(SEED)
    for number in range(count):
        path = rng.choice(sorted(folder.iterdir()))
        original = path.read_bytes()
        changed = bytearray(original)
        position = rng.randrange(len(original))
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        message = _refusal(lambda: prediction.champion(registered.NAME))
        assert path.name in message, f"flip {number}, byte {position} of {path.name}: {message or 'loaded'}"
        path.write_bytes(original)
    return count


def _check_no_answer(root: Path, name: str) -> None:
    """Check that `predict` prints a one-line error and no answer. name: the attack, for messages."""
    done = workspace.run(root, *workspace.FEEDFORWARD, "predict", registered.NAME, "word1 word2")
    assert done.stdout == "", f"{name}: answered {done.stdout}"
    try:
        workspace.one_line(done, 1, "; ", "promote")
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None


def _check_refused_in_evaluation(params: Params, name: str, file: str, content: bytes) -> None:
    """Check that a hostile model is refused even if its digests match, as if the attacker could write to the store."""
    from feedforward.tracking.registry import Registry

    registry = Registry()
    [run, *_] = registry.find_runs(registered.NAME, role="final")
    champion_folder = _served(prediction.champion(registered.NAME).version)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "served"
        shutil.copytree(champion_folder, folder)
        (folder / file).write_bytes(content)
        digest = _update_manifest(folder)
        version = registry.register(
            registered.NAME, run.run_id, {"served": folder}, {"digest": digest, "variants": "{}"}
        )
        message = _refusal(lambda: registered.evaluate(params, run, version))
        assert file in message, f"{name}: {message or 'passed the evaluation'}"
        assert "\n" not in message, f"{name}: {message}"


def _refusal(action: Callable[[], object]) -> str:
    """Return the message with which the action is refused; empty if it succeeds."""
    try:
        action()
    except (DataError, promote.Refused) as error:
        return str(error)
    return ""


# --- attacks on a served folder ---------------------------------------------------------


def _update_manifest(folder: Path) -> str:
    """Make the manifest match the files again; return the manifest's digest."""
    entries = {}
    for path in sorted(folder.iterdir()):
        if path.name not in (MANIFEST, signatures.FILE):
            content = path.read_bytes()
            entries[path.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    atomic_files.write_json(folder / MANIFEST, entries)
    return atomic_files.file_digest(folder / MANIFEST)


class _Payload:
    """An object that runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._marker}",)


def _pickle(marker: Path) -> bytes:
    return pickle.dumps(_Payload(marker))


def _lambda_layer(marker: Path) -> bytes:
    """A network with a Lambda layer that contains code, as Keras stores it."""
    code = compile(f"__import__('os').system('touch {marker}')", "lambda", "eval")
    encoded = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": encoded, "defaults": None, "closure": None}}
    return _with_layer(keras_files.layer("Lambda", "evil", function=function))


def _foreign_layer(marker: Path) -> bytes:
    """A network with a layer whose class belongs to a module outside Keras."""
    return _with_layer(keras_files.layer("Dense", "evil", units=1) | {"module": marker.stem, "class_name": "system"})


def _with_layer(layer: Mapping[str, object]) -> bytes:
    """A valid network with an extra layer."""
    description = keras_files.config(UNITS, ACTIVATIONS)
    description["config"]["layers"].insert(2, layer)
    return keras_files.model(UNITS, ACTIVATIONS, config=json.dumps(description).encode())


def _model_bomb(_: Path) -> bytes:
    """An archive of half a megabyte that would unpack to 600 MB."""
    members = {"metadata.json": b"{}", "config.json": json.dumps(keras_files.config(UNITS, ACTIVATIONS)).encode()}
    return keras_files.archive({**members, "model.weights.h5": bytes(600 * 10**6)}, zipfile.ZIP_DEFLATED)


def _external_link(_: Path) -> bytes:
    """Weights that link to another file on the machine."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/hostname", "/")
    return keras_files.model(UNITS, ACTIVATIONS, weights=buffer.getvalue())


def _extra_member(_: Path) -> bytes:
    """A valid network with an extra archive member."""
    with zipfile.ZipFile(io.BytesIO(registered.keras_model())) as original:
        members = {name: original.read(name) for name in original.namelist()}
    return keras_files.archive({**members, "../../evil.py": b"import os"})


def _weights_bomb(_: Path) -> bytes:
    """Half a megabyte of weights that would unpack to 500 MB."""
    return keras_files.archive({"kernel_0.npy": bytes(500 * 10**6), "bias_0.npy": b""}, zipfile.ZIP_DEFLATED)


# Files that must not be loaded: the name in the served folder, and a function of the marker that returns the content
HOSTILE_FILES: Mapping[str, tuple[str, Callable[[Path], bytes]]] = {
    "a Lambda layer": (MODEL, _lambda_layer),
    "a layer from a foreign module": (MODEL, _foreign_layer),
    "a decompression bomb": (MODEL, _model_bomb),
    "a link to another file": (MODEL, _external_link),
    "an extra archive member": (MODEL, _extra_member),
    "the first 500 bytes of the model": (MODEL, lambda _: registered.keras_model()[:500]),
    "an empty model": (MODEL, lambda _: b""),
    "a pickle": (WEIGHTS, _pickle),
    "weights that are a decompression bomb": (WEIGHTS, _weights_bomb),
    "the first 500 bytes of the weights": (WEIGHTS, lambda _: registered.weights(1.0)[:500]),
    "empty weights": (WEIGHTS, lambda _: b""),
}


def _replace_file(file: str, content: Callable[[Path], bytes]) -> Attack:
    """Return the attack that replaces the content of a file."""
    return lambda folder, marker: _write(folder / file, content(marker))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _swap_network(folder: Path, _: Path) -> None:
    """Replace the network with another valid model of the same dataset, and update the manifest."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    (folder / WEIGHTS).write_bytes(registered.weights(2.0))
    description["weights_digest"] = registered.network(2.0).weights_digest()
    atomic_files.write_json(folder / DESCRIPTION, description)
    _update_manifest(folder)


def _reverse_labels(folder: Path, _: Path) -> None:
    """Write the labels in reverse order."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    atomic_files.write_json(folder / DESCRIPTION, description | {"labels": description["labels"][::-1]})


def _replace_with_link(folder: Path, marker: Path) -> None:
    """Move the weights out of the folder, and put a link to them in their place."""
    target = marker.with_name("elsewhere")
    (folder / WEIGHTS).replace(target)
    (folder / WEIGHTS).symlink_to(target)


def _sign_again(folder: Path, signer: Path) -> None:
    """Replace the network and sign the folder with another key, which is written to the file `signer`."""
    _swap_network(folder, signer)
    with environment({signatures.SIGNER: str(signer)}):
        key = signatures.create()[1]
        params_file = small_data.write_params(folder.parent / "params.yaml", small_data.values(promotion={"key": key}))
        with environment({"FEEDFORWARD_ROOT": str(params_file.parent)}):
            names = [*atomic_files.read_json(folder / MANIFEST), MANIFEST]
            signature = signatures.sign(
                model_version.SERVED, {name: atomic_files.file_digest(folder / name) for name in names}
            )
    assert signature is not None
    (folder / signatures.FILE).write_bytes(signature)


def _remove_signature(folder: Path, signer: Path) -> None:
    """Replace the network and remove the signature."""
    _swap_network(folder, signer)
    (folder / signatures.FILE).unlink()


FORGERIES: Mapping[str, Forgery] = {
    "another network with the old signature": _swap_network,
    "another network without a signature": _remove_signature,
    "another network, signed with another key": _sign_again,
}
ATTACKS: Mapping[str, Attack] = {
    **{name: _replace_file(file, content) for name, (file, content) in HOSTILE_FILES.items()},
    "weights of another network": _replace_file(WEIGHTS, lambda _: registered.weights(2.0)),
    "another network with a matching manifest": _swap_network,
    "labels in reverse order": _reverse_labels,
    "a link in place of the weights": _replace_with_link,
    "an extra Python module": lambda folder, marker: _write(folder / "evil.py", f"open({str(marker)!r}, 'w')".encode()),
    "an extra pickle": lambda folder, marker: _write(folder / "model.pkl", _pickle(marker)),
    "no vocabulary": lambda folder, _: (folder / "vocabulary.txt").unlink(),
    "a one-gigabyte model file": lambda folder, _: os.truncate(folder / MODEL, 10**9),
}
