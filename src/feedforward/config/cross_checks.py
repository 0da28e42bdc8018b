"""Find contradictions between keys of params.yaml.

The checks use the plain values, so that contradictions are reported together with all other mistakes. Missing values
and values of the wrong type are skipped.
"""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from feedforward.config.tasks import TASKS
from feedforward.core.redaction import has_credentials, shown

Path = tuple[Any, ...]

# Path of a name (* matches any key) → path of the mapping or list that must contain the name. Paths start at the
# dataset or, with a leading slash, at the top of the file.
_NAMES = {
    "training/final/variant": "/variants",
    "training/variants/*": "/variants",
    "training/lecture/variants/*": "/variants",
    "training/lecture/validated_on_test/*": "training/lecture/variants",
    "claims/*/left": "/variants",
    "claims/*/right": "/variants",
    "/variants/*/size": "network/sizes",
    "reader/file": "files",
    "reader/test_file": "files",
    "reader/train/features": "files",
    "reader/train/labels": "files",
    "reader/test/features": "files",
    "reader/test/labels": "files",
}
_ADDRESSES = (("mirrors", "*"), ("datasets", "*", "files", "*", "urls", "*"))
# Kinds of archive that each reader accepts
_ARCHIVES = {
    "idx": ("none", "gzip"),
    "labeled_text": ("tar", "folder", "none", "gzip"),
    "image_folder": ("tar", "folder"),
    "table": ("none", "gzip"),
}
_ONE_FILE = ("none", "gzip")
_FINAL = ("training", "final", "variant")
# Statistics that are not defined for a task, by what the task predicts
_UNDEFINED = {
    "class": ("best_val_mae", "last_val_mae", "test_mae", "test_r2"),
    "labels": ("best_val_mae", "last_val_mae", "test_mae", "test_r2"),
    "value": (
        "best_val_accuracy",
        "last_val_accuracy",
        "last_calibration_error",
        "last_brier_score",
        "test_accuracy",
        "test_auc",
        "test_f1",
    ),
}


def find(values: dict[str, Any], size: str) -> Iterator[str]:
    """Yield one line per contradiction, with its key. size: the default size of a variant."""
    variants = _at(values, "variants")
    if isinstance(variants, dict):
        entries = {name: {"size": size} | entry for name, entry in variants.items() if isinstance(entry, dict)}
        values = values | {"variants": entries}
    yield from _check_addresses(values)
    yield from _check_shadow(values)
    checks = (_check_labels, _check_columns, _check_archives, _check_folders, _check_samples)
    for (_, name), dataset in _matches(values, ("datasets", "*")):
        yield from _check_names(values, name)
        for check in (*checks, _check_claims, _check_literature):
            yield from (f"datasets.{name}.{problem}" for problem in check(dataset))


