"""Save models as .keras files, and load them in Keras's safe mode to check the predictions of served networks."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import Features, MultiHot
from feedforward.training.keras_backend import keras


def probabilities(model: bytes, features: Features) -> npt.NDArray[np.float64]:
    """Keras's predictions, shape (samples, outputs). model: the bytes of a .keras file whose digest was checked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"  # in a new folder, so that Keras loads exactly the checked bytes
        path.write_bytes(model)
        network = keras.saving.load_model(path, safe_mode=True, compile=False)
    dense = features.dense() if isinstance(features, MultiHot) else np.asarray(features, np.float32)
    return np.asarray(network(dense, training=False), np.float64)


def to_bytes(model: keras.Model) -> bytes:
    """Save the model as a .keras file; return the bytes of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()
