"""TensorFlow and Keras, imported silently, with oneDNN, and without scikit-learn and matplotlib.

If they are installed, Keras imports both for wrappers and galleries that are not used here. In every process that
trains, this saves 1.5 of the 7 s of CPU time that the import takes.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["keras", "tf"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # affects the last bits of results; the default depends on the CPU


@contextlib.contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Make packages that are not imported yet unavailable during the block, in all threads."""
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
