"""A trained network as arrays: read from a .keras file without Keras, and its forward pass in NumPy.

Serving needs no more than that. It starts in a second instead of ten, and nothing in the file can run: of its JSON
only sizes and the names of known layers and activations are read, of its HDF5 only float32 arrays of those sizes.
What is computed is held against Keras in a test and again at each promotion.
"""

import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import DataError
from feedforward.data.splits import Features, MultiHot

Array = npt.NDArray[np.float32]

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
MAX_CONFIG_BYTES = 2**20
MAX_WEIGHTS_BYTES = 2**29  # 128 million weights: 400 times the largest network of params.yaml as it comes
FEW_ROWS = 8  # up to here a loop over rows is faster than to import SciPy
CHUNK_ROWS = 2000


@dataclass(frozen=True)
class Layer:
    """activation(x @ kernel + bias). kernel: float32, (inputs, units). bias: float32, (units,)."""

    kernel: Array
    bias: Array
    activation: str


@dataclass(frozen=True)
class Network:
    """Dense layers over features that are multiplied by `scale`; the last activation: sigmoid, softmax or linear."""

    scale: float
    layers: tuple[Layer, ...]

    @property
    def columns(self) -> int:
        """Number of features."""
        return int(self.layers[0].kernel.shape[0])

    @property
    def last(self) -> str:
        """The last activation."""
        return self.layers[-1].activation

    @property
    def units(self) -> int:
        """Numbers that the last layer gives for a sample."""
        return len(self.layers[-1].bias)

    def logits(self, features: Features) -> Array:
        """(samples, outputs) before the last activation, of features (samples, columns).

        Raises:
            DataError: the features do not fit.
        """
        if len(features.shape) != 2 or features.shape[1] != self.columns:
            raise DataError(f"features: must have {self.columns} columns, got shape {features.shape}")
        rows = len(features)
        if rows <= CHUNK_ROWS:
            return self.continued(self.first_sums(features))
        return np.concatenate(
            [
                self.continued(self.first_sums(_rows(features, start, min(start + CHUNK_ROWS, rows))))
                for start in range(0, rows, CHUNK_ROWS)
            ]
        )

    def first_sums(self, features: Features) -> Array:
        """(samples, units): what enters the first layer's activation."""
        first = self.layers[0]
        if isinstance(features, MultiHot):
            return np.multiply(_multi_hot_product(features, first.kernel), self.scale, dtype=np.float32) + first.bias
        scaled: Array = np.multiply(features, self.scale, dtype=np.float32)
        return scaled @ first.kernel + first.bias

    def continued(self, sums: Array) -> Array:
        """Logits, (samples, outputs), from what `first_sums` gave."""
        for layer, following in itertools.pairwise(self.layers):
            sums = ACTIVATIONS[layer.activation](sums) @ following.kernel + following.bias
        return sums

    def outputs(self, features: Features) -> npt.NDArray[np.float64]:
        """(samples, units): what the last layer gives, as Keras does."""
        return self.activated(self.logits(features))

    def activated(self, logits: Array) -> npt.NDArray[np.float64]:
        """(samples, units) from logits: the last activation."""
        if self.last == "softmax":
            return self.to_probabilities(logits)
        wide = logits.astype(np.float64)
        return np.exp(-np.logaddexp(0, -wide)) if self.last == "sigmoid" else wide

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """(samples, classes), each row sums to 1; of a network that answers a class."""
        return self.to_probabilities(self.logits(features))

    def to_probabilities(self, logits: Array) -> npt.NDArray[np.float64]:
        """(samples, classes) from logits (samples, outputs)."""
        return np.exp(self.log_probabilities(logits))

    def log_probabilities(self, logits: Array) -> npt.NDArray[np.float64]:
        """(samples, classes): natural logarithms, finite wherever the logits are."""
        wide = logits.astype(np.float64)
        if self.last == "sigmoid":
            return -np.concatenate([np.logaddexp(0, wide), np.logaddexp(0, -wide)], axis=1)
        wide = wide - wide.max(axis=1, keepdims=True)
        found: npt.NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
        return found

    def weights_digest(self) -> str:
        """SHA-256 (hex) over dtype, shape and bytes of the weights, as training.weights_digest makes it."""
        total = hashlib.sha256()
        for layer in self.layers:
            for array in (layer.kernel, layer.bias):
                total.update(f"{array.dtype.str} {array.shape}\n".encode())
                total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def _rows(features: Features, start: int, stop: int) -> Features:
    return features.rows(start, stop) if isinstance(features, MultiHot) else features[start:stop]


