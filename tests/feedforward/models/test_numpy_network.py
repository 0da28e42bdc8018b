"""The forward pass in NumPy against mathematics and Keras; what must not be read is refused."""

import io
import json
import math
import zipfile
from pathlib import Path

import h5py
import keras_files
import numpy as np
import pytest

from feedforward.core.errors import DataError
from feedforward.data.splits import MultiHot
from feedforward.models import numpy_network
from feedforward.models.numpy_network import Layer, Network

ACTIVATIONS = ["relu", "tanh", "sigmoid", "elu", "gelu", "silu"]


def multi_hot(rows: int, columns: int) -> MultiHot:
    random = np.random.default_rng(1)
    lengths = random.integers(0, 7, rows)
    indices = [np.sort(random.choice(columns, length, replace=False)) for length in lengths]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiHot(indptr, np.concatenate([np.empty(0), *indices]).astype(np.uint16), columns)


def test_ten_equal_logits_are_ten_equal_probabilities() -> None:
    network = Network(1.0, (Layer(np.zeros((4, 10), np.float32), np.full(10, 3, np.float32), "softmax"),))
    features = np.ones((2, 4), np.uint8)
    np.testing.assert_allclose(network.probabilities(features), 0.1, atol=1e-12)
    np.testing.assert_allclose(network.log_probabilities(network.logits(features)), -math.log(10))


def test_logarithms_stay_finite_where_probabilities_vanish() -> None:
    for activation, width in (("sigmoid", 1), ("softmax", 2)):
        network = Network(1.0, (Layer(np.full((1, width), 1e4, np.float32), np.zeros(width, np.float32), activation),))
        network.layers[0].kernel[0, 0] *= -1
        found = network.log_probabilities(network.logits(np.ones((1, 1), np.uint8)))
        assert np.isfinite(found).all()
        assert found.min() <= -1e4


@pytest.mark.parametrize("rows", [0, 1, 8, 9, 4100])
def test_multi_hot_rows_give_what_dense_rows_give(rows: int) -> None:
    network = numpy_network.read(keras_files.model([50, 6, 1], ["relu", "sigmoid"], scale=0.5))
    features = multi_hot(rows, 50)
    np.testing.assert_allclose(network.logits(features), network.logits(features.dense()), atol=1e-5)
    assert network.probabilities(features).shape == (rows, 2)


@pytest.mark.slow
def test_the_forward_pass_and_the_digest_are_those_of_keras(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    features = np.random.default_rng(0).integers(0, 256, (300, 20)).astype(np.uint8)
    for number, activation in enumerate(ACTIVATIONS):
        last, width = ("sigmoid", 1) if number % 2 else ("softmax", 7)
        model = keras.Sequential(
            [
                keras.Input((20,)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Dense(16, activation=activation, bias_initializer="normal"),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(9, activation=activation),
                keras.layers.Dense(width, activation=last),
            ]
        )
        model.save(tmp_path / "model.keras")
        network = numpy_network.read((tmp_path / "model.keras").read_bytes())
        expected = np.asarray(model(features))
        found = network.probabilities(features)
        np.testing.assert_allclose(found[:, -width:], expected, atol=1e-6)
        from feedforward.training import trainer

        assert network.weights_digest() == trainer.weights_digest(model)


def test_features_that_do_not_fit_are_named() -> None:
    network = numpy_network.read(keras_files.model([5, 1], ["sigmoid"]))
    with pytest.raises(DataError, match=r"must have 5 columns, got shape \(2, 6\)"):
        network.logits(np.ones((2, 6), np.float32))


# --- what is refused ---------------------------------------------------------------------------


def changed(**changes: object) -> bytes:
    """A model whose first hidden layer's entry is changed."""
    described = keras_files.config([5, 3, 1], ["relu", "sigmoid"])
    described["config"]["layers"][2] |= changes
    return json.dumps(described).encode()


LAMBDA = {"class_name": "Lambda", "config": {"name": "evil", "function": {"class_name": "__lambda__", "config": {}}}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(**LAMBDA), "got keras.layers.Lambda"),
        (changed(module="os", class_name="system"), "got os.system"),
        (changed(registered_name="package>Dense"), "layers must be"),
        (changed(config={"name": "h", "units": 3, "activation": "os.system", "use_bias": True}), "not known"),
        (changed(config={"name": "h", "units": 10**9, "activation": "relu", "use_bias": True}), "more than"),
        (changed(config={"name": "h", "units": -3, "activation": "relu", "use_bias": True}), "refused"),
        (changed(class_name="InputLayer"), "not where it belongs"),
        (json.dumps({"class_name": "Functional", "config": {}}).encode(), "must be a Sequential"),
        (b"[" * 100_000, "refused"),
        (b"{}", "refused"),
        (b" " * (2**20 + 1), "config.json has more than 1048576 bytes"),
    ],
)
def test_a_network_of_unknown_parts_is_refused(config: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        numpy_network.read(keras_files.model([5, 3, 1], ["relu", "sigmoid"], config=config))
    assert "\n" not in str(caught.value)


def with_link(kind: h5py.ExternalLink | h5py.SoftLink) -> bytes:
    buffer = io.BytesIO(keras_files.weights([5, 3, 1]))
    with h5py.File(buffer, "r+") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = kind
    return buffer.getvalue()


def not_finite() -> bytes:
    buffer = io.BytesIO(keras_files.weights([5, 3, 1]))
    with h5py.File(buffer, "r+") as file:
        file["layers/dense/vars/0"][0, 0] = np.nan
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (keras_files.weights([6, 3, 1]), r"must be float32 of shape \(5, 3\)"),
        (keras_files.weights([5, 3, 1], compression="gzip"), "compressed"),
        (with_link(h5py.ExternalLink("/etc/passwd", "/")), "got a link"),
        (with_link(h5py.SoftLink("/layers/dense/vars/1")), "got a link"),
        (not_finite(), "must be finite"),
        (b"no HDF5", "refused"),
        (b"", "refused"),
    ],
)
def test_weights_that_are_no_plain_arrays_are_refused(weights: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        numpy_network.read(keras_files.model([5, 3, 1], ["relu", "sigmoid"], weights=weights))


def test_other_members_and_other_files_are_refused() -> None:
    whole = keras_files.model([5, 1], ["sigmoid"])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for content in (
        keras_files.archive({**members, "assets/run.py": b"import os"}),
        keras_files.archive({name: members[name] for name in list(members)[:2]}),
        whole[: len(whole) // 2],
        b"\x80\x04\x95",  # a pickle
        b"",
    ):
        with pytest.raises(DataError, match=r"model\.keras: refused"):
            numpy_network.read(content)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_network, "MAX_WEIGHTS_BYTES", 10_000)
    members = {"metadata.json": b"{}", "config.json": json.dumps(keras_files.config([5, 1], ["sigmoid"])).encode()}
    bomb = keras_files.archive({**members, "model.weights.h5": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    with pytest.raises(DataError, match=r"model\.weights\.h5 has more than 10000 bytes"):
        numpy_network.read(bomb)


def test_one_flipped_bit_is_another_digest() -> None:
    network = numpy_network.read(keras_files.model([5, 1], ["sigmoid"]))
    before = network.weights_digest()
    network.layers[0].kernel.view(np.uint32)[0, 0] ^= 1
    assert network.weights_digest() != before
