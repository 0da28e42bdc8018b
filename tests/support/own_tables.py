"""Small tables of a user, and functions that make `own`, the only dataset of a workspace, from a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from feedforward.config.schema import Dataset, Params
from feedforward.core import paths
from feedforward.data import config_inference, preparation
from feedforward.data.config_inference import Guess
from feedforward.data.readers import encoders
from feedforward.data.splits import Split

HEAD = "seeds: 2\nvariants: {original: {}, larger: {size: large}}\n"
ROOMS = [f"{11 + k * 37 % 19}.{k % 10}" for k in range(60)]
SIZES = [f"{(k * 53 % 41) / 7 - 2:.3f}" for k in range(60)]
LABELS = ["dear" if k % 3 else "cheap" for k in range(60)]

Prepare = Callable[..., tuple[Guess, Dataset]]  # the type of the `prepare` fixture


def table(path: Path, separator: str = ",", **columns: list[str]) -> Path:
    """Write a CSV file with these columns, without any quoting, and return its path."""
    lines = [separator.join(columns), *map(separator.join, zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def initialize(path: Path, *targets: str) -> tuple[Guess, Params]:
    """Run `init` on a file or folder in a workspace without other datasets; return the guess and the params."""
    paths.params().write_text(HEAD)
    guess = config_inference.guess(path, targets)
    return guess, config_inference.write(guess.entry, "own", paths.params())


def prepare(path: Path, *targets: str) -> tuple[Guess, Dataset]:
    """Run `init`, `fetch` and `vectorize` on a file; return the guess and the dataset's entry in params.yaml."""
    guess, params = initialize(path, *targets)
    preparation.fetch("own", params.datasets["own"], params)
    preparation.vectorize("own", params.datasets["own"])
    return guess, params.datasets["own"]


def encoder(dataset: Dataset) -> encoders.Encoder:
    """Return the encoder of the vectorized dataset."""
    return encoders.of_dataset(dataset.reader, paths.vectorized("own"))


def class_counts() -> dict[str, list[int]]:
    """Return the number of samples of each class, by split."""
    folder = paths.vectorized("own")
    return {part: np.bincount(np.asarray(Split.load(folder / part).labels)).tolist() for part in ("train", "test")}
