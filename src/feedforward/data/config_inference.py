"""A user's folder or file → an entry of params.yaml, with the reason for each guess; to be read and edited."""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feedforward.config.schema import Params, check
from feedforward.core import atomic_files
from feedforward.core.errors import InputError, one_line

PICTURES, TEXTS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"), (".txt",)
TABLES, LINES = (".csv", ".parquet"), (".jsonl", ".ndjson")
TARGETS = ("target", "label", "class", "y", "outcome")
MOST_CLASSES = 50  # distinct whole numbers beyond it are values
LONG = 30.0  # characters on average: a text to read rather than a category
LARGEST_SIDE = 64  # pixels
SHORT = 90  # characters that stand on one line
IDX = re.compile(r"(train|t10k|test)-(images|labels).*idx\d-ubyte(\.gz)?")


@dataclass(frozen=True)
class Guess:
    """entry: of `datasets` in params.yaml. reasons: a sentence each."""

    entry: dict[str, Any]
    reasons: list[str]


def name_of(path: Path) -> str:
    """A name for params.yaml."""
    plain = re.sub(r"[^a-z0-9_]+", "_", path.name.split(".")[0].lower()).strip("_")
    return plain if plain[:1].isalpha() else f"data_{plain}"[:60].rstrip("_")


def guess(path: Path, targets: Sequence[str] = ()) -> Guess:
    """What the data look like. targets: columns to learn, where they are known.

    Raises:
        InputError: nothing that any reader reads.
    """
    if path.is_dir():
        return _of_idx(path) or _of_class_folders(path)
    suffix = "".join(path.suffixes).removesuffix(".gz").lower()
    if path.is_file() and any(suffix.endswith(known) for known in (*TABLES, *LINES)):
        return _of_table(path, tuple(targets))
    kinds = f"a folder of idx files, a folder of class folders, or a file {', '.join((*TABLES, *LINES))}"
    raise InputError(str(path), f"must be {kinds}; pack anything else as one of these")


# --- folders -----------------------------------------------------------------------------------


def _of_idx(path: Path) -> Guess | None:
    found = {file.name: match for file in sorted(path.iterdir()) if (match := IDX.fullmatch(file.name))}
    places = {
        ("test" if m[1] == "t10k" else m[1], "features" if m[2] == "images" else m[2]): n for n, m in found.items()
    }
    if set(places) != {(split, part) for split in ("train", "test") for part in ("features", "labels")}:
        return None
    files = {
        name: {"archive": "gzip" if name.endswith(".gz") else "none", "urls": [str(path / name)]} for name in found
    }
    classes = _idx_classes(path / places["train", "labels"])
    reader = {"kind": "idx", **{s: {p: places[s, p] for p in ("features", "labels")} for s in ("train", "test")}}
    rows = _idx_count(path / places["train", "labels"])
    reasons = [f"{len(found)} idx files are pictures and their classes: `kind: idx`, {rows} of them train"]
    reasons.append(f"the labels go from 0 to {classes - 1}: `task: multiclass`")
    labels = [str(k) for k in range(classes)]
    return _finished(path, "multiclass", labels, files, reader, rows, reasons, _dense_network(128, 255))


def _idx_bytes(path: Path) -> bytes:
    import gzip

    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _idx_classes(path: Path) -> int:
    return max(2, int(np.frombuffer(_idx_bytes(path), np.uint8, offset=8).max()) + 1)


def _idx_count(path: Path) -> int:
    return int.from_bytes(_idx_bytes(path)[4:8], "big")


