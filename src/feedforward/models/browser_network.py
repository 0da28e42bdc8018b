"""A network as JSON for a web page, arrays in base64: rounded kernels as 16-bit floats, others as 32-bit floats."""

import base64
import dataclasses
from typing import Any

import numpy as np

from feedforward.models.numpy_network import Array, Network

MAX_EXACT_WEIGHTS = 2**14  # kernels with at most this many weights (64 KB) keep 32 bits
LARGEST_HALF = 65504.0  # largest finite 16-bit float


def round_kernels(network: Network) -> Network:
    """Round the large kernels of a network to 16-bit floats, unless a weight is too large for these.

    They take half the bytes, and predictions change slightly.
    """
    layers = (dataclasses.replace(layer, kernel=_round_to_half(layer.kernel)) for layer in network.layers)
    return dataclasses.replace(network, layers=tuple(layers))


def to_json(network: Network) -> dict[str, Any]:
    """Scale and layers, without the temperature. Arrays are little-endian; kernels, shape (inputs, units), in C order.

    Nothing is rounded here: a large kernel is written with 16 bits only if that is exact, as after `round_kernels`.
    """
    layers = [
        {
            "activation": layer.activation,
            "units": layer.kernel.shape[1],
            "kernel": _array(layer.kernel),
            "bias": _array(layer.bias),
        }
        for layer in network.layers
    ]
    return {"scale": network.scale, "layers": layers}


def _round_to_half(kernel: Array) -> Array:
    if kernel.size <= MAX_EXACT_WEIGHTS or np.abs(kernel).max() > LARGEST_HALF:
        return kernel
    return kernel.astype(np.float16).astype(np.float32)


def _array(values: Array) -> dict[str, Any]:
    is_half = values.size > MAX_EXACT_WEIGHTS and np.array_equal(_round_to_half(values), values)
    content = values.astype("<f2" if is_half else "<f4").tobytes()
    return {"bits": 16 if is_half else 32, "base64": base64.b64encode(content).decode()}