def _multi_hot_product(features: MultiHot, kernel: Array) -> Array:
    if len(features) > FEW_ROWS:
        from scipy.sparse import csr_matrix  # takes a third of a second, and is ten times faster for many rows

        ones = np.ones(len(features.indices), np.float32)
        indices = np.asarray(features.indices).astype(np.int32)
        product: Array = csr_matrix((ones, indices, features.indptr), features.shape) @ kernel
        return product
    edges = itertools.pairwise(features.indptr)
    return np.stack([kernel[features.indices[start:stop]].sum(axis=0) for start, stop in edges] or [kernel[0]])[
        : len(features)
    ]


def _erf(x: Array) -> Array:
    from scipy.special import erf

    found: Array = erf(x)
    return found


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
KNOWN = ("InputLayer", "Rescaling", "Dense", "Dropout")  # dropout is the identity once training is done


# --- read ------------------------------------------------------------------------------------


def read(content: bytes, name: str = "model.keras") -> Network:
    """The network in the bytes of a .keras file whose digest was checked before; `name` stands in messages.

    Raises:
        DataError: it holds anything but a plain network of this project: other layers, other members, larger arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            config = json.loads(_member(archive, "config.json", MAX_CONFIG_BYTES))
            scale, described = _described(config)
            if sum(4 * (inputs + 1) * units for _, inputs, units, _ in described) > MAX_WEIGHTS_BYTES:
                raise ValueError(f"its layers need more than {MAX_WEIGHTS_BYTES} bytes")
            weights = _member(archive, "model.weights.h5", MAX_WEIGHTS_BYTES)
        layers = _layers(weights, described)
    except DataError:
        raise
    except Exception as error:  # whatever a parser makes of hostile bytes
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name}: refused: {what}; promote a model that `feedforward train` made") from None
    return Network(scale, tuple(layers))


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted(MEMBERS):
        raise ValueError(f"must hold {', '.join(MEMBERS)}, got {', '.join(m.filename for m in members)[:200]}")
    with archive.open(name) as file:  # a header may lie about the size, so it is the reading that is bounded
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} has more than {limit} bytes")
    return content


def _described(config: dict[str, Any]) -> tuple[float, list[tuple[str, int, int, str]]]:
    """(scale, layers as (name, inputs, units, activation)) of a Sequential of known layers."""
    if config["class_name"] != "Sequential" or config.get("registered_name"):
        raise ValueError(f"must be a Sequential, got {config['class_name']!r}")
    scale, units = 1.0, None
    found: list[tuple[str, int, int, str]] = []
    for layer in config["config"]["layers"]:
        kind, settings = layer["class_name"], layer["config"]
        if layer["module"] != "keras.layers" or layer.get("registered_name") or kind not in KNOWN:
            raise ValueError(f"layers must be {', '.join(KNOWN)}, got {layer['module']}.{kind}")
        if kind == "InputLayer" and units is None:
            units = int(settings["batch_shape"][1])
        elif kind == "Rescaling" and not found and settings["offset"] == 0:
            scale = float(settings["scale"])
        elif kind == "Dense" and units is not None and settings["use_bias"]:
            found.append((str(settings["name"]), units, int(settings["units"]), str(settings["activation"])))
            units = int(settings["units"])
        elif kind != "Dropout":
            raise ValueError(f"layer {settings['name']!r} is not where it belongs")
    activations = [activation for *_, activation in found]
    if not found or activations[-1] not in LAST_ACTIVATIONS or not set(activations[:-1]) <= ACTIVATIONS.keys():
        raise ValueError(f"activations are not known: {', '.join(activations)[:200]}")
    if not np.isfinite(scale):
        raise ValueError("its scale must be finite")
    return scale, found


def _layers(weights: bytes, described: list[tuple[str, int, int, str]]) -> list[Layer]:
    import h5py

    with h5py.File(io.BytesIO(weights), "r") as file:
        groups = {}
        layers = _own(file, "layers")
        for key in layers:
            arrays = _own(_own(layers, key), "vars")
            groups[str(arrays.attrs.get("name"))] = arrays
        return [
            Layer(_array(groups[name], "0", (inputs, units)), _array(groups[name], "1", (units,)), activation)
            for name, inputs, units, activation in described
        ]


def _own(group: Any, name: str) -> Any:
    """A member of the group that is no link, which could lead into another file."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"weights: {name!r} must be in the file, got a link")
    return group[name]


def _array(group: Any, name: str, shape: tuple[int, ...]) -> Array:
    """A plain float32 array of just that shape: not compressed, not virtual, not kept in another file."""
    data = _own(group, name)
    if data.shape != shape or data.dtype != np.dtype("<f4"):
        raise ValueError(f"weights must be float32 of shape {shape}, got {data.dtype} of shape {data.shape}")
    if data.compression is not None or data.is_virtual or data.external:
        raise ValueError("weights must lie plainly in the file, got a compressed or virtual array")
    found: Array = np.asarray(data[()])
    if not np.isfinite(found).all():
        raise ValueError("weights must be finite")
    return found
