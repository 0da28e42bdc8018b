"""The steps from a dataset's sources to the data that training reads: fetch, vectorize, validate."""

import functools
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, Params, Reader
from feedforward.config.tasks import TASKS, Task
from feedforward.core import atomic_files, paths, processes
from feedforward.core.errors import DataError
from feedforward.data import feedback, feedback_features
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import columns, reading
from feedforward.data.readers.reading import Part, Reading
from feedforward.data.sources import download
from feedforward.data.splits import Features, MultiHot, Split

PROFILE_ROWS = 8192  # rows of the profile that are written at a time

log = logging.getLogger(__name__)

Read = Callable[[Reader, Mapping[str, Path]], Reading]


def fetch(name: str, dataset: Dataset, params: Params, accept_changes: bool = False) -> None:
    """Fetch the files of a dataset into `paths.raw(name)`, unless they are already there with the expected content.

    If params.yaml enables it, also add users' samples to `paths.collected(name)`, a file that is created in any case.
    accept_changes: see `download.fetch`.

    Raises:
        SourceError: no source provides a file with the expected content.
        DataError, Busy: see `feedback.take`.
    """
    download.fetch(dataset.files, paths.raw(name), params.mirrors, accept_changes=accept_changes)
    feedback.take(name, dataset, params.retraining.use_feedback, params.retraining.review)


def fetch_again(name: str, dataset: Dataset, params: Params) -> None:
    """Like `fetch`, but accept changed content of the files that have no `sha256` in params.yaml.

    Raises:
        SourceError: see `fetch`; then the files and their recorded digests are unchanged.
        DataError, Busy: see `fetch`.
    """
    fetch(name, dataset, params, accept_changes=True)


def vectorize(name: str, dataset: Dataset, collect: bool = False, read: Read = reading.read) -> None:
    """Write the splits, vocabulary, profile and manifest into `paths.vectorized(name)`, atomically.

    collect: whether to add the collected user samples to the training split.
    read: function that reads the files, for instance on a cluster; it must return the same as `reading.read`.

    Raises:
        DataError: the raw files are missing or damaged, do not match `dataset`, or contain targets that cannot be used
            (see `_Scaling.scale`); or a collected sample was changed.
    """
    folder = paths.raw(name)
    fetched = download.recorded(folder)
    content = read(dataset.reader, download.stored_files(dataset.files, folder))
    collected = feedback.usable(name, dataset) if collect else []
    with atomic_files.writing_folder(paths.vectorized(name), "vectorize") as target:
        digests = {"vocabulary": _save_vocabulary(content.vocabulary, target)}
        for file, data in content.files.items():
            (target / file).write_bytes(data)
            digests[file] = hashlib.sha256(data).hexdigest()
        scaling = _Scaling(name, TASKS[dataset.task])
        with _profile_writer(target / "profile.parquet", dataset) as profile:
            # map instead of a loop, whose variable would keep one split in memory while the next is created
            parts = map(
                functools.partial(_add_collected, collected=collected, content=content, dataset=dataset), content.parts
            )
            parts = map(scaling.scale, parts)
            saved = list(map(functools.partial(_save, target=target, profile=profile), parts))
        digests |= {part: digest for part, digest, _ in saved} | scaling.digests()
        manifest = {
            **content.facts,
            **digests,
            "data_digest": atomic_files.digest(digests),
            "settings": manifest_file.settings_digest(dataset),
            "files": fetched,
            "samples": {part: samples for part, _, (samples, _) in saved},
            "features": saved[0][2][1],
            **({"collected": len(collected)} if collected else {}),
            **scaling.facts,
        }
        atomic_files.write_json(target / "manifest.json", manifest)


def _save_vocabulary(words: list[str] | None, target: Path) -> str | None:
    """Write one word per line, by frequency rank; return the file's SHA-256, or None without a vocabulary."""
    if words is None:
        return None
    text = "".join(f"{word}\n" for word in words).encode()
    (target / "vocabulary.txt").write_bytes(text)
    return hashlib.sha256(text).hexdigest()


class _Scaling:
    """Converts target values to float32, standardized by the training split if the task requires it.

    Class numbers are not changed.
    """

    def __init__(self, name: str, task: Task) -> None:
        self.name, self.task = name, task
        self.facts: dict[str, Any] = {}

    def digests(self) -> dict[str, str]:
        """Digests of the targets' mean and scale, because equal arrays in different units are different data."""
        return {key: atomic_files.digest(fact) for key, fact in self.facts.items()}

    def scale(self, part: Part) -> Part:
        """Convert the labels of a part; the first call must be for the training split.

        Raises:
            DataError: a target is not between 0 and 1, as the task requires; or, in standardized form, it exceeds
                the range of float32.
        """
        if self.task.answers != "value":
            return part
        values = part.split.labels.astype(np.float64)
        if self.task.standardized:
            values = self._standardize(values, part.name)
        elif values.min() < 0 or values.max() > 1:
            span = f"{values.min():g} to {values.max():g}"
            raise DataError(
                f"{self.name}: targets must be between 0 and 1, got {span}; for other values, use `task: regression`"
            )
        split = Split(part.split.features, values.astype(np.float32))
        return Part(part.name, split, part.raw_lengths, part.digests)

    def _standardize(self, values: npt.NDArray[np.float64], part: str) -> npt.NDArray[np.float64]:
        if not self.facts:
            self.facts = {"target": dict(zip(("mean", "scale"), columns.mean_and_scale(values), strict=True))}
        distances: npt.NDArray[np.float64] = (values - self.facts["target"]["mean"]) / self.facts["target"]["scale"]
        farthest = np.abs(distances).argmax()
        if abs(distances[farthest]) > np.finfo(np.float32).max:
            raise DataError(
                f"{self.name}: the target {float(values[farthest])} in {part} is too far from the others; correct or"
                f" remove its row in the source, then run `feedforward fetch {self.name}`"
            )
        return distances


