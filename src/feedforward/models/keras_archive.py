"""Check that a .keras file is a zip archive of the three expected members, with known layers and limited sizes.

Serving does not read weights from this file (see `network_files`). It is kept for users of Keras, and the promotion
gate compares its predictions with those of the served network. Keras loads it in safe mode, after this check.
"""

import io
import json
import zipfile
from typing import Any

from feedforward.core.errors import DataError
from feedforward.models.numpy_network import ACTIVATIONS, LAST_ACTIVATIONS

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
LAYERS = ("InputLayer", "Rescaling", "Dense", "Dropout")
MAX_CONFIG_BYTES = 2**20
MAX_BYTES = 2**29


def check(content: bytes, name: str = "model.keras") -> None:
    """Check the bytes of a .keras file without loading it.

    Raises:
        DataError: the file is not a zip archive of MEMBERS, has too many bytes, or describes layers, activations or
            other objects that this project does not use.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if sorted(names) != sorted(MEMBERS):
                raise ValueError(f"must hold {', '.join(MEMBERS)}, got {', '.join(names)[:200]}")
            if sum(member.file_size for member in members) > MAX_BYTES:  # zipfile never reads more than these sizes
                raise ValueError(f"its members have more than {MAX_BYTES} bytes")
            with archive.open("config.json") as file:
                config = file.read(MAX_CONFIG_BYTES + 1)
        if len(config) > MAX_CONFIG_BYTES:
            raise ValueError(f"config.json has more than {MAX_CONFIG_BYTES} bytes")
        _check_layers(config)
    except Exception as error:  # hostile bytes can break any parser
        reason = f"it lacks {error}" if isinstance(error, KeyError) else next(iter(str(error).splitlines()), "")
        problem = f"is not a valid model: {reason or type(error).__name__}"
        raise DataError(f"{name}: {problem}; promote a model from `feedforward train`") from None


def _check_layers(content: bytes) -> None:
    config = json.loads(content)
    if config["class_name"] != "Sequential":
        raise ValueError(f"must be a Sequential, got {str(config['class_name'])[:80]!r}")
    _check_modules(config)
    for layer in config["config"]["layers"]:
        kind, activation = str(layer["class_name"])[:80], layer["config"].get("activation", "linear")
        if kind not in LAYERS:
            raise ValueError(f"layers must be {', '.join(LAYERS)}, got {layer['module']}.{kind}")
        if activation not in (*ACTIVATIONS, *LAST_ACTIVATIONS):
            raise ValueError(f"unknown activation {str(activation)[:80]!r}")


def _check_modules(value: Any) -> None:
    """Check that every object that Keras would construct belongs to Keras itself."""
    if isinstance(value, dict):
        if "class_name" in value and not _is_keras(value.get("module")):
            raise ValueError(f"must consist of Keras objects, got {value.get('module')}.{value['class_name']}"[:200])
        if "class_name" in value and value.get("registered_name"):
            raise ValueError(f"must not contain registered objects, got {value['registered_name']}"[:200])
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _check_modules(part)


def _is_keras(module: object) -> bool:
    return isinstance(module, str) and (module == "keras" or module.startswith("keras."))
