"""Keras is set up the same way whatever the user's own settings for Keras are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from feedforward.training.keras_backend import keras
dense = keras.layers.Dense(1)
dense.build((None, 2))
keras.losses.BinaryCrossentropy()(keras.ops.ones((2, 1)), dense(keras.ops.ones((2, 2))))
config = keras.config
print(config.backend(), dense.kernel.dtype, config.floatx(), config.epsilon(), config.image_data_format())
"""


@pytest.mark.slow
@pytest.mark.proves("The user's settings of Keras, in variables or in keras.json, have no effect")
@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({"KERAS_BACKEND": "jax"}, {"backend": "torch", "floatx": "float16"}),
        ({}, {"backend": "tensorflow", "floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first"}),
    ],
)
def test_the_users_settings_of_keras_have_no_effect(
    tmp_path: Path, variables: dict[str, str], settings: dict[str, str | float]
) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), **variables}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["tensorflow", "float32", "float32", "1e-07", "channels_last"], done.stderr


@pytest.mark.slow
def test_keras_of_the_api_is_imported_silently() -> None:
    script = "import feedforward as ff; print(ff.keras.config.backend())"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("tensorflow\n", "")


STARTED_BEFORE = """
import logging
logging.basicConfig(format="%(message)s")
import tensorflow
tensorflow.zeros(1)
from feedforward.experiments import runner
runner.prepare(1)
"""


@pytest.mark.slow
@pytest.mark.proves("If TensorFlow was started with threads that may change the bits of results, a warning says so")
@pytest.mark.parametrize("threads", ["", "1"])
def test_another_number_of_threads_is_reported_if_bits_depend_on_it(threads: str) -> None:
    # without oneDNN, bits depend on threads on any CPU
    variables = {
        **os.environ,
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": threads,
    }
    command = [sys.executable, "-c", STARTED_BEFORE]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=120)
    assert ("TensorFlow was used before in this process" in done.stderr) == (not threads)