def _add_collected(part: Part, collected: list[dict[str, Any]], content: Reading, dataset: Dataset) -> Part:
    """Add the users' samples to the training split; return any other part unchanged."""
    if part.name != "train" or not collected:
        return part
    if content.vocabulary is None:
        _leave_out_other_sizes(collected, part.split.features.shape[1])
        if not collected:
            return part
    encoder = None
    if content.vocabulary is not None:
        from feedforward.data.readers.text_encoder import TextEncoder
        from feedforward.data.readers.tokenizer import Vocabulary

        encoder = TextEncoder(Vocabulary(tuple(content.vocabulary), part.split.features.shape[1]))
    return feedback_features.join(
        part, feedback_features.part(collected, dataset, encoder), dataset.training.validation.take
    )


def _leave_out_other_sizes(collected: list[dict[str, Any]], pixels: int) -> None:
    """Remove images of another size, in place, so that the manifest counts only those that are used."""
    total = len(collected)
    collected[:] = [entry for entry in collected if feedback_features.has_size(entry, pixels)]
    if left_out := total - len(collected):
        log.warning("images of users that are left out, because they do not have %d pixels: %d", pixels, left_out)


def _save(part: Part, target: Path, profile: Any) -> tuple[str, str, tuple[int, int]]:
    """Write a split and its profile rows; return the split's name and digest, and the shape of its features."""
    part.split.save(target / part.name)
    for rows in _profile_rows(part):
        profile.write_batch(rows)
    return part.name, part.split.digest(), part.split.features.shape


def validate(name: str, dataset: Dataset) -> None:
    """Validate the vectorized data against params.yaml and write the summary into `paths.validation(name)`.

    Raises:
        ValidationFailed: an expectation is not met; the message is a table of expected and observed values.
        DataError: the dataset has not been vectorized.
    """
    with processes.importing():
        from feedforward.data.validation import validator  # Great Expectations takes seven seconds to import

    validator.validate(name, dataset, paths.vectorized(name))


def _profile_writer(path: Path, dataset: Dataset) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    integer, text = pa.int64(), pa.string()
    answers = TASKS[dataset.task].answers
    types = {
        "split": text,
        "label": pa.float64() if answers == "value" else integer,
        "raw_length": integer,
        "ones": integer,
    }
    types |= {"minimum": pa.float64(), "maximum": pa.float64(), "digest": text}
    types |= {f"label_{k}": integer for k in range(len(dataset.labels)) if answers == "labels"}
    return pq.ParquetWriter(path, pa.schema(list(types.items())), compression="zstd")


def _profile_rows(part: Part) -> Iterator[Any]:
    """The rows of the profile, one per sample, in the order of the split."""
    import pyarrow as pa

    for start in range(0, len(part.split), PROFILE_ROWS):
        rows = part.split.rows(start, min(start + PROFILE_ROWS, len(part.split)))
        stop = start + len(rows)
        ones, minimum, maximum = _row_ranges(rows.features)
        yield pa.record_batch(
            {
                "split": [part.name] * len(rows),
                "label": _label_column(rows.labels),
                "raw_length": part.raw_lengths[start:stop],
                "ones": ones,
                "minimum": minimum,
                "maximum": maximum,
                "digest": [digest.tobytes().hex() for digest in part.digests[start:stop]],
                **(
                    {f"label_{k}": column for k, column in enumerate(rows.labels.T.astype(np.int64))}
                    if rows.labels.ndim == 2
                    else {}
                ),
            }
        )


def _label_column(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """One number per sample: its class, its value, or its number of labels."""
    if labels.dtype.kind == "f":
        return labels.astype(np.float64)
    return labels.astype(np.int64) if labels.ndim == 1 else np.count_nonzero(labels, axis=1)


def _row_ranges(features: Features) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each sample: its number of non-zero features, its smallest value and its largest value."""
    if isinstance(features, MultiHot):
        ones = np.diff(features.indptr)
        return ones, (ones == features.columns).astype(np.float64), (ones > 0).astype(np.float64)
    ones = np.count_nonzero(features, axis=1).astype(np.int64)
    return ones, features.min(axis=1).astype(np.float64), features.max(axis=1).astype(np.float64)
