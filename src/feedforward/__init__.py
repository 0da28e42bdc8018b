"""feedforward: train variants of feedforward networks, compare them over seeds, and serve the best."""

import importlib.metadata
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("feedforward")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
