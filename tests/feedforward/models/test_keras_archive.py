"""Only .keras files of this project's networks are accepted."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import keras_files
import pytest

from feedforward.core.errors import DataError
from feedforward.models import keras_archive

UNITS, ACTIVATIONS = [5, 3, 1], ["relu", "sigmoid"]


def config_with(**changes: object) -> bytes:
    """Return a configuration with these changes to the entry for the first hidden layer."""
    config = keras_files.config(UNITS, ACTIVATIONS)
    config["config"]["layers"][2] |= changes
    return json.dumps(config).encode()


def test_a_network_of_this_project_is_accepted_but_not_if_it_is_truncated() -> None:
    content = keras_files.model(UNITS, ACTIVATIONS)
    keras_archive.check(content)
    with pytest.raises(DataError):
        keras_archive.check(content[:-10])


@pytest.mark.slow
def test_a_file_saved_by_training_is_accepted(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    from small_data import params

    from feedforward.training import keras_files as keras_files_of_training
    from feedforward.training import network

    small = params()
    for variant in small.variants.values():
        model = network.build(small.datasets["notes"], variant, 40, seed=0)
        keras_archive.check(keras_files_of_training.to_bytes(model))


LAMBDA = {"class_name": "Lambda", "config": {"name": "evil", "function": {"class_name": "__lambda__", "config": {}}}}
INITIALIZER = {"module": "os", "class_name": "system", "config": "true", "registered_name": None}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_with(**LAMBDA), "must consist of Keras objects, got None.__lambda__"),
        (config_with(class_name="Lambda"), "got keras.layers.Lambda"),
        (config_with(module="os", class_name="system"), "got os.system"),
        (config_with(module="kerasevil"), "got kerasevil.Dense"),
        (config_with(registered_name="package>Dense"), "must not contain registered objects, got package>Dense"),
        (config_with(config={"name": "h", "activation": "relu", "kernel_initializer": INITIALIZER}), "got os.system"),
        (config_with(config={"name": "h", "units": 3, "activation": "os.system"}), "unknown activation 'os.system'"),
        (config_with(config={"name": "h", "activation": {"module": "os"}}), "unknown activation"),
        (json.dumps({"class_name": "Functional", "config": {}}).encode(), "must be a Sequential"),
        (b"[" * 100_000, "is not a valid model"),
        (b"{}", "is not a valid model: it lacks 'class_name'"),
        (b" " * (2**20 + 1), "config.json has more than 1048576 bytes"),
    ],
)
def test_a_network_with_unknown_parts_is_rejected(config: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        keras_archive.check(keras_files.model(UNITS, ACTIVATIONS, config=config))
    assert "\n" not in str(caught.value)


def test_extra_archive_members_and_other_files_are_rejected() -> None:
    complete = keras_files.model(UNITS, ACTIVATIONS)
    with zipfile.ZipFile(io.BytesIO(complete)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for content in (
        keras_files.archive({**members, "assets/run.py": b"import os"}),
        keras_files.archive({name: members[name] for name in list(members)[:2]}),
        complete[: len(complete) // 2],
        pickle.dumps([1]),
        b"",
    ):
        with pytest.raises(DataError, match=r"model\.keras: is not a valid model: "):
            keras_archive.check(content)


def test_a_decompression_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_archive, "MAX_BYTES", 10_000)
    members = {"metadata.json": b"{}", "config.json": json.dumps(keras_files.config([5, 1], ["sigmoid"])).encode()}
    bomb = keras_files.archive({**members, "model.weights.h5": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    with pytest.raises(DataError, match="its members have more than 10000 bytes"):
        keras_archive.check(bomb)
