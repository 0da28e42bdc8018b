"""Raw samples → labels and probabilities: of the champion, of the variants beside it, and what spoke for them."""

import codecs
import contextlib
import dataclasses
import functools
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core.errors import DataError, InputError, NothingToServe, ParamsError, TrackingError
from feedforward.data.readers import tokenizer
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import Features, MultiHot
from feedforward.models import attribution
from feedforward.promotion import bundle, compatibility
from feedforward.promotion.bundle import Servable
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.data.readers.table_file import Table

log = logging.getLogger(__name__)

TEXT_COLUMNS = ("text", "review", "sample")  # of a table of texts, the first that is there
LINES = (".jsonl", ".ndjson")
CHUNK = 2000  # samples of a file at a time
EXPLAINED_WORDS = 2048  # words that are left out at a time: 4 MB of sums for 512 units
Place = tuple[str, Any]  # where a sample stands, for messages, and the sample


@dataclass(frozen=True)
class Word:
    """What a word of a text does: `effect` is the change of the log odds (nats) that leaving it out would undo."""

    word: str
    effect: float
    known: bool


@dataclass(frozen=True)
class Champion:
    """The version that serves a data set."""

    version: Version
    served: Servable

    @functools.cached_property
    def variants(self) -> dict[str, Servable]:
        """A replica of each variant, loaded when it is first asked for.

        Raises:
            DataError: one was touched.
        """
        digests = json.loads(self.version.tags.get("variants", "{}"))
        return {
            name: bundle.read(model_versions.folder(self.version, f"variants/{name}"), digest)
            for name, digest in digests.items()
        }

    def chosen(self, variant: str | None) -> dict[str, Servable]:
        """The champion alone (None), one variant, or the champion and all variants (`all`), by name.

        Raises:
            ParamsError: there is no such variant.
        """
        if variant is None:
            return {model_version.CHAMPION: self.served}
        if variant == "all":
            return {model_version.CHAMPION: self.served, **self.variants}
        if variant not in self.variants:
            raise ParamsError([f"unknown variant {variant!r}: must be one of all, {', '.join(self.variants)}"])
        return {variant: self.variants[variant]}


def champion(name: str, version: Version | None = None, dataset: Dataset | None = None) -> Champion:
    """The champion of a data set, verified; or that version, which was found to be champion.

    Raises:
        NothingToServe: there is none yet. DataError: it was touched. TrackingError: the registry does not answer.
    """
    version = version or _find(name)
    if version is None:
        raise NothingToServe(f"{name}: there is no champion yet; run `feedforward promote {name}`")
    if model_version.DIGEST not in version.tags:
        raise DataError(f"{version.name}: was not made by `feedforward promote`; run `feedforward promote {name}`")
    folder = model_versions.folder(version, model_version.SERVED)
    served = bundle.read(folder, version.tags[model_version.DIGEST])
    if dataset is not None and (problem := compatibility.mismatch(served, dataset)):
        reason = f"{version.name} is not a champion of this dataset: {problem}"
        raise NothingToServe(f"{reason}; run `feedforward promote {name}`")
    return Champion(version, served)


def _find(name: str) -> Version | None:
    """The champion; while the tracking server does not answer, the last one known, if there is a local copy."""
    try:
        return model_versions.find(name)
    except TrackingError as error:
        known = model_versions.last_known(name)
        if known is None:
            raise
        log.warning("%s; %s answers from its local copy", error, known.name)
        return known


def answers(served: Servable, samples: Sequence[Any]) -> list[dict[str, Any]]:
    """Of each sample, checked by the encoder, as JSON values: what the task answers.

    A class: `label`, `probability`, and `probabilities` by label. Any number of labels: `labels`, and `probabilities`.
    A value: `value`, in its own unit.
    """
    features = served.encoder.encode(samples)
    return with_warnings(served, samples, features, described(served, served.ask(features)))


