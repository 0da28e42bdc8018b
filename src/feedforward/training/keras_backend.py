"""Import TensorFlow and Keras, and configure threads and determinism.

They are imported silently and with oneDNN. If scikit-learn and matplotlib are installed, Keras imports them, too, for
wrappers and galleries that are not used here. Hiding these two saves 1.5 of the 7 s of CPU time that the import takes
in every process that trains.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator

__all__ = ["THREADS", "configure", "keras", "tf"]

THREADS = "TF_NUM_INTRAOP_THREADS"  # of an operation, if TensorFlow starts before `configure` is called

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # affects the last bits of results; the default depends on the CPU


@contextlib.contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Make packages that are not imported yet unavailable during the block, in all threads."""
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: `import` raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


with _hidden("sklearn", "matplotlib"):
    import keras
    import tensorflow as tf

# The defaults of Keras; other values in the user's keras.json would change results, or end the training.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")


@functools.cache
def configure(jobs: int, threads: int) -> bool:
    """Configure TensorFlow, once per process, for `jobs` packs that train at the same time with `threads` threads each.

    If TensorFlow has already started in this process, the numbers of threads stay as they are; returns whether an
    operation uses `threads`. The graph optimizer is off because it costs more than it saves here.
    """
    # Each pack has separate graphs, which TensorFlow would report as unnecessary retracing.
    tf.get_logger().setLevel("ERROR")
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(jobs)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    tf.config.experimental.enable_op_determinism()
    tf.zeros(1)  # the first operation starts TensorFlow
    configured = tf.config.threading.get_intra_op_parallelism_threads()
    return bool((str(configured) if configured else os.environ.get(THREADS)) == str(threads))
