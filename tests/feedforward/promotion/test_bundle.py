"""Bundles: a round trip, and the rejection of changed files before they are parsed."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import keras_files
import networks
import numpy as np
import pytest

from feedforward.core.errors import DataError, TrackingError
from feedforward.data.readers import tokenizer
from feedforward.data.readers.image_encoder import ImageEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.models import network_files
from feedforward.models.network_files import WEIGHTS
from feedforward.promotion import bundle
from feedforward.promotion.bundle import Description

FILES = networks.files([20, 4, 1], ["relu", "sigmoid"])
KERAS = {bundle.MODEL: keras_files.model([20, 4, 1], ["relu", "sigmoid"])}
ENCODER = TextEncoder(tokenizer.Vocabulary(("good", "bad"), 20))


def description(files: Mapping[str, bytes] = FILES, **changes: object) -> Description:
    values = {
        "dataset": "notes",
        "title": "Notes",
        "labels": ("sad", "glad"),
        "variant": "original",
        "seed": 0,
        "epochs": 4,
        "samples": 90,
        "run_id": "r",
        "fingerprint": "f",
        "data_digest": "d",
        "weights_digest": network_files.read(files).weights_digest(),
    }
    return Description(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, str]:
    """The folder of a bundle, and the bundle's digest."""
    target = tmp_path / "served"
    return target, bundle.write(target, FILES | KERAS, description(), ENCODER, "served")


def test_a_bundle_round_trips(stored: tuple[Path, str]) -> None:
    servable = bundle.read(*stored)
    assert servable.description == description()
    assert servable.encoder == ENCODER
    features = servable.encoder.encode(["good film", "bad"])
    np.testing.assert_array_equal(servable.network.logits(features), network_files.read(FILES).logits(features))
    assert servable.bytes == sum(
        path.stat().st_size for path in stored[0].iterdir() if path.name not in (bundle.MANIFEST, bundle.MODEL)
    )


def test_temperature_is_stored_with_the_bundle_and_changes_no_logits(tmp_path: Path) -> None:
    digest = bundle.write(tmp_path / "served", FILES, description(temperature=1.7), ENCODER, "served")
    servable = bundle.read(tmp_path / "served", digest)
    features, network = ENCODER.encode(["good film", "bad"]), network_files.read(FILES)
    np.testing.assert_array_equal(servable.network.logits(features), network.logits(features))
    log_odds = np.log(servable.predict(features)[:, 1] / servable.predict(features)[:, 0])
    np.testing.assert_allclose(log_odds, network.logits(features)[:, 0] / 1.7, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), 1e9, "hot"])
def test_a_temperature_out_of_range_is_rejected(tmp_path: Path, temperature: object) -> None:
    with pytest.raises(DataError, match=r"temperature must be a float from 0\.018 to 55"):
        bundle.write(tmp_path / "served", FILES, description(temperature=temperature), ENCODER, "served")


def test_a_bundle_without_a_temperature_is_read(tmp_path: Path) -> None:
    bundle.write(tmp_path / "served", FILES, description(), ENCODER, "served")
    path, manifest = tmp_path / "served" / bundle.DESCRIPTION, tmp_path / "served" / bundle.MANIFEST
    stored_description = json.loads(path.read_text())
    del stored_description["temperature"]
    path.write_text(json.dumps(stored_description))
    entries = json.loads(manifest.read_text())
    content = path.read_bytes()
    entries[bundle.DESCRIPTION] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest.write_text(json.dumps(entries))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert bundle.read(tmp_path / "served", digest).network.temperature == 1


def test_equal_bundles_have_the_same_digest(tmp_path: Path) -> None:
    digests = {bundle.write(tmp_path / str(k), FILES, description(), ENCODER, "served") for k in range(2)}
    assert len(digests) == 1


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1
    path.write_bytes(content)


def test_flipped_bits_in_any_file_are_detected(stored: tuple[Path, str]) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(stored[0].iterdir()):
        content = path.read_bytes()
        for _ in range(25):
            flip_bit(path, int(rng.integers(len(content))))
            with pytest.raises(DataError, match=path.name):
                bundle.read(*stored)
            path.write_bytes(content)
    bundle.read(*stored)


def replace_by_another_bundle(target: Path) -> None:
    other = networks.files([20, 4, 1], ["relu", "sigmoid"], seed=1)
    for path in target.iterdir():
        path.unlink()
    target.rmdir()
    bundle.write(target, other, description(other), ENCODER, "served")


