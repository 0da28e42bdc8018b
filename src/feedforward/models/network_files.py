"""A network as two files that can be read without Keras: `network.json` and `weights.npz`.

    network.json   {"format": 1, "layers": [{"activation": "relu", "inputs": 784, "units": 32}, ...], "scale": 0.00392}
    weights.npz    float32 arrays kernel_0 (inputs, units), bias_0 (units,), kernel_1, ...; stored, not compressed

Reading them executes nothing from the files, and the memory it needs is bounded by their sizes. From the JSON, only the
format, the scale, the layer sizes and the names of known activations are used; from the archive, only float32 arrays of
exactly these shapes, never a pickle. The temperature is not stored; the description of a bundle contains it.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.models.numpy_network import ACTIVATIONS, LAST_ACTIVATIONS, Array, Layer, Network

NETWORK, WEIGHTS = "network.json", "weights.npz"
FORMAT = 1
MAX_NETWORK_BYTES = 2**20
MAX_WEIGHTS_BYTES = 2**29  # 134 million weights; the largest network in params.yaml has 5 million
MAX_HEADER_BYTES = 1024  # header of an .npy member; NumPy writes 128 bytes


def to_files(network: Network) -> dict[str, bytes]:
    """The contents of both files, by name. Equal networks give equal bytes."""
    layers = [
        {"inputs": layer.kernel.shape[0], "units": layer.kernel.shape[1], "activation": layer.activation}
        for layer in network.layers
    ]
    description = {"format": FORMAT, "scale": network.scale, "layers": layers}
    arrays = {}
    for number, layer in enumerate(network.layers):
        arrays[f"kernel_{number}"] = np.ascontiguousarray(layer.kernel, np.float32)
        arrays[f"bias_{number}"] = np.ascontiguousarray(layer.bias, np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    text = atomic_files.canonical_json(description, indent=2) + "\n"
    return {NETWORK: text.encode(), WEIGHTS: buffer.getvalue()}


def read(files: Mapping[str, bytes], name: str = "network") -> Network:
    """Read a network from the contents of both files. name: the network's name in error messages.

    Raises:
        DataError: a file is missing or too large, network.json does not describe consecutive layers with known
            activations, or weights.npz does not contain exactly their float32 arrays.
    """
    for file in (NETWORK, WEIGHTS):
        if file not in files:
            raise DataError(f"{name}: has no {file}; train and promote again")
    file = NETWORK
    try:
        scale, specifications = _parse(files[NETWORK])
        file = WEIGHTS
        layers = _layers(files[WEIGHTS], specifications)
    except Exception as error:  # hostile bytes can break any parser
        reason = f"has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0] if str(error) else ""
        problem = f"is not valid: {reason or type(error).__name__}"
        raise DataError(f"{name}: {file} {problem}; train and promote again") from None
    return Network(scale, layers)


def _parse(content: bytes) -> tuple[float, list[tuple[int, int, str]]]:
    """The scale, and (inputs, units, activation) of each layer."""
    if len(content) > MAX_NETWORK_BYTES:
        raise ValueError(f"must have at most {MAX_NETWORK_BYTES} bytes, got {len(content)}")
    description: dict[str, Any] = json.loads(content)
    if description["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT}, got {str(description['format'])[:40]!r}")
    scale = float(description["scale"])
    if not np.isfinite(scale):
        raise ValueError("scale must be finite")
    layers = [(int(layer["inputs"]), int(layer["units"]), str(layer["activation"])) for layer in description["layers"]]
    if not layers:
        raise ValueError("it has no layers")
    activations = [activation for *_, activation in layers]
    if activations[-1] not in LAST_ACTIVATIONS or not set(activations[:-1]) <= ACTIVATIONS.keys():
        hidden, last = ", ".join(ACTIVATIONS), ", ".join(LAST_ACTIVATIONS)
        raise ValueError(f"activations must be {hidden}; in the last layer {last}; got {', '.join(activations)[:200]}")
    expected = layers[0][0]
    for inputs, units, _ in layers:
        if min(inputs, units) < 1:
            raise ValueError(f"a layer must have at least one input and one unit, got {inputs} and {units}")
        if inputs != expected:
            raise ValueError(f"a layer of {units} units takes {inputs} inputs, expected {expected}")
        expected = units
    if sum(4 * (inputs + 1) * units for inputs, units, _ in layers) > MAX_WEIGHTS_BYTES:
        raise ValueError(f"its layers need more than {MAX_WEIGHTS_BYTES} bytes")
    return scale, layers


def _layers(content: bytes, specifications: list[tuple[int, int, str]]) -> tuple[Layer, ...]:
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (inputs, units, _) in enumerate(specifications):
        shapes |= {f"kernel_{number}.npy": (inputs, units), f"bias_{number}.npy": (units,)}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if sorted(names) != sorted(shapes):
            raise ValueError(f"must contain {', '.join(shapes)[:200]}, got {', '.join(names)[:200]}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("its arrays must be stored, not compressed")
        arrays = {name: _array(archive, name, shape) for name, shape in shapes.items()}
    return tuple(
        Layer(arrays[f"kernel_{number}.npy"], arrays[f"bias_{number}.npy"], activation)
        for number, (_, _, activation) in enumerate(specifications)
    )


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> Array:
    """Read a member that must be a float32 array of exactly this shape; reads at most one byte more than needed."""
    size = 4 * int(np.prod(shape, dtype=np.int64))
    with archive.open(name) as file:
        content = file.read(MAX_HEADER_BYTES + size + 1)
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} must be an array in version 1.0 of NumPy's format")
    actual_shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if actual_shape != shape or dtype != np.dtype("<f4") or fortran_order:
        actual = f"{dtype} of shape {actual_shape} in {'Fortran' if fortran_order else 'C'} order"
        raise ValueError(f"{name} must be float32 of shape {shape} in C order, got {actual}")
    offset = stream.tell()
    if len(content) - offset != size:
        raise ValueError(f"{name} must contain {size} bytes of data, got {len(content) - offset}")
    array: Array = np.frombuffer(content, "<f4", offset=offset).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must contain only finite numbers")
    return array
