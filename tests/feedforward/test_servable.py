"""The served folder: what is written comes back, and what was touched is refused before it is parsed."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import keras_files
import numpy as np
import pytest

from feedforward import forward, servable
from feedforward.errors import DataError
from feedforward.readers import words
from feedforward.readers.encoding import ImageEncoder, TextEncoder
from feedforward.readers.images import Framing
from feedforward.servable import Description

MODEL = keras_files.model([20, 4, 1], ["relu", "sigmoid"])
WORDS = TextEncoder(words.Vocabulary(("good", "bad"), 20))


def description(model: bytes = MODEL, **changes: object) -> Description:
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
        "weights_digest": forward.read(model).weights_digest(),
    }
    return Description(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, str]:
    target = tmp_path / "served"
    return target, servable.write(target, MODEL, description(), WORDS)


def test_what_was_written_comes_back(folder: tuple[Path, str]) -> None:
    found = servable.read(*folder)
    assert found.description == description()
    assert found.encoder == WORDS
    features = found.encoder.encode(["good film", "bad"])
    np.testing.assert_array_equal(found.network.logits(features), forward.read(MODEL).logits(features))
    assert (
        found.bytes
        == sum(path.stat().st_size for path in folder[0].iterdir()) - 1 * (folder[0] / servable.MANIFEST).stat().st_size
    )


def test_the_same_model_has_the_same_digest(tmp_path: Path) -> None:
    digests = {servable.write(tmp_path / str(k), MODEL, description(), WORDS) for k in range(2)}
    assert len(digests) == 1


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1
    path.write_bytes(content)


def test_each_flipped_bit_is_found(folder: tuple[Path, str]) -> None:
    random = np.random.default_rng(0)
    for path in sorted(folder[0].iterdir()):
        whole = path.read_bytes()
        for _ in range(25):
            flip(path, int(random.integers(len(whole))))
            with pytest.raises(DataError, match=path.name):
                servable.read(*folder)
            path.write_bytes(whole)
    servable.read(*folder)


def swap_for_a_valid_one(target: Path) -> None:
    other = keras_files.model([20, 4, 1], ["relu", "sigmoid"], seed=1)
    for path in target.iterdir():
        path.unlink()
    target.rmdir()
    servable.write(target, other, description(other), WORDS)


def forge_the_manifest(target: Path) -> None:
    (target / servable.MODEL).write_bytes(keras_files.model([20, 4, 1], ["relu", "sigmoid"], seed=1))
    listed = json.loads((target / servable.MANIFEST).read_text())
    content = (target / servable.MODEL).read_bytes()
    listed[servable.MODEL] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (target / servable.MANIFEST).write_text(json.dumps(listed))


def link(target: Path) -> None:
    whole = (target / servable.MODEL).read_bytes()
    (target / servable.MODEL).unlink()
    (target.parent / "elsewhere").write_bytes(whole)
    (target / servable.MODEL).symlink_to(target.parent / "elsewhere")


@pytest.mark.parametrize(
    ("touch", "said"),
    [
        (swap_for_a_valid_one, "manifest.json: was changed"),
        (forge_the_manifest, "manifest.json: was changed"),
        (link, "model.keras: must be a plain file"),
        (lambda target: (target / "evil.py").write_text("import os"), "evil.py: is not in the manifest"),
        (lambda target: (target / "vocabulary.txt").unlink(), "vocabulary.txt: is missing"),
        (lambda target: (target / servable.MANIFEST).unlink(), "manifest.json: cannot be read"),
        (lambda target: os.truncate(target / servable.MODEL, 100), "model.keras: was changed"),
        (lambda target: os.truncate(target / servable.MODEL, 10**9), "model.keras: was changed"),
        (lambda target: os.truncate(target / servable.MANIFEST, 10**9), "manifest.json: was changed"),
    ],
)
def test_what_was_touched_is_refused(folder: tuple[Path, str], touch, said: str) -> None:
    touch(folder[0])
    with pytest.raises(DataError, match=said):
        servable.read(*folder)


@pytest.mark.parametrize("changes", [{"labels": ("a", "b", "c")}, {"weights_digest": "0"}, {"labels": ("a",)}])
def test_parts_that_do_not_belong_together_are_not_written(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match="do not fit"):
        servable.write(tmp_path / "s", MODEL, description(**changes), WORDS)
    with pytest.raises(DataError, match="do not fit"):
        servable.write(tmp_path / "s", MODEL, description(), ImageEncoder(Framing(3, 3, None, (1, 1))))
    assert not (tmp_path / "s").exists()


def test_a_description_of_another_format_is_refused(folder: tuple[Path, str]) -> None:
    target = folder[0]
    for content in (b"{}", b"[]", b"\xff", json.dumps({**dataclasses.asdict(description()), "format": 2}).encode()):
        (target / servable.DESCRIPTION).write_bytes(content)
        listed = json.loads((target / servable.MANIFEST).read_text())
        listed[servable.DESCRIPTION] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (target / servable.MANIFEST).write_text(json.dumps(listed))
        digest = hashlib.sha256((target / servable.MANIFEST).read_bytes()).hexdigest()
        with pytest.raises(DataError, match=r"description\.json: cannot be read"):
            servable.read(target, digest)
