"""The lecture's experiments in plain Keras, as a student would code them from the slides: the benchmarks' baseline.

This script uses dense float64 multi-hot rows, `model.fit` and one process, and saves no model. It starts from what
`keras.datasets` would return: images, and lists of word indices. Both are read from the vectorized splits, so that
nothing is downloaded; a list contains each of its words only once, which saves this script some work. It imports
nothing from this project.

    python bench/plain_keras.py data/vectorized --json plain.json
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, regularizers
from keras.utils import to_categorical

PARTS = ("mnist", "original", "smaller", "larger", "l2", "dropout", "final")


def load_mnist(folder, split):
    """Images, uint8 of shape (samples, 28, 28), and labels 0-9, as keras.datasets.mnist returns them."""
    images = np.load(folder / "mnist" / split / "features.npy")
    return images.reshape(-1, 28, 28), np.load(folder / "mnist" / split / "labels.npy")


def load_imdb(folder, split):
    """Lists of word indices, like those of keras.datasets.imdb but without repeated words, and labels 0 and 1."""
    indices = np.load(folder / "imdb" / split / "indices.npy")
    starts = np.load(folder / "imdb" / split / "indptr.npy")
    sequences = [indices[a:b].tolist() for a, b in itertools.pairwise(starts)]
    return sequences, np.load(folder / "imdb" / split / "labels.npy")


def vectorize_sequences(sequences, dimension=10000):
    """Multi-hot rows: float64, shape (sequences, dimension)."""
    results = np.zeros((len(sequences), dimension))
    for i, sequence in enumerate(sequences):
        results[i, sequence] = 1.0
    return results


def build(units, l2=0.0, dropout=0.0):
    """The slides' network for 10,000 words: Dense relu, Dense relu, Dense sigmoid."""
    model = keras.Sequential([keras.Input((10000,))])
    for _ in range(2):
        penalty = regularizers.l2(l2) if l2 else None
        model.add(layers.Dense(units, activation="relu", kernel_regularizer=penalty))
        if dropout:
            model.add(layers.Dropout(dropout))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    return model


VARIANTS = {
    "original": {"units": 16},
    "smaller": {"units": 4},
    "larger": {"units": 512},
    "l2": {"units": 16, "l2": 0.001},
    "dropout": {"units": 16, "dropout": 0.5},
}


def train_mnist(folder, epochs, samples):
    """Train MNIST's network; return loss and accuracy on the test images. samples: of each split; None: all."""
    (train_images, train_labels), (test_images, test_labels) = load_mnist(folder, "train"), load_mnist(folder, "test")
    x_train = train_images[:samples].reshape(-1, 784).astype("float32") / 255
    x_test = test_images[:samples].reshape(-1, 784).astype("float32") / 255
    y_train, y_test = to_categorical(train_labels[:samples], 10), to_categorical(test_labels[:samples], 10)
    model = keras.Sequential(
        [keras.Input((784,)), layers.Dense(512, activation="relu"), layers.Dense(10, activation="softmax")]
    )
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=epochs, batch_size=128, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    return {"test_loss": loss, "test_accuracy": accuracy}


def main():
    """Train the requested parts; print the seconds and metrics of each, and the time of vectorizing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="data/vectorized")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to train, separated by commas; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one epoch on a few samples, to try the script")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    requested, samples = options.only.split(","), 1000 if options.quick else None
    keras.utils.set_random_seed(options.seed)
    metrics, seconds = {}, {}

    def timed(part, action):
        began = time.perf_counter()
        metrics[part] = action()
        seconds[part] = time.perf_counter() - began

    if "mnist" in requested:
        timed("mnist", lambda: train_mnist(options.folder, 1 if options.quick else 5, samples))
    if set(requested) - {"mnist"}:
        train_imdb(options.folder, requested, samples, timed)
    report = json.dumps({"seconds": seconds, "metrics": metrics}, indent=2)
    print(report)
    if options.json:
        options.json.write_text(report)


def train_imdb(folder, requested, samples, timed):
    """Vectorize the reviews, then train the requested ones of the variants and the final model.

    For the variants, the first training reviews are held out; the final model is trained on all training reviews.
    """
    arrays = {}

    def vectorize():
        for split in ("train", "test"):
            sequences, labels = load_imdb(folder, split)
            arrays[f"x_{split}"] = vectorize_sequences(sequences[:samples])
            arrays[f"y_{split}"] = np.asarray(labels[:samples]).astype("float32")

    timed("vectorize", vectorize)
    x_train, y_train, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    held_out = 10000 if samples is None else len(x_train) * 2 // 5

    def train_variant(name):
        history = build(**VARIANTS[name]).fit(
            x_train[held_out:],
            y_train[held_out:],
            epochs=20 if samples is None else 1,
            batch_size=512,
            validation_data=(x_train[:held_out], y_train[:held_out]),
            verbose=0,
        )
        return {key: values[-1] for key, values in history.history.items()}

    def train_final():
        model = build(16)
        model.fit(x_train, y_train, epochs=4 if samples is None else 1, batch_size=512, verbose=0)
        loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
        return {"test_loss": loss, "test_accuracy": accuracy}

    for name in VARIANTS:
        if name in requested:
            timed(name, lambda name=name: train_variant(name))
    if "final" in requested:
        timed("final", train_final)


if __name__ == "__main__":
    main()
