"""A Keras model as a folder that MLflow can log, serve and load: .keras, signature and requirements, no pickle."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from feedforward.core import provenance

LIBRARIES = ("keras", "tensorflow", "mlflow", "numpy")
_saving = threading.Lock()  # Keras keeps state of a save in its module


def save(model: Any, folder: Path) -> None:
    """Write `model` (a keras.Model with one input and one output) into `folder`."""
    import mlflow.keras  # only where a model is logged
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(tensors: list[Any]) -> Schema:
        # MLflow wants -1 for the batch dimension, Keras says None
        return Schema([TensorSpec(np.dtype(each.dtype), (-1, *each.shape[1:])) for each in tensors])

    with _saving, _without_inventory():
        mlflow.keras.save_model(
            model,
            str(folder),
            signature=ModelSignature(inputs=schema(model.inputs), outputs=schema(model.outputs)),
            pip_requirements=[provenance.requirement(name) for name in LIBRARIES],  # else MLflow infers them for 9 s
        )


@contextlib.contextmanager
def _without_inventory() -> Iterator[None]:
    """Keep MLflow from listing every file of every installed package (1.3 s, once a process).

    It would only check that our requirements are installed, and they are made from what is installed.
    """
    from mlflow.utils import requirements_utils as inventory

    if getattr(inventory, "_MODULES_TO_PACKAGES", "unknown") is not None:
        yield
        return
    inventory._MODULES_TO_PACKAGES = {}
    try:
        yield
    finally:
        inventory._MODULES_TO_PACKAGES = None
