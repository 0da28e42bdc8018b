"""Folders in MLflow's model format (https://mlflow.org/docs/latest/ml/model/): `MLmodel`, environment files and data.

They are written with MLflow's public classes, not by `mlflow.keras.save_model`, which lists every file of every
installed package (1.3 s per process) to infer the requirements; here, they are known already. The folders contain no
pickles.
"""

import platform
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from feedforward.core import provenance
from feedforward.tracking.model_version import SERVED

KERAS_FILE = "model.keras"  # the name that MLflow's keras flavor expects in its data folder
NETWORK = "network"  # folder within a logged model, with files for reading the network without Keras
COLUMNS_FILE = "columns.json"  # in the files of a version whose samples are rows of a table
KERAS_LIBRARIES = ("keras", "tensorflow", "mlflow", "numpy")
SERVING_LIBRARIES = ("mlflow", "numpy", "pillow", "pyarrow", "scipy")
LOADER = "feedforward.serving.mlflow_flavor"  # the module with which MLflow's python_function flavor loads a version
_save_lock = threading.Lock()  # saving is not thread-safe: Keras uses global state


def save_keras(model: Any, folder: Path) -> None:
    """Write `model` (a keras.Model with one input and one output) into the new `folder`."""
    (folder / "data").mkdir(parents=True)
    with _save_lock:
        model.save(folder / "data" / KERAS_FILE)
    signature = ModelSignature(inputs=_schema(model.inputs), outputs=_schema(model.outputs))
    mlmodel = Model(signature=signature)
    _add_keras_flavor(mlmodel, "data")
    _write(mlmodel, folder, "mlflow.keras", None, KERAS_LIBRARIES)


def add_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` into the NETWORK subfolder of a saved model."""
    (folder / NETWORK).mkdir()
    for name, content in files.items():
        (folder / NETWORK / name).write_bytes(content)


def save_version(served_folder: Path, folder: Path, mlmodel: Model) -> None:
    """Write the files of `served_folder` into the new `folder` in a form that MLflow can serve.

    If KERAS_FILE is among them, MLflow can also load it as a Keras model.

    mlmodel: has the IDs of the run and the logged model. The loader is a module of this project, not code in the
    artifact.
    """
    data = f"data/{SERVED}"
    shutil.copytree(served_folder, folder / data)
    # Tables get no signature: MLflow's column types reject 3 where 3.0 is expected.
    if not (served_folder / COLUMNS_FILE).is_file():
        mlmodel.signature = ModelSignature(inputs=Schema([ColSpec(DataType.string)]))
    if (folder / data / KERAS_FILE).is_file():
        _add_keras_flavor(mlmodel, data)
    _write(mlmodel, folder, LOADER, data, SERVING_LIBRARIES)


def _schema(tensors: list[Any]) -> Schema:
    # for the batch dimension, MLflow writes -1 and Keras None
    return Schema([TensorSpec(np.dtype(tensor.dtype), (-1, *tensor.shape[1:])) for tensor in tensors])


def _add_keras_flavor(mlmodel: Model, data: str) -> None:
    version = provenance.installed_version("keras")
    mlmodel.add_flavor("keras", data=data, keras_version=version, keras_backend="tensorflow", save_exported_model=False)


def _write(mlmodel: Model, folder: Path, loader: str, data: str | None, libraries: tuple[str, ...]) -> None:
    """Write `MLmodel` and the files needed to recreate the environment with pip, virtualenv or Conda."""
    import mlflow.pyfunc  # importing it takes a second, and only processes that log a model need it

    mlflow.pyfunc.add_to_model(
        mlmodel, loader_module=loader, data=data, conda_env="conda.yaml", python_env="python_env.yaml"
    )
    requirements = [provenance.requirement(name) for name in libraries]
    python = platform.python_version()
    conda = ["channels:", "- conda-forge", "dependencies:", f"- python={python}", "- pip", "- pip:"]
    files = {
        "requirements.txt": "\n".join(requirements),
        "python_env.yaml": f"python: {python}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n",
        "conda.yaml": "\n".join([*conda, *(f"    - {line}" for line in requirements), "name: mlflow-env\n"]),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    mlmodel.save(str(folder / "MLmodel"))
