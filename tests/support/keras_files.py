"""Small .keras files written without Keras, for tests of the check that runs before Keras opens a file.

Their weights are not HDF5, so Keras itself cannot load them.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any


def layer(kind: str, name: str, **settings: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": name, **settings}, "registered_name": None}


def config(units: Sequence[int], activations: Sequence[str], scale: float = 1.0) -> dict[str, Any]:
    layers = [layer("InputLayer", "features", batch_shape=[None, units[0]])]
    layers.append(layer("Rescaling", "scale", scale=scale, offset=0.0))
    for index, (width, activation) in enumerate(zip(units[1:], activations, strict=True), start=1):
        layers.append(layer("Dense", f"hidden_{index}", units=width, activation=activation, use_bias=True))
        layers.append(layer("Dropout", f"dropout_{index}", rate=0.5))
    return {"module": "keras", "class_name": "Sequential", "config": {"layers": layers}, "registered_name": None}


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def model(units: Sequence[int], activations: Sequence[str], scale: float = 1.0, **changes: bytes) -> bytes:
    """Return a network as a .keras file. units: number of features, then layer widths. changes: members to replace."""
    return archive(
        {
            "metadata.json": b"{}",
            "config.json": changes.get("config", json.dumps(config(units, activations, scale)).encode()),
            "model.weights.h5": changes.get("weights", b"weights"),
        }
    )