def replace_weights_and_manifest(target: Path) -> None:
    content = networks.files([20, 4, 1], ["relu", "sigmoid"], seed=1)[WEIGHTS]
    (target / WEIGHTS).write_bytes(content)
    entries = json.loads((target / bundle.MANIFEST).read_text())
    entries[WEIGHTS] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (target / bundle.MANIFEST).write_text(json.dumps(entries))


def replace_weights_by_a_link(target: Path) -> None:
    content = (target / WEIGHTS).read_bytes()
    (target / WEIGHTS).unlink()
    (target.parent / "elsewhere").write_bytes(content)
    (target / WEIGHTS).symlink_to(target.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_by_another_bundle, "manifest.json: has changed"),
        (replace_weights_and_manifest, "manifest.json: has changed"),
        (replace_weights_by_a_link, "weights.npz: must be a regular file"),
        (lambda target: (target / "evil.py").write_text("import os"), "evil.py: is not in the manifest"),
        (lambda target: (target / "vocabulary.txt").unlink(), "vocabulary.txt: is missing"),
        (lambda target: (target / bundle.MANIFEST).unlink(), "manifest.json: cannot be read"),
        (lambda target: os.truncate(target / bundle.MODEL, 100), "model.keras: has changed"),
        (lambda target: os.truncate(target / WEIGHTS, 100), "weights.npz: has changed"),
        (lambda target: os.truncate(target / bundle.MODEL, 10**9), "model.keras: has changed"),
        (lambda target: os.truncate(target / bundle.MANIFEST, 10**9), "manifest.json: has changed"),
    ],
)
def test_changed_bundles_are_rejected(stored: tuple[Path, str], change, message: str) -> None:
    change(stored[0])
    with pytest.raises(DataError, match=message):
        bundle.read(*stored)


def test_a_folder_that_cannot_be_listed_may_be_intact(
    stored: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = stored
    monkeypatch.chdir(folder.parent)  # another user may not search the folders above it
    for path in (folder.parent, folder):
        path.chmod(0o311)  # its files can be opened, but it cannot be listed
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        with pytest.raises(TrackingError, match=rf"^{folder.name}: cannot be read \(Permission denied\); fix it"):
            bundle.read(Path(folder.name), digest)
    finally:
        os.seteuid(user)
        for path in (folder.parent, folder):
            path.chmod(0o755)
    bundle.read(folder, digest)


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"[" * 50_000, b'{"a": 1}', b'{"a": {"bytes": 1e999, "sha256": ""}}', b'{"a": {"bytes": -1}}'],
)
def test_an_invalid_manifest_is_rejected(stored: tuple[Path, str], manifest: bytes) -> None:
    (stored[0] / bundle.MANIFEST).write_bytes(manifest)
    with pytest.raises(DataError, match=r"manifest\.json: is not a manifest"):
        bundle.read(stored[0], hashlib.sha256(manifest).hexdigest())


@pytest.mark.parametrize("changes", [{"labels": ("a", "b", "c")}, {"weights_digest": "0"}, {"labels": ("a",)}])
def test_a_bundle_whose_parts_do_not_match_is_not_written(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match="do not match"):
        bundle.write(tmp_path / "s", FILES, description(**changes), ENCODER, "served")
    with pytest.raises(DataError, match="do not match"):
        bundle.write(tmp_path / "s", FILES, description(), ImageEncoder(ImageGeometry(3, 3, None, (1, 1))), "served")
    assert not (tmp_path / "s").exists()


def test_a_description_in_another_format_is_rejected(stored: tuple[Path, str]) -> None:
    target = stored[0]
    for content in (
        b"{}",
        b"[]",
        b"\xff",
        json.dumps({**dataclasses.asdict(description()), "format": 1, "encoder": {}}).encode(),
    ):
        (target / bundle.DESCRIPTION).write_bytes(content)
        entries = json.loads((target / bundle.MANIFEST).read_text())
        entries[bundle.DESCRIPTION] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (target / bundle.MANIFEST).write_text(json.dumps(entries))
        digest = hashlib.sha256((target / bundle.MANIFEST).read_bytes()).hexdigest()
        with pytest.raises(DataError, match=r"description\.json: cannot be read"):
            bundle.read(target, digest)