def with_warnings(
    served: Servable, samples: Sequence[Any], features: Features, answers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The answers; those to samples that hold what training has not seen get `warnings`, a list of lines."""
    for number, answer in enumerate(answers):
        if isinstance(features, MultiHot):
            lines = [] if _has_known_word(features, number) else ["no word of this text is in the vocabulary"]
        else:
            unknown = served.encoder.unknown(samples[number])
            lines = [f"{name}: does not occur in the training data and is ignored" for name in unknown]
        if lines:
            answer["warnings"] = lines
    return answers


def _has_known_word(features: MultiHot, row: int) -> bool:
    columns = features.indices[features.indptr[row] : features.indptr[row + 1]]
    return bool(len(columns)) and int(columns.max()) > tokenizer.DROPPED


def described(served: Servable, probabilities: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """The same from what `Servable.ask` gave, (samples, labels)."""
    labels, kind = served.description.labels, served.description.row.answers
    if kind == "value":
        return [{"value": value} for value in probabilities[:, 0].tolist()]
    if kind == "labels":
        shares = [dict(zip(labels, row, strict=True)) for row in probabilities.tolist()]
        return [{"labels": [k for k, p in each.items() if p > 0.5], "probabilities": each} for each in shares]
    found = []
    for row, best in zip(probabilities.tolist(), probabilities.argmax(axis=1).tolist(), strict=True):
        found.append(
            {"label": labels[best], "probability": row[best], "probabilities": dict(zip(labels, row, strict=True))}
        )
    return found


def in_words(answer: dict[str, Any]) -> str:
    """The answer itself, without probabilities.

    >>> in_words({"label": "positive", "probability": 0.9}), in_words({"labels": []}), in_words({"value": 12.5})
    ('positive', 'none', '12.5')
    """
    if "value" in answer:
        return f"{answer['value']:.6g}"
    return str(answer["label"]) if "label" in answer else ", ".join(answer["labels"]) or "none"


def explained(served: Servable, text: str) -> tuple[str, list[Word]]:
    """The label towards which effects count, and the distinct words of a text in order, each with its effect.

    Exact, since features are multi-hot: each word is left out alone, all its occurrences, and the rest is asked again.
    The label is the second of two, or the answer among more. Only texts can be explained so.
    """
    encoder, network = served.encoder, served.network
    if not isinstance(encoder, TextEncoder) or served.description.row.answers != "class":
        return "", []
    distinct = list(dict.fromkeys(encoder.split(text)))
    columns = np.array(encoder.columns_of(distinct), np.int64)
    sums = network.first_sums(encoder.encode([text]))
    unknown = columns == tokenizer.DROPPED
    logits = [network.continued(sums)]
    for start in range(0, len(distinct), EXPLAINED_WORDS):
        part = slice(start, start + EXPLAINED_WORDS)
        left_out = network.layers[0].kernel[columns[part]] * np.float32(network.scale)
        if unknown.sum() > 1:
            left_out[unknown[part]] = 0  # the other unknown words keep their common column set
        logits.append(network.continued(sums - left_out))
    label = 1 if len(served.description.labels) == 2 else int(logits[0].argmax())
    odds = attribution.log_odds(network.log_probabilities(np.concatenate(logits)), label)
    effects = (odds[0] - odds[1:]).tolist()
    found = [Word(word, effect, not new) for word, effect, new in zip(distinct, effects, unknown.tolist(), strict=True)]
    return served.description.labels[label], found


# --- files -----------------------------------------------------------------------------------


def from_files(paths: Sequence[str]) -> Iterator[Place]:
    """The content of each file.

    Raises:
        InputError: one cannot be read.
    """
    for path in paths:
        try:
            yield path, Path(path).read_bytes()
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})") from None


def from_rows(path: Path) -> Iterator[Place]:
    """The rows of a .csv, .jsonl or .parquet file as objects, read as in training.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix in LINES:
        yield from _lines(path, "")
        return
    table = _table(path)
    names = list(table.columns)
    for number, row in enumerate(zip(*(column.to_pylist() for column in table.columns.values()), strict=True), start=1):
        yield f"{path} row {number}", dict(zip(names, row, strict=True))


def from_table(path: Path, column: str = "") -> Iterator[Place]:
    """The texts of a file: one per line (.txt), of a column (.csv, .parquet) or a field of objects (.jsonl).

    column: the one with the texts, that of the training table; the only one, or one of TEXT_COLUMNS, does too.
    `-` is standard input.

    Raises:
        InputError: it cannot be read, or has no such column or field.
    """
    if path.suffix in LINES:
        yield from _lines(path, column or TEXT_COLUMNS[0])
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        table = _table(path)
        name = _text_column(str(path), list(table.columns), column)
        yield from ((f"{path} row {k}", text) for k, text in enumerate(table.columns[name].to_pylist(), start=1))
    else:
        yield from _text_lines(path)


def _table(path: Path) -> "Table":
    from feedforward.data.readers import table_file

    try:
        table = table_file.read(path)
    except DataError as error:
        raise InputError(str(path), str(error).removeprefix(f"{path}: ")) from None
    for note in table.notes:
        log.warning("%s: %s", path, note)
    return table


def _text_column(where: str, names: Sequence[str], column: str) -> str:
    wanted = [name for name in (column, *TEXT_COLUMNS) if name]
    name = next((name for name in wanted if name in names), names[0] if len(names) == 1 else None)
    if name is None:
        raise InputError(where, f"expected a column {' or '.join(wanted)}, got {', '.join(names)[:200]}")
    return name


def _text_lines(path: Path) -> Iterator[Place]:
    warned = False
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = tokenizer.decoded(line).removeprefix("\ufeff")
                if not warned and text.encode() != line.removeprefix(codecs.BOM_UTF8):
                    log.warning("%s line %d: is not UTF-8 and is read as Windows-1252", path, number)
                    warned = True
                if text.strip():
                    yield f"{path} line {number}", text
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None


def _lines(path: Path, column: str) -> Iterator[Place]:
    """JSON values, one per line; of objects the field `column` (see `from_table`), where that is given."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{path} line {number}"
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    raise InputError(where, "is not JSON") from None
                if isinstance(value, dict) and column:
                    value = value[_text_column(where, [*value, ""], column)]
                yield where, value
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None


def in_chunks(served: Servable, places: Iterator[Place]) -> Iterator[tuple[list[str], list[Any]]]:
    """Where samples stand and what they are, checked, CHUNK at a time.

    Raises:
        InputError: a sample cannot be taken; its place is named.
    """
    names: list[str] = []
    samples: list[Any] = []
    for place, sample in places:
        names.append(place)
        samples.append(served.encoder.check(sample, place))
        if len(samples) == CHUNK:
            yield names, samples
            names, samples = [], []
    if samples:
        yield names, samples


def as_json(word: Word) -> dict[str, Any]:
    """JSON values of a word."""
    return dataclasses.asdict(word)
