"""Small networks with random weights, as arrays and as packaged files."""

from collections.abc import Sequence

import numpy as np

from feedforward.models import network_files
from feedforward.models.numpy_network import Layer, Network


def network(units: Sequence[int], activations: Sequence[str], scale: float = 1.0, seed: int = 0) -> Network:
    """Return a network with random weights. units: the number of features, then the width of each layer."""
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, width, activation in zip(units, units[1:], activations, strict=False):
        kernel, bias = rng.normal(0, 0.5, (inputs, width)), rng.normal(0, 0.5, width)
        layers.append(Layer(kernel.astype(np.float32), bias.astype(np.float32), activation))
    return Network(scale, tuple(layers))


def files(units: Sequence[int], activations: Sequence[str], scale: float = 1.0, seed: int = 0) -> dict[str, bytes]:
    """Return network.json and weights.npz of a network with random weights."""
    return network_files.to_files(network(units, activations, scale, seed))