def _of_class_folders(path: Path) -> Guess:
    split = all((path / part).is_dir() for part in ("train", "test"))
    top = path / "train" if split else path
    classes = sorted(folder.name for folder in top.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if len(classes) < 2:
        raise InputError(str(path), "must hold a folder for each of at least two classes, or four idx files")
    parts = ["train", "test"] if split else [""]
    folders = [f"{part}/{name}" if part else name for part in parts for name in classes]
    names = [file for folder in folders for file in (path / folder).glob("*") if file.is_file()]
    suffixes = Counter(file.suffix for file in names)
    known = [suffix for suffix in suffixes if suffix.lower() in (*PICTURES, *TEXTS)]
    pictures = sum(suffixes[suffix] for suffix in known if suffix.lower() in PICTURES)
    if not known:
        raise InputError(str(path), f"its class folders must hold {' or '.join((*PICTURES, *TEXTS))}")
    is_picture = pictures > sum(suffixes[s] for s in known) / 2
    kept = [suffix for suffix in known if (suffix.lower() in PICTURES) == is_picture]
    rows = sum(suffixes[suffix] for suffix in kept if suffix)
    key = name_of(path)
    file = {"archive": "folder", "folders": folders, "suffix": sorted(kept), "urls": [str(path)]}
    reader: dict[str, Any] = {
        "kind": "image_folder" if is_picture else "labeled_text",
        "file": key,
        "classes": classes,
    }
    reader |= {"train": "train", "test": "test"} if split else {"train": ""}
    reader["shuffle_seed"] = 0
    what = "pictures" if is_picture else "texts"
    reasons = [f"{len(classes)} class folders hold {rows} {what} ({', '.join(sorted(kept))}): `kind: {reader['kind']}`"]
    reasons += [] if split else [_SHARE]
    reasons.append("they stand by class, so `shuffle_seed` mixes them")
    network = _dense_network(128, 255) if is_picture else _text_network()
    if is_picture:
        height, width = _size([file for file in names if file.suffix in kept][:200])
        reader |= {"height": height, "width": width}
        reasons.append(
            f"their usual size (at most {LARGEST_SIDE}) is {height} × {width} pixels; gray levels are learned"
        )
    else:
        reader["num_words"] = 10_000
    task = "binary" if len(classes) == 2 else "multiclass"
    reasons.append(f"{len(classes)} classes: `task: {task}`")
    if split:
        rows = sum(1 for file in names if file.suffix in kept and file.parent.parent.name == "train")
    else:
        rows = round(0.8 * rows)
    return _finished(path, task, classes, {key: file}, reader, rows, reasons, network)


_SHARE = "there is no test part: a fifth, drawn by `split_seed`, tests"


def _size(files: Sequence[Path]) -> tuple[int, int]:
    from PIL import Image

    sizes = []
    for file in files:
        with Image.open(file) as picture:
            sizes.append((picture.size[1], picture.size[0]))
    height, width = (int(side) for side in np.median(np.array(sizes), axis=0))
    factor = min(1.0, LARGEST_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


# --- tables ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """kind: numbers, texts or other. values: distinct ones as text, at most MOST_CLASSES + 1, sorted."""

    kind: str
    values: list[str]
    distinct: int
    length: float
    lowest: float
    highest: float
    whole: bool


def _of_table(path: Path, targets: tuple[str, ...]) -> Guess:
    columns, rows = _columns(path)
    if unknown := [name for name in targets if name not in columns]:
        raise InputError("--target", f"must be among {', '.join(columns)}, got {unknown[0]}")
    reasons = []
    if not targets:
        targets, reason = _targets(columns)
        reasons.append(reason)
    rest = {name: column for name, column in columns.items() if name not in targets}
    texts = [name for name, column in rest.items() if column.kind == "texts" and column.length >= LONG]
    task, labels, classes, why = _task(targets, columns)
    key = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)
    files = {key: {"archive": "gzip" if path.suffix == ".gz" else "none", "urls": [str(path)]}}
    train = round(0.8 * rows)
    if classes and (path.suffix in LINES or len(texts) == 1):
        if not texts:
            raise InputError(str(path), "must have a field of texts beside the label")
        reader: dict[str, Any] = {
            "kind": "labeled_text",
            "file": key,
            "text": texts[0],
            "label": targets[0],
            "classes": classes,
        }
        reader |= {"num_words": 10_000, "shuffle_seed": 0}
        reasons += [f"column {texts[0]} holds long texts: `kind: labeled_text`", why, _SHARE]
        return _finished(path, task, labels, files, reader, train, reasons, _text_network())
    if path.suffix in LINES:
        raise InputError(str(path), "holds no text with a class; a table must be CSV or Parquet")
    numeric = [name for name, column in rest.items() if column.kind == "numbers"]
    named = [name for name, column in rest.items() if column.kind == "texts" and column.distinct <= MOST_CLASSES]
    left = [name for name in rest if name not in (*numeric, *named)]
    if not numeric and not named:
        raise InputError(str(path), f"no column beside {', '.join(targets)} holds numbers or a few categories")
    reader = {"kind": "table", "file": key, "target": list(targets), "numeric": numeric, "categorical": named}
    reader |= {"classes": classes} if classes else {}
    reader["shuffle_seed"] = 0
    reasons += [why, f"{len(numeric)} columns of numbers are standardized, {len(named)} of categories one-hot", _SHARE]
    reasons += [f"left out, for they have too many different values: {', '.join(left)}"] if left else []
    return _finished(path, task, labels, files, reader, train, reasons, _dense_network(32, 1))


def _columns(path: Path) -> tuple[dict[str, _Column], int]:
    import pyarrow as pa
    import pyarrow.json as pa_json

    from feedforward.data.readers.table import open_table

    if path.suffix not in LINES:
        table = open_table(path)
    else:
        try:
            table = pa_json.read_json(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(str(path), f"cannot be read as JSON lines ({str(error).splitlines()[0]})") from None
    return {name: _column(table[name].to_pylist()) for name in table.column_names}, table.num_rows


def _column(values: list[Any]) -> _Column:
    known = [value for value in values if value is not None]
    texts = [
        value if isinstance(value, str) else atomic_files.canonical_json(value) for value in known if _plain(value)
    ]
    distinct = set(texts)
    numbers = np.array([v for v in known if isinstance(v, int | float) and not isinstance(v, bool)], np.float64)
    is_numeric = bool(len(known)) and len(numbers) == len(known)
    kind = "numbers" if is_numeric else "texts" if texts and len(texts) == len(known) else "other"
    return _Column(
        kind,
        sorted(distinct, key=(lambda v: (float(v), v)) if is_numeric else None)[: MOST_CLASSES + 1],
        len(distinct),
        float(np.mean([len(text) for text in texts])) if texts else 0.0,
        float(numbers.min()) if is_numeric else 0.0,
        float(numbers.max()) if is_numeric else 0.0,
        is_numeric and bool(np.all(numbers == np.round(numbers))),
    )


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _targets(columns: Mapping[str, _Column]) -> tuple[tuple[str, ...], str]:
    prefixed = tuple(n for n in columns if n.startswith(("label_", "target_")) and columns[n].distinct == 2)
    if len(prefixed) > 1:
        return prefixed, f"{len(prefixed)} columns of two values are named label_ or target_: they are learned"
    named = next((name for name in columns if name.lower() in TARGETS), None)
    if named:
        return (named,), f"column {named} is learned, by its name"
    last = list(columns)[-1]
    return (last,), f"the last column, {last}, is learned; name another with --target"


def _task(targets: Sequence[str], columns: Mapping[str, _Column]) -> tuple[str, list[str], list[str] | None, str]:
    """Task, labels, classes (None where there are none), and why."""
    if len(targets) > 1:
        return "multilabel", list(targets), None, f"{len(targets)} columns to learn: `task: multilabel`"
    name, column = targets[0], columns[targets[0]]
    if column.kind == "numbers" and not (column.whole and column.distinct <= MOST_CLASSES):
        if column.lowest >= 0 and column.highest <= 1:
            return "unit_regression", [name], None, f"{name} holds numbers from 0 to 1: `task: unit_regression`"
        span = f"{column.lowest:g} to {column.highest:g}"
        return "regression", [name], None, f"{name} holds {column.distinct} numbers from {span}: `task: regression`"
    if column.kind == "numbers" and not 2 <= column.distinct <= MOST_CLASSES:
        raise InputError(name, "holds one value only: nothing can be learned")
    if not 2 <= column.distinct <= MOST_CLASSES:
        raise InputError(
            name, f"must hold 2 to {MOST_CLASSES} classes, or numbers, to be learned, got {column.distinct}"
        )
    task = "binary" if column.distinct == 2 else "multiclass"
    return task, column.values, column.values, f"{name} holds {column.distinct} different values: `task: {task}`"


# --- the entry ---------------------------------------------------------------------------------


def _dense_network(units: int, scale: int) -> dict[str, Any]:
    return {"sizes": {"base": [units], "small": [max(4, units // 4)], "large": [4 * units]}, "scale": scale}


def _text_network() -> dict[str, Any]:
    return {"sizes": {"base": [16, 16], "small": [4, 4], "large": [128, 128]}}


def _finished(
    path: Path,
    task: str,
    labels: Sequence[str],
    files: Mapping[str, Any],
    reader: Mapping[str, Any],
    rows: int,
    reasons: Sequence[str],
    network: Mapping[str, Any],
) -> Guess:
    held_out = max(1, rows // 5)
    # small data need many epochs for as many steps; early stopping ends them
    epochs = int(np.clip(200_000 // max(1, rows), 10, 100))
    training: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": 32 if rows < 5000 else 128,
        "early_stopping": {"patience": max(5, epochs // 10)},
        "validation": {"take": "last", "samples": held_out},
        "final": {"variant": "original", "epochs": max(5, epochs // 3)},
    }
    entry = {
        "title": one_line(path.name.split(".")[0]),
        "task": task,
        "labels": [one_line(label) for label in labels],
        "files": dict(files),
        "reader": dict(reader),
        "expectations": None,
        "network": dict(network),
        "training": training,
    }
    told = [*reasons, f"of about {rows} training samples {held_out} validate; at most {epochs} epochs, stopped early"]
    told = [one_line(reason) for reason in told]
    return Guess(entry, [*told, "expectations are derived from the training split (null): see the validation report"])


def write(entry: Mapping[str, Any], name: str, file: Path) -> Params:
    """Add the entry to params.yaml, where every other line stays as it is; the params as they are then.

    Raises:
        InputError: there is such a data set. ParamsError: the entry does not go together with the rest.
    """
    from io import StringIO

    from ruamel.yaml import YAML

    from feedforward.config import yaml_reader

    values = yaml_reader.read(file)
    if name in (values.get("datasets") or {}):
        raise InputError(name, f"is a data set of {file.name} already; give another --name, or remove the entry")
    found = check(yaml_reader.frozen(values | {"datasets": {**(values.get("datasets") or {}), name: entry}}), file.name)
    yaml, text = YAML(), StringIO()
    yaml.width = 120
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({"datasets": {name: _flowing(entry)}}, text)
    atomic_files.write_text(file, _joined(file.read_text(encoding="utf-8"), text.getvalue()), "init")
    return found


def _joined(text: str, block: str) -> str:
    """params.yaml with the lines of `block` (`datasets:` and one entry, indented by two) among its data sets."""
    lines = [f"{line}\n" for line in text.splitlines()]
    heads = [number for number, line in enumerate(lines) if re.match(r"[^\s#]", line)]
    own = next((number for number in heads if lines[number].startswith("datasets:")), None)
    if own is None or not re.fullmatch(r"datasets:\s*(#.*)?", lines[own].strip()):  # `datasets: {}` goes
        return "".join(line for number, line in enumerate(lines) if number != own) + block
    end = next((number for number in heads if number > own), len(lines))
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):  # what stands above the next key belongs to it
        end -= 1
    first = next((line for line in lines[own + 1 : end] if re.match(r"\s*[^\s#]", line)), "  ")
    entry = textwrap.indent(
        textwrap.dedent(block.partition("\n")[2]), first[: len(first) - len(first.lstrip())] or "  "
    )
    return "".join([*lines[:end], entry, *lines[end:]])


def _flowing(value: Any) -> Any:
    """Lists, and what holds nothing deeper, on one line each, as params.yaml has them."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, list | tuple):
        listed = CommentedSeq([_flowing(item) for item in value])
        listed.fa.set_flow_style()
        return listed
    if not isinstance(value, Mapping):
        return value
    mapping = CommentedMap({key: _flowing(item) for key, item in value.items()})
    if mapping and not any(isinstance(item, Mapping) for item in value.values()) and len(str(dict(value))) <= SHORT:
        mapping.fa.set_flow_style()
    return mapping
