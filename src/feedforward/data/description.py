"""Describe a vectorized dataset: counts, class balance, examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.config.tasks import TASKS
from feedforward.core import atomic_files, paths
from feedforward.data import consistency
from feedforward.data import manifest as manifest_file
from feedforward.data.splits import Split

if TYPE_CHECKING:
    import PIL.Image

SPLITS = ("train", "test")
EXAMPLE_COUNT = 8
EXAMPLE_CHARACTERS = 100  # shown of an example text
CELL, GAP = 64, 4  # in the image of the examples, in pixels: longer side of an example, space between two examples


@dataclass(frozen=True)
class Description:
    """What `describe` shows.

    distribution: label → number of samples in train and in test; for regression, name of a quantile → its value in
    train and in test. examples: (label, sample). missing: column of a table → its missing cells in train and in test;
    columns without any are left out; None if the dataset is not a table.
    """

    samples: dict[str, int]
    features: int
    distribution: dict[str, tuple[float, float]]
    examples: list[tuple[str, str | npt.NDArray[np.uint8]]]
    missing: dict[str, tuple[int, int]] | None = None


def describe(name: str, dataset: Dataset) -> Description:
    """Describe the vectorized splits and some raw test samples.

    Raises:
        DataError: the dataset has not been fetched and vectorized, was fetched again or changed in params.yaml since,
            or a file is damaged.
    """
    manifest = manifest_file.load_current(name, dataset)
    splits = {split: manifest_file.load_split(name, split) for split in SPLITS}
    test = splits["test"]
    target = manifest.get("target", {"mean": 0.0, "scale": 1.0})
    rows = np.linspace(0, len(test) - 1, min(EXAMPLE_COUNT, len(test))).astype(int).tolist()
    raw_samples = consistency.raw_samples(dataset, paths.raw(name), manifest, rows)
    labels = [_label_text(test.labels[row], dataset, target) for row in rows]
    is_value = TASKS[dataset.task].answers == "value"
    distribution = _quantiles(splits, target) if is_value else _counts(splits, dataset.labels)
    examples = list(zip(labels, raw_samples, strict=True))
    missing = _missing(manifest["missing_cells"]) if "missing_cells" in manifest else None
    return Description(dict(manifest["samples"]), int(manifest["features"]), distribution, examples, missing)


def save_examples(examples: Sequence[tuple[str, Any]], path: Path) -> None:
    """Write the example images side by side to a PNG file."""
    from PIL import Image

    sheet = Image.new("L", (len(examples) * (CELL + GAP) - GAP, CELL), 255)
    for position, (_, pixels) in enumerate(examples):
        sheet.paste(enlarged(pixels, CELL), (position * (CELL + GAP), 0))
    with atomic_files.writing(path, "describe") as file:
        sheet.save(file, "PNG")


def enlarged(pixels: npt.NDArray[np.uint8], side: int) -> "PIL.Image.Image":
    """The image with its longer side `side` pixels long, in its own gray levels and proportions."""
    from PIL import Image

    height, width = (max(1, round(length * side / max(pixels.shape))) for length in pixels.shape)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def _label_text(label: Any, dataset: Dataset, target: dict[str, float]) -> str:
    answers = TASKS[dataset.task].answers
    if answers == "value":
        return f"{float(label) * target['scale'] + target['mean']:.4g}"
    if answers == "labels":
        return ", ".join(name for name, is_set in zip(dataset.labels, label, strict=True) if is_set) or "none"
    return dataset.labels[int(label)]


def _missing(counts: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[int, int]]:
    train, test = (counts[split] for split in SPLITS)
    return {name: (train.get(name, 0), test.get(name, 0)) for name in {**train, **test}}


def _counts(splits: dict[str, Split], labels: Sequence[str]) -> dict[str, tuple[float, float]]:
    counts = []
    for split in SPLITS:
        array = np.asarray(splits[split].labels, np.int64)
        counts.append(array.sum(axis=0) if array.ndim == 2 else np.bincount(array, minlength=len(labels)))
    return {label: (float(train), float(test)) for label, train, test in zip(labels, *counts, strict=True)}


def _quantiles(splits: dict[str, Split], target: dict[str, float]) -> dict[str, tuple[float, float]]:
    levels = {"lowest": 0.0, "lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "highest": 1.0}
    arrays = [np.asarray(splits[split].labels, np.float64) * target["scale"] + target["mean"] for split in SPLITS]
    return {
        name: (float(np.quantile(arrays[0], level)), float(np.quantile(arrays[1], level)))
        for name, level in levels.items()
    }
