"""Whether a dataset can have a champion, and a registered model fits the dataset as params.yaml defines it.

In a shared store, or after a dataset was redefined, the champion can be a model for another task. Such a champion is
neither compared with challengers nor served.
"""

import itertools
from collections.abc import Sequence

from feedforward.config.schema import Dataset, TableReader
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.promotion.bundle import Servable

# What a model takes, by kind of reader; models for other readers take texts
SAMPLE_KINDS = {"idx": "image", "image_folder": "image", "table": "row"}
NAMES_SHOWN = 5  # in a message
DEMO = "models of demo data are never promoted"


def champion_remedy(name: str, dataset: Dataset) -> str:
    """What to do if there is no champion for dataset `name`.

    >>> champion_remedy("imdb", Dataset.model_construct(demo=False))
    'run `feedforward promote imdb`'
    """
    return f"{DEMO}, so use another dataset" if dataset.demo else f"run `feedforward promote {name}`"


def mismatch(served: Servable, dataset: Dataset) -> str | None:
    """How the model differs from the dataset in task, labels, kind of sample or columns; None if it does not.

    Vocabulary, means, categories and network are not compared: training may change them.
    """
    description = served.description
    if description.task_name != dataset.task:
        return f"it was trained for the {description.task_name} task, params.yaml says {dataset.task}"
    if description.labels != dataset.labels:
        labels, expected = _shorten(description.labels, dataset.labels)
        return f"its labels are {labels}, params.yaml says {expected}"
    sample_kind = SAMPLE_KINDS.get(dataset.reader.kind, "text")
    if served.encoder.sample_kind != sample_kind:
        return f"it takes {served.encoder.sample_kind} samples, params.yaml says {sample_kind}"
    if isinstance(dataset.reader, TableReader):
        names = sorted({*dataset.reader.numeric, *dataset.reader.categorical})
        read = sorted(served.encoder.table_columns) if isinstance(served.encoder, RowEncoder) else []
        if read != names:
            columns, expected = _shorten(read, names)
            return f"it reads the columns {columns}, params.yaml says {expected}"
    return None


def _shorten(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Two different lists of names as text: at most NAMES_SHOWN names of each, among them the first that differs."""
    first = next(k for k, (one, other) in enumerate(itertools.zip_longest(names, others)) if one != other)
    start = max(0, first + 1 - NAMES_SHOWN)
    texts = []
    for listed in (names, others):
        after = len(listed) - start - NAMES_SHOWN
        text = ", ".join(listed[start : start + NAMES_SHOWN]) + (f" and {after} more" if after > 0 else "")
        texts.append(f"…, {text}" if start else text)
    return texts
