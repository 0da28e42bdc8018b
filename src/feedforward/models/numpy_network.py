"""A trained network as arrays, and its forward pass in NumPy.

Serving needs no other implementation, so it starts without Keras, in one second instead of ten. Tests and every
promotion compare these predictions with those of Keras. `network_files` reads and writes networks.
"""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import DataError
from feedforward.data.splits import Features, MultiHot

Array = npt.NDArray[np.float32]

FEW_ROWS = 8  # for at most this many rows, a loop is faster than importing SciPy
CHUNK_ROWS = 2000  # computed at a time, which limits the memory for intermediate results


@dataclass(frozen=True)
class Layer:
    """Computes activation(x @ kernel + bias). kernel: float32, shape (inputs, units). bias: float32, shape (units,)."""

    kernel: Array
    bias: Array
    activation: str


@dataclass(frozen=True)
class Network:
    """Dense layers, which multiply the features by `scale` first; the last activation is sigmoid, softmax or linear.

    temperature: divides the logits of classes and labels before the last activation (models.calibration). It changes
    probabilities but no predictions; 1 gives the probabilities of the Keras model.
    """

    scale: float
    layers: tuple[Layer, ...]
    temperature: float = 1.0

    @property
    def columns(self) -> int:
        """Number of features."""
        return int(self.layers[0].kernel.shape[0])

    @property
    def last_activation(self) -> str:
        """Activation of the last layer."""
        return self.layers[-1].activation

    @property
    def units(self) -> int:
        """Number of outputs per sample."""
        return len(self.layers[-1].bias)

    def logits(self, features: Features) -> Array:
        """Logits of shape (samples, outputs) for features of shape (samples, columns).

        Raises:
            DataError: the features have the wrong number of columns.
        """
        if len(features.shape) != 2 or features.shape[1] != self.columns:
            raise DataError(f"features: must have {self.columns} columns, got shape {features.shape}")
        rows = len(features)
        if rows <= CHUNK_ROWS:
            return self.logits_from_sums(self.first_sums(features))
        return np.concatenate(
            [
                self.logits_from_sums(self.first_sums(_rows(features, start, min(start + CHUNK_ROWS, rows))))
                for start in range(0, rows, CHUNK_ROWS)
            ]
        )

    def first_sums(self, features: Features) -> Array:
        """Inputs of the first layer's activation, shape (samples, units)."""
        first = self.layers[0]
        if isinstance(features, MultiHot):
            return np.multiply(_multi_hot_product(features, first.kernel), self.scale, dtype=np.float32) + first.bias
        scaled: Array = np.multiply(features, self.scale, dtype=np.float32)
        return scaled @ first.kernel + first.bias

    def logits_from_sums(self, sums: Array) -> Array:
        """Logits of shape (samples, outputs), given the result of `first_sums`."""
        for layer, next_layer in itertools.pairwise(self.layers):
            sums = ACTIVATIONS[layer.activation](sums) @ next_layer.kernel + next_layer.bias
        return sums

    def outputs(self, features: Features) -> npt.NDArray[np.float64]:
        """Outputs of the last layer, shape (samples, outputs); at temperature 1, they are those of Keras."""
        return self.activate(self.logits(features))

    def activate(self, logits: Array) -> npt.NDArray[np.float64]:
        """The last activation applied to logits, shape (samples, outputs)."""
        if self.last_activation == "softmax":
            return self.to_probabilities(logits)
        scaled_logits = self.scale_logits(logits)
        return np.exp(-np.logaddexp(0, -scaled_logits)) if self.last_activation == "sigmoid" else scaled_logits

    def scale_logits(self, logits: Array) -> npt.NDArray[np.float64]:
        """Logits divided by the temperature, in float64 so that different logits stay different."""
        return logits.astype(np.float64) / self.temperature

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Class probabilities, shape (samples, classes), which sum to 1; only for networks that predict a class."""
        return self.to_probabilities(self.logits(features))

    def to_probabilities(self, logits: Array) -> npt.NDArray[np.float64]:
        """Class probabilities, shape (samples, classes), from logits of shape (samples, outputs)."""
        return np.exp(self.log_probabilities(logits))

    def log_probabilities(self, logits: Array) -> npt.NDArray[np.float64]:
        """Natural logarithms of class probabilities, shape (samples, classes); finite if the logits are finite."""
        scaled_logits = self.scale_logits(logits)
        if self.last_activation == "sigmoid":
            return -np.concatenate([np.logaddexp(0, scaled_logits), np.logaddexp(0, -scaled_logits)], axis=1)
        scaled_logits = scaled_logits - scaled_logits.max(axis=1, keepdims=True)
        result: npt.NDArray[np.float64] = scaled_logits - np.log(np.exp(scaled_logits).sum(axis=1, keepdims=True))
        return result

    def weights_digest(self) -> str:
        """SHA-256 (hex) of the weights' dtypes, shapes and bytes, as `trainer.weights_digest` of the Keras model."""
        digest = hashlib.sha256()
        for layer in self.layers:
            for array in (layer.kernel, layer.bias):
                digest.update(f"{array.dtype.str} {array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _rows(features: Features, start: int, stop: int) -> Features:
    return features.rows(start, stop) if isinstance(features, MultiHot) else features[start:stop]


def _multi_hot_product(features: MultiHot, kernel: Array) -> Array:
    if len(features) > FEW_ROWS:
        from scipy.sparse import csr_matrix  # takes 0.3 s to import, but is ten times faster for many rows

        ones = np.ones(len(features.indices), np.float32)
        indices = np.asarray(features.indices).astype(np.int32)
        product: Array = csr_matrix((ones, indices, features.indptr), features.shape) @ kernel
        return product
    edges = itertools.pairwise(features.indptr)
    # without samples, one row of the kernel gives the empty result its width
    return np.stack([kernel[features.indices[start:stop]].sum(axis=0) for start, stop in edges] or [kernel[0]])[
        : len(features)
    ]


def _erf(x: Array) -> Array:
    from scipy.special import erf

    result: Array = erf(x)
    return result


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(np.float32(0), -x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "elu": _elu,
    "gelu": lambda x: np.float32(0.5) * x * (1 + _erf(x * np.float32(2**-0.5))),
    "silu": lambda x: x * _sigmoid(x),
}
LAST_ACTIVATIONS = ("sigmoid", "softmax", "linear")
