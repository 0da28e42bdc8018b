"""network.json and weights.npz: networks are read back bit for bit; anything else is refused in one line."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable

import networks
import numpy as np
import pytest
from keras_files import archive
from raw_files import npy

from feedforward.core.errors import DataError
from feedforward.models import network_files
from feedforward.models.network_files import NETWORK, WEIGHTS

FILES = networks.files([5, 3, 1], ["relu", "sigmoid"], scale=1 / 255)


def test_a_network_round_trips_bit_for_bit() -> None:
    network = networks.network([5, 3, 1], ["relu", "sigmoid"], scale=1 / 255)
    read = network_files.read(network_files.to_files(network))
    assert read.scale == network.scale
    assert read.weights_digest() == network.weights_digest()
    assert [layer.activation for layer in read.layers] == ["relu", "sigmoid"]


def test_equal_networks_give_identical_files_that_numpy_can_read() -> None:
    assert networks.files([5, 3, 1], ["relu", "sigmoid"], scale=1 / 255) == FILES
    with np.load(io.BytesIO(FILES[WEIGHTS]), allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "kernel_0": (5, 3),
            "bias_0": (3,),
            "kernel_1": (3, 1),
            "bias_1": (1,),
        }


@pytest.mark.parametrize("missing", [NETWORK, WEIGHTS])
def test_error_names_the_missing_file(missing: str) -> None:
    with pytest.raises(DataError, match=f"has no {missing}; train and promote again"):
        network_files.read({name: content for name, content in FILES.items() if name != missing})


# --- network.json ------------------------------------------------------------------------------


def network_json(**changes: object) -> bytes:
    """Return network.json with changes at the top level. layer: changes to the first layer."""
    value = json.loads(FILES[NETWORK])
    value["layers"][0] |= changes.pop("layer", {})
    return json.dumps(value | changes).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (network_json(format=2), "format must be 1, got '2'"),
        (network_json(scale=float("inf")), "scale must be finite"),
        (network_json(layers=[]), "it has no layers"),
        (network_json(layer={"activation": "os.system"}), "in the last layer sigmoid, softmax, linear; got os.system"),
        (network_json(layer={"activation": "softmax"}), "activations must be .*; got softmax, "),
        (network_json(layer={"units": 10**9}), "expected 1000000000"),
        (
            network_json(layers=[{"inputs": 10**6, "units": 10**6, "activation": "sigmoid"}]),
            "more than 536870912 bytes",
        ),
        (network_json(layer={"units": -3}), "at least one input and one unit, got 5 and -3"),
        (network_json(layer={"inputs": "five"}), "is not valid"),
        (network_json(layer={"units": 4}), "takes 3 inputs, expected 4"),
        (b"[" * 100_000, "is not valid"),
        (b"[]", "is not valid"),
        (b"{}", "has no 'format'"),
        (b"\xff\xfe", "is not valid"),
        (b"", "is not valid"),
        (b" " * (2**20 + 1), "at most 1048576 bytes"),
    ],
)
def test_an_invalid_network_description_is_rejected(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        network_files.read({**FILES, NETWORK: content}, "served")
    assert str(caught.value).startswith("served: network.json is not valid: ")
    assert "\n" not in str(caught.value)


# --- weights.npz -------------------------------------------------------------------------------

Members = dict[str, bytes]


def members() -> Members:
    with zipfile.ZipFile(io.BytesIO(FILES[WEIGHTS])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_kernel(content: bytes) -> bytes:
    return archive({**members(), "kernel_0.npy": content})


def header_claiming(shape: tuple[int, ...]) -> bytes:
    """Return an array header that claims this shape, without data."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def with_a_duplicate() -> bytes:
    buffer = io.BytesIO(FILES[WEIGHTS])
    with zipfile.ZipFile(buffer, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("kernel_0.npy", npy(np.zeros((5, 3), np.float32)))
    return buffer.getvalue()


NOT_FINITE = np.full((5, 3), np.nan, np.float32)
INVALID_WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another shape": (lambda: with_kernel(npy(np.zeros((6, 3), np.float32))), r"float32 of shape \(5, 3\)"),
    "float64": (lambda: with_kernel(npy(np.zeros((5, 3)))), r"float32 of shape \(5, 3\) in C order, got float64"),
    "big-endian": (lambda: with_kernel(npy(np.zeros((5, 3), ">f4"))), "got >f4"),
    "Fortran order": (
        lambda: with_kernel(npy(np.asfortranarray(np.ones((5, 3), np.float32)))),
        "in C order, got float32 .* in Fortran order",
    ),
    "NaN": (lambda: with_kernel(npy(NOT_FINITE)), "kernel_0.npy must contain only finite numbers"),
    "objects": (lambda: with_kernel(npy(np.array([[{}]], object), allow_pickle=True)), "got object"),
    "a pickle as a member": (lambda: with_kernel(pickle.dumps([1.0])), "is not valid"),
    "a terabyte claimed": (lambda: with_kernel(header_claiming((2**20, 2**18))), "got float32 of shape"),
    "no numbers": (lambda: with_kernel(header_claiming((5, 3))), "must contain 60 bytes of data, got 0"),
    "a byte more": (lambda: with_kernel(members()["kernel_0.npy"] + b"?"), "must contain 60 bytes of data, got 61"),
    "a header without end": (lambda: with_kernel(b"\x93NUMPY\x01\x00\xff\xff" + b" " * 70_000), "is not valid"),
    "version 2.0": (lambda: with_kernel(b"\x93NUMPY\x02\x00" + members()["kernel_0.npy"][8:]), "version 1.0"),
    "a member too many": (lambda: archive({**members(), "evil.py": b"import os"}), "must contain kernel_0.npy"),
    "a path": (lambda: archive({**members(), "../kernel_0.npy": b""}), "must contain kernel_0.npy"),
    "a member missing": (lambda: archive({"bias_0.npy": members()["bias_0.npy"]}), "must contain kernel_0.npy"),
    "a duplicate": (with_a_duplicate, "must contain kernel_0.npy"),
    "compressed": (lambda: archive(members(), zipfile.ZIP_DEFLATED), "stored, not compressed"),
    "the first half": (lambda: FILES[WEIGHTS][: len(FILES[WEIGHTS]) // 2], "is not valid"),
    "a pickle": (lambda: pickle.dumps({"kernel_0": 1}), "is not valid"),
    "nothing": (lambda: b"", "is not valid"),
}


@pytest.mark.parametrize("name", INVALID_WEIGHTS)
def test_weights_that_are_not_plain_arrays_are_rejected(name: str) -> None:
    make, message = INVALID_WEIGHTS[name]
    with pytest.raises(DataError, match=message) as caught:
        network_files.read({**FILES, WEIGHTS: make()})
    assert "weights.npz is not valid: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_not_unpacked() -> None:
    bomb = archive({**members(), "kernel_0.npy": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    with pytest.raises(DataError, match="stored, not compressed"):
        network_files.read({**FILES, WEIGHTS: bomb})


def test_a_flipped_bit_is_rejected_or_does_not_change_the_weights() -> None:
    digest, rng = network_files.read(FILES).weights_digest(), np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(FILES[WEIGHTS])
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        try:
            network = network_files.read({**FILES, WEIGHTS: bytes(content)})
        except DataError:
            continue
        assert network.weights_digest() == digest  # the bit is not in an array, but in a date or flag of the ZIP file
