"""TensorFlow and Keras, opened silently, with oneDNN, and without scikit-learn and matplotlib.

Keras imports both for wrappers and galleries that nothing here uses, does without where they are not installed, and
takes a fifth longer with them: 1.5 of 7 s of CPU in every process that trains.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["keras", "tf"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # changes bits, and TensorFlow lets the kind of CPU decide


@contextlib.contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """During the block, packages that are not imported yet cannot be; by no other thread either."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: `import` raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _hidden("sklearn", "matplotlib"):
    import keras
    import tensorflow as tf