def nearest(name: str, known: Iterable[Any]) -> str:
    """A hint with the known name that is most similar to `name`; empty if none is similar.

    >>> nearest("droput", ["original", "dropout"])
    '; did you mean dropout?'
    """
    near = difflib.get_close_matches(name, [other for other in known if isinstance(other, str)], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _check_addresses(values: dict[str, Any]) -> Iterator[str]:
    for pattern in _ADDRESSES:
        for path, address in _matches(values, pattern):
            if isinstance(address, str) and has_credentials(address):
                yield (
                    f"{_dotted(path)}: must contain no secret, which git and dvc.lock would keep, got {shown(address)};"
                    " put the address in the environment variable FEEDFORWARD_MIRROR"
                )


def _check_shadow(values: dict[str, Any]) -> Iterator[str]:
    if _at(values, "promotion", "shadow") is not None and _at(values, "serving", "shadow") is None:
        yield "promotion.shadow: needs evidence that only `serving.shadow: challenger` collects; set both, or neither"


def _check_names(values: dict[str, Any], dataset: str) -> Iterator[str]:
    for pattern, names in _NAMES.items():
        known = _at(values, *_path(dataset, names))
        if not known or not isinstance(known, dict | tuple):
            continue
        for path, name in _matches(values, _path(dataset, pattern)):
            if isinstance(name, str) and name not in known:
                listed = f"{', '.join(map(shown, known))} ({_dotted(_path(dataset, names))})"
                yield f"{_dotted(path)}: must be one of {listed}, got {shown(name)}{nearest(name, known)}"


def _check_labels(dataset: Any) -> Iterator[str]:
    labels, classes, name = _at(dataset, "labels"), _at(dataset, "reader", "classes"), _at(dataset, "task")
    task = TASKS.get(name) if isinstance(name, str) else None
    if not isinstance(labels, tuple) or task is None:
        return
    if expected := task.wants(len(labels)):
        meaning = " (the name of the value)" if task.answers == "value" else ""
        yield f"labels: must be {expected} for `task: {name}`{meaning}, got {len(labels)}"
    elif isinstance(classes, tuple) and task.answers == "class" and len(classes) != len(labels):
        yield f"reader.classes: must have as many entries as labels ({len(labels)}), got {len(classes)}"
    kind, targets = _at(dataset, "reader", "kind"), _at(dataset, "reader", "target")
    if isinstance(kind, str) and kind != "table" and task.answers != "class":
        yield f"task: `kind: {kind}` reads one class per sample; must be binary or multiclass, got {name}"
    if kind == "table" and isinstance(targets, tuple):
        columns = len(labels) if task.answers == "labels" else 1
        if len(targets) != columns:
            yield f"reader.target: must be {columns} for `task: {name}` with {len(labels)} labels, got {len(targets)}"
        if isinstance(classes, tuple) != (task.answers == "class"):
            state = "is missing for" if classes is None else "is not allowed for"
            yield f"reader.classes: {state} `task: {name}`"


def _check_columns(dataset: Any) -> Iterator[str]:
    reader = _at(dataset, "reader")
    if not isinstance(reader, dict):
        return
    if reader.get("kind") == "labeled_text":
        in_columns, in_folders = bool(reader.get("text") or reader.get("label")), reader.get("train") is not None
        if in_columns == in_folders or (in_columns and not (reader.get("text") and reader.get("label"))):
            yield "reader: needs either `train` (a folder of class folders) or both `text` and `label` (columns)"
        elif in_columns and reader.get("test") is not None:
            yield "reader.test: is for class folders; with columns, use `test_file`"
        elif in_folders and reader.get("test_file") is not None:
            yield "reader.test_file: is for columns; with class folders, use `test`"
    if reader.get("kind") == "table":
        parts = {key: reader.get(key) or () for key in ("target", "numeric", "categorical")}
        if not all(isinstance(part, tuple) for part in parts.values()):
            return
        if not parts["numeric"] and not parts["categorical"]:
            yield "reader: needs feature columns: `numeric`, `categorical` or both"
        columns = [name for part in parts.values() for name in part if isinstance(name, str)]
        for name in sorted({name for name in columns if columns.count(name) > 1}):
            yield f"reader: column {shown(name)} must be in only one of target, numeric and categorical"


def _check_archives(dataset: Any) -> Iterator[str]:
    kind = _at(dataset, "reader", "kind")
    archives = _ARCHIVES.get(kind, ()) if isinstance(kind, str) else ()
    if kind == "labeled_text":
        archives = _ONE_FILE if _at(dataset, "reader", "text") else ("tar", "folder")
    read = [_at(dataset, *path.split("/")) for path, names in _NAMES.items() if names == "files"]
    for (name,), file in _matches(_at(dataset, "files"), ("*",)):
        archive = file.get("archive", "none") if isinstance(file, dict) else None
        if archives and archive is not None and name in read and archive not in archives:
            yield f"files.{name}.archive: must be {' or '.join(archives)} for `kind: {kind}`, got {shown(archive)}"


def _check_folders(dataset: Any) -> Iterator[str]:
    classes = _at(dataset, "reader", "classes")
    folders = _at(dataset, "files", _at(dataset, "reader", "file"), "folders")
    if not isinstance(classes, tuple) or not isinstance(folders, tuple) or not folders:
        return
    for part in ("train", "test"):
        folder = _at(dataset, "reader", part)
        paths = [f"{folder}/{name}" if folder else name for name in classes]
        missing = [path for path in paths if not any(f"{listed}/".startswith(f"{path}/") for listed in folders)]
        if isinstance(folder, str) and missing:
            listed = ", ".join(map(shown, folders))
            yield f"reader.{part}: each class must be a folder of the file ({listed}), got {shown(missing[0])}"


def _check_samples(dataset: Any) -> Iterator[str]:
    held_out, most = _at(dataset, "training", "validation", "samples"), _at(dataset, "expectations", "train_samples", 1)
    if isinstance(held_out, int) and isinstance(most, int) and held_out >= most > 0:
        yield f"training.validation.samples: must be below expectations.train_samples ({most}), got {held_out}"


def _check_literature(dataset: Any) -> Iterator[str]:
    """Yield a line for each published statistic that is not defined for the task."""
    name = _at(dataset, "task")
    task = TASKS.get(name) if isinstance(name, str) else None
    for (number, _), statistic in _matches(_at(dataset, "literature"), ("*", "statistic")):
        if task and statistic in _UNDEFINED[task.answers]:
            yield f"literature.{number}.statistic: {statistic} is not defined for `task: {name}`"


def _check_claims(dataset: Any) -> Iterator[str]:
    """Yield a line for each claim that no run can decide."""
    name, final, compared = (_at(dataset, *path) for path in (("task",), _FINAL, ("training", "variants")))
    task = TASKS.get(name) if isinstance(name, str) else None
    for (number,), claim in _matches(_at(dataset, "claims"), ("*",)):
        statistic = _at(claim, "statistic")
        if not isinstance(statistic, str):
            continue
        if task and statistic in _UNDEFINED[task.answers]:
            yield f"claims.{number}.statistic: {statistic} is not defined for `task: {name}`"
        is_final = statistic.startswith("test_")
        for side in ("left", "right"):
            variant = _at(claim, side)
            if is_final and None not in (variant, final) and variant != final:
                yield (
                    f"claims.{number}.{side}: only training.final.variant ({shown(final)}) is evaluated on the test"
                    f" split, got {shown(variant)}"
                )
            elif not is_final and isinstance(compared, tuple) and variant is not None and variant not in compared:
                yield f"claims.{number}.{side}: must be one of training.variants, got {shown(variant)}"


def _path(dataset: str, path: str) -> Path:
    return tuple(path[1:].split("/")) if path.startswith("/") else ("datasets", dataset, *path.split("/"))


def _matches(values: Any, pattern: Path) -> Iterator[tuple[Path, Any]]:
    """Yield each path that matches the pattern, with its value; * matches any key or index."""
    if not pattern:
        yield (), values
        return
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, tuple) else ()
    for key, entry in entries:
        if pattern[0] in ("*", key):
            for rest, value in _matches(entry, pattern[1:]):
                yield (key, *rest), value


def _at(values: Any, *path: Any) -> Any:
    """The value at a path; None if the path does not exist."""
    return next((value for _, value in _matches(values, path)), None)


def _dotted(path: Path) -> str:
    return ".".join(map(shown, path))
