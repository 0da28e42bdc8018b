"""Whether a registered model fits the dataset as params.yaml defines it.

In a shared store, or after a dataset was redefined, the champion can be a model for another task. Such a champion is
neither compared with challengers nor served.
"""

from feedforward.config.schema import Dataset, TableReader
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.promotion.bundle import Servable

# What a model takes, by kind of reader; models for other readers take texts
SAMPLE_KINDS = {"idx": "image", "image_folder": "image", "table": "row"}


def mismatch(served: Servable, dataset: Dataset) -> str | None:
    """How the model differs from the dataset in task, labels, kind of sample or columns; None if it does not.

    Vocabulary, means, categories and network are not compared: training may change them.
    """
    description = served.description
    if description.task_name != dataset.task:
        return f"it was trained for the {description.task_name} task, params.yaml says {dataset.task}"
    if description.labels != dataset.labels:
        return f"its labels are {_shorten(description.labels)}, params.yaml says {_shorten(dataset.labels)}"
    sample_kind = SAMPLE_KINDS.get(dataset.reader.kind, "text")
    if served.encoder.sample_kind != sample_kind:
        return f"it takes {served.encoder.sample_kind} samples, params.yaml says {sample_kind}"
    if isinstance(dataset.reader, TableReader):
        columns, expected = _columns(served.encoder), {*dataset.reader.numeric, *dataset.reader.categorical}
        if columns != expected:
            return f"it reads the columns {_shorten(columns)}, params.yaml says {_shorten(expected)}"
    return None


def _columns(encoder: Encoder) -> set[str]:
    if not isinstance(encoder, RowEncoder):
        return set()
    numeric = {name for name, _, _ in encoder.measured.numeric}
    return numeric | {name for name, _ in encoder.measured.categorical}


def _shorten(names: tuple[str, ...] | set[str]) -> str:
    ordered = names if isinstance(names, tuple) else sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
