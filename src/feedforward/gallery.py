"""The test samples that a model gets most wrong, and what spoke for its answers."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward import readers, sources
from feedforward.forward import Network
from feedforward.params import Dataset
from feedforward.report import HardSample
from feedforward.splits import MultiHot, Split

SAMPLES = 12
WORDS = 8
TEXT = 600  # characters shown
SIDE = 84  # pixels of a picture shown


def hardest(network: Network, split: Split, number: int = SAMPLES) -> list[dict[str, Any]]:
    """The samples of `split` whose label gets the lowest probability, the lowest first, as JSON values.

    row: in the split. truth, answer: class numbers. probability: that of the answer. columns: for multi-hot features
    the columns that move the answer most, each with the change of the answer's log odds that leaving it out undoes.
    """
    logits = network.logits(split.features)
    chances = network.log_probabilities(logits)
    labels = np.asarray(split.labels, np.int64)
    of_label = chances[np.arange(len(labels)), labels]
    found = []
    for row in np.argsort(of_label, kind="stable")[:number]:
        answer = int(chances[row].argmax())
        columns = (
            _columns(network, split.features.rows(row, row + 1), answer) if isinstance(split.features, MultiHot) else []
        )
        found.append(
            {
                "row": int(row),
                "truth": int(labels[row]),
                "answer": answer,
                "probability": float(np.exp(chances[row, answer])),
                "columns": columns,
            }
        )
    return found


def _columns(network: Network, sample: MultiHot, answer: int) -> list[list[Any]]:
    """Attribution by leaving out: exact for one column at a time, and one forward pass for all of them."""
    sums = network.first_sums(sample)
    first = network.layers[0].kernel[np.asarray(sample.indices)] * np.float32(network.scale)
    with_all = _log_odds(network, sums, answer)
    without = _log_odds(network, sums - first, answer)
    change = with_all - without
    strongest = np.argsort(-np.abs(change), kind="stable")[:WORDS]
    return [[int(sample.indices[k]), round(float(change[k]), 4)] for k in strongest]


def _log_odds(network: Network, sums: npt.NDArray[np.float32], answer: int) -> npt.NDArray[np.float64]:
    chances = network.log_probabilities(network.continued(sums))
    return chances[:, answer] - np.log1p(-np.exp(np.minimum(chances[:, answer], -1e-12)))


def show(dataset: Dataset, found: Sequence[dict[str, Any]], raw: Path, vectorized: Path) -> list[HardSample]:
    """The samples of `hardest` as the report shows them: pictures or texts, labels and words."""
    files = {key: raw / sources.stored_name(key, file) for key, file in dataset.files.items()}
    samples = readers.samples(dataset.reader, files, [entry["row"] for entry in found])
    names = readers.column_names(dataset.reader, vectorized)
    return [
        HardSample(
            truth=dataset.labels[entry["truth"]],
            answer=dataset.labels[entry["answer"]],
            probability=entry["probability"],
            picture=None if isinstance(sample, str) else _png(sample),
            text=_shortened(sample) if isinstance(sample, str) else None,
            words=tuple((names(column), weight) for column, weight in entry["columns"]),
        )
        for entry, sample in zip(found, samples, strict=True)
    ]


def _shortened(text: str) -> str:
    plain = " ".join(text.replace("<br />", " ").split())
    return plain if len(plain) <= TEXT else plain[:TEXT].rsplit(" ", 1)[0] + " …"


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(255 - pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
