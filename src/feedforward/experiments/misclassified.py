"""The test samples that a model gets most wrong, prepared for the report."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core import paths
from feedforward.data import consistency, description
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import reading
from feedforward.reports.comparison_page import HardSample

MOST_CHARACTERS = 600  # of a text
SIDE = 84  # longer side of an image, in pixels


def show(name: str, dataset: Dataset, hardest: Sequence[dict[str, Any]]) -> list[HardSample]:
    """Prepare the samples from `attribution.hardest`, with their images or texts, labels and words.

    Raises:
        DataError: raw or vectorized data are missing, or do not belong together.
    """
    rows = [entry["row"] for entry in hardest]
    samples = consistency.raw_samples(dataset, paths.raw(name), manifest_file.load(name), rows)
    names = reading.column_names(dataset.reader, paths.vectorized(name))
    return [
        HardSample(
            truth=dataset.labels[entry["truth"]],
            prediction=dataset.labels[entry["answer"]],
            probability=entry["probability"],
            picture=None if isinstance(sample, str) else _png(sample),
            text=_shorten(sample) if isinstance(sample, str) else None,
            words=tuple((names(column), weight) for column, weight in entry["columns"]),
        )
        for entry, sample in zip(hardest, samples, strict=True)
    ]


def _shorten(text: str) -> str:
    plain = " ".join(text.replace("<br />", " ").split())
    return plain if len(plain) <= MOST_CHARACTERS else plain[:MOST_CHARACTERS].rsplit(" ", 1)[0] + " …"


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    description.enlarged(pixels, SIDE).save(buffer, "PNG")
    return buffer.getvalue()
