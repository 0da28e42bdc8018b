"""Find contradictions between keys of params.yaml.

The checks use the values as read from the file, so that contradictions are reported together with all other mistakes.
Missing values and values of the wrong type are skipped.
"""

import bisect
import difflib
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from feedforward.config.readers import RandomSplitReader
from feedforward.config.tasks import BASELINES, TASKS
from feedforward.core.redaction import has_credentials, shown

KeyPath = tuple[Any, ...]
# Bounds that keep reports of mistakes short, and quick for any file
MOST_PROBLEMS = 20  # that are reported at once
MOST_CHOICES = 20  # names that a message lists
MOST_COMPARED = 200  # names among which the most similar one is looked for
LONGEST_NAME = 64  # characters of a name that may be similar to another

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
_SINGLE_FILE_ARCHIVES = ("none", "gzip")
_FINAL_VARIANT = ("training", "final", "variant")
# Statistics that are not defined for a task, by what the task predicts
_UNDEFINED_STATISTICS = {
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


def find(values: dict[str, Any], default_size: str) -> Iterator[str]:
    """Yield one line per contradiction, starting with a key. default_size: the size of a variant that names none."""
    variants = _get(values, "variants")
    if isinstance(variants, dict):
        entries = {name: {"size": default_size} | entry for name, entry in variants.items() if isinstance(entry, dict)}
        values = values | {"variants": entries}
    for check_all in (_check_variants, _check_addresses, _check_shadow):
        yield from check_all(values)
    checks = (_check_labels, _check_columns, _check_archives, _check_folders, _check_samples, _check_scale)
    for (_, name), dataset in _matches(values, ("datasets", "*")):
        yield from _check_names(values, name)
        for check in (*checks, _check_claims, _check_statistics):
            yield from (f"datasets.{name}.{problem}" for problem in check(dataset))


def nearest(name: str, known: Iterable[Any]) -> str:
    """A hint with the known name that is most similar to `name`; empty if none is similar.

    >>> nearest("droput", ["original", "dropout"])
    '; did you mean dropout?'
    """
    short_names = (other for other in known if isinstance(other, str) and len(other) <= LONGEST_NAME)
    candidates = itertools.islice(short_names, MOST_COMPARED)
    near = difflib.get_close_matches(name, candidates, n=1) if len(name) <= LONGEST_NAME else []
    return f"; did you mean {near[0]}?" if near else ""


def choices(known: Collection[Any]) -> str:
    """The names that a message offers, as text.

    >>> choices(["original", "dropout"])
    'original, dropout'
    """
    listed = ", ".join(map(shown, itertools.islice(known, MOST_CHOICES)))
    return listed if len(known) <= MOST_CHOICES else f"{listed} and {len(known) - MOST_CHOICES} more"


def first(problems: Iterable[str]) -> Iterator[str]:
    """The first MOST_PROBLEMS problems, and a line that says so if there are more; the rest are not looked for."""
    remaining = iter(problems)
    yield from itertools.islice(remaining, MOST_PROBLEMS)
    if next(remaining, None) is not None:
        yield f"there are more than {MOST_PROBLEMS} mistakes; correct these first"


def _check_variants(values: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each variant with the name of a baseline; results could not tell the two apart."""
    for (_, name), _ in _matches(values, ("variants", "*")):
        if name in BASELINES:
            yield f"variants.{name}: must not be the name of a baseline; rename the variant"


def _check_addresses(values: dict[str, Any]) -> Iterator[str]:
    for pattern in _ADDRESSES:
        for path, address in _matches(values, pattern):
            if isinstance(address, str) and has_credentials(address):
                yield (
                    f"{_dotted_key(path)}: must contain no secret, which git and dvc.lock would keep, got"
                    f" {shown(address)}; put the address in the environment variable FEEDFORWARD_MIRROR"
                )


def _check_shadow(values: dict[str, Any]) -> Iterator[str]:
    if _get(values, "promotion", "shadow") is not None and _get(values, "serving", "shadow") is None:
        yield "promotion.shadow: needs evidence that only `serving.shadow: challenger` collects; set both, or neither"


def _check_names(values: dict[str, Any], dataset: str) -> Iterator[str]:
    for pattern, container in _NAMES.items():
        known = _get(values, *_path(dataset, container))
        if not known or not isinstance(known, dict | tuple):
            continue
        names = {name for name in known if isinstance(name, str)}
        for path, name in _matches(values, _path(dataset, pattern)):
            if isinstance(name, str) and name not in names:
                known_names = f"{choices(known)} ({_dotted_key(_path(dataset, container))})"
                yield f"{_dotted_key(path)}: must be one of {known_names}, got {shown(name)}{nearest(name, known)}"


def _check_labels(dataset: Any) -> Iterator[str]:
    labels, classes, name = _get(dataset, "labels"), _get(dataset, "reader", "classes"), _get(dataset, "task")
    task = TASKS.get(name) if isinstance(name, str) else None
    if not isinstance(labels, tuple) or task is None:
        return
    if expected := task.required_count(len(labels)):
        meaning = " (the name of the value)" if task.answers == "value" else ""
        yield f"labels: their number must be {expected} for `task: {name}`{meaning}, got {len(labels)}"
    elif isinstance(classes, tuple) and task.answers == "class" and len(classes) != len(labels):
        yield f"reader.classes: must have as many entries as labels ({len(labels)}), got {len(classes)}"
    kind, targets = _get(dataset, "reader", "kind"), _get(dataset, "reader", "target")
    if isinstance(kind, str) and kind != "table" and task.answers != "class":
        yield f"task: `kind: {kind}` reads one class per sample; must be binary or multiclass, got {name}"
    if kind == "table" and isinstance(targets, tuple):
        columns = len(labels) if task.answers == "labels" else 1
        if len(targets) != columns:
            expected = f"the number of columns must be {columns} for `task: {name}`"
            yield f"reader.target: {expected} with {len(labels)} labels, got {len(targets)}"
        if isinstance(classes, tuple) != (task.answers == "class"):
            state = "is missing for" if classes is None else "is not allowed for"
            yield f"reader.classes: {state} `task: {name}`"
    if excluded := _get(dataset, "reader", "excluded_classes"):
        if not isinstance(classes, tuple):
            yield "reader.excluded_classes: is for a target that is a class; remove it"
        elif isinstance(excluded, tuple) and (both := [value for value in excluded if value in classes]):
            yield f"reader.excluded_classes: {shown(both[0])} is also in `classes`; remove it from one of them"


def _check_columns(dataset: Any) -> Iterator[str]:
    reader = _get(dataset, "reader")
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
        for key in ("missing", "excluded_classes"):
            if in_folders and reader.get(key):
                yield f"reader.{key}: is for columns; with class folders, remove the key"
    if isinstance(reader.get("test"), str) or isinstance(reader.get("test_file"), str):
        for key, default in RandomSplitReader().model_dump(include={"test_share", "split_seed"}).items():
            if reader.get(key, default) != default:
                yield f"reader.{key}: is for a test split that is drawn at random, but the reader names one; remove it"
    if reader.get("kind") == "table":
        columns = {key: reader.get(key) or () for key in ("target", "numeric", "categorical")}
        if not all(isinstance(names, tuple) for names in columns.values()):
            return
        if not columns["numeric"] and not columns["categorical"]:
            yield "reader: needs feature columns: `numeric`, `categorical` or both"
        counts = Counter(name for names in columns.values() for name in names if isinstance(name, str))
        for name in sorted(name for name, count in counts.items() if count > 1):
            yield f"reader: column {shown(name)} must be in only one of target, numeric and categorical"


def _check_archives(dataset: Any) -> Iterator[str]:
    kind = _get(dataset, "reader", "kind")
    archives = _ARCHIVES.get(kind, ()) if isinstance(kind, str) else ()
    if kind == "labeled_text":
        archives = _SINGLE_FILE_ARCHIVES if _get(dataset, "reader", "text") else ("tar", "folder")
    files_read = [_get(dataset, *path.split("/")) for path, container in _NAMES.items() if container == "files"]
    for (name,), file in _matches(_get(dataset, "files"), ("*",)):
        archive = file.get("archive", "none") if isinstance(file, dict) else None
        if archives and archive is not None and name in files_read and archive not in archives:
            yield f"files.{name}.archive: must be {' or '.join(archives)} for `kind: {kind}`, got {shown(archive)}"


def _check_folders(dataset: Any) -> Iterator[str]:
    classes = _get(dataset, "reader", "classes")
    file = _get(dataset, "reader", "file")
    folders = _get(dataset, "files", file, "folders") if isinstance(file, str) else None
    if not isinstance(classes, tuple) or not isinstance(folders, tuple) or not folders:
        return
    known = sorted(f"{choice}/" for choice in folders)
    for split in ("train", "test"):
        folder = _get(dataset, "reader", split)
        paths = [f"{folder}/{name}" if folder else name for name in classes]
        missing = [path for path in paths if not _has_prefix(known, f"{path}/")]
        if isinstance(folder, str) and missing:
            expected = f"each class must be a folder of the file ({choices(folders)})"
            yield f"reader.{split}: {expected}, got {shown(missing[0])}"


def _has_prefix(names: Sequence[str], prefix: str) -> bool:
    """Whether one of the sorted names starts with the prefix."""
    start = bisect.bisect_left(names, prefix)
    return any(name.startswith(prefix) for name in names[start : start + 1])


def _check_samples(dataset: Any) -> Iterator[str]:
    held_out = _get(dataset, "training", "validation", "samples")
    highest = _get(dataset, "expectations", "train_samples", 1)
    if isinstance(held_out, int) and isinstance(highest, int) and held_out >= highest > 0:
        yield f"training.validation.samples: must be below expectations.train_samples ({highest}), got {held_out}"


def _check_scale(dataset: Any) -> Iterator[str]:
    scale = _get(dataset, "network", "scale")
    if _get(dataset, "reader", "kind") == "labeled_text" and isinstance(scale, int | float) and scale != 1:
        yield f"network.scale: must be 1 for texts, whose features are only 0 and 1, got {scale:g}; remove the key"


def _check_statistics(dataset: Any) -> Iterator[str]:
    """Yield a line for each statistic, and for expectations of a value, that are not defined for the task."""
    name = _get(dataset, "task")
    if (task := TASKS.get(name) if isinstance(name, str) else None) is None:
        return
    named = [match for key in ("claims", "literature") for match in _matches(dataset, (key, "*", "statistic"))]
    named += [(path, path[-1]) for path, _ in _matches(dataset, ("margins", "*"))]
    for path, statistic in named:
        if statistic in _UNDEFINED_STATISTICS[task.answers]:
            yield f"{_dotted_key(path)}: {statistic} is not defined for `task: {name}`"
    if task.answers != "value" and _get(dataset, "expectations", "target") is not None:
        yield f"expectations.target: is not defined for `task: {name}`; remove the key"


def _check_claims(dataset: Any) -> Iterator[str]:
    """Yield a line for each claim whose statistic no run of the variant has."""
    final, compared_variants = _get(dataset, *_FINAL_VARIANT), _get(dataset, "training", "variants")
    for (index, _), statistic in _matches(_get(dataset, "claims"), ("*", "statistic")):
        if not isinstance(statistic, str):
            continue
        is_final = statistic.startswith("test_")
        for side in ("left", "right"):
            variant = _get(dataset, "claims", index, side)
            if is_final and None not in (variant, final) and variant != final:
                yield (
                    f"claims.{index}.{side}: only training.final.variant ({shown(final)}) is evaluated on the test"
                    f" split, got {shown(variant)}"
                )
            elif not is_final and isinstance(compared_variants, tuple) and variant not in (None, *compared_variants):
                yield f"claims.{index}.{side}: must be one of training.variants, got {shown(variant)}"


def _path(dataset: str, path: str) -> KeyPath:
    return tuple(path[1:].split("/")) if path.startswith("/") else ("datasets", dataset, *path.split("/"))


def _matches(values: Any, pattern: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each path that matches the pattern, with its value; * matches any key or index."""
    if not pattern:
        yield (), values
        return
    entries = values if isinstance(values, dict) else dict(enumerate(values)) if isinstance(values, tuple) else {}
    key, *rest = pattern
    for part, entry in entries.items() if key == "*" else [(key, entries[key])] if key in entries else []:
        for subpath, value in _matches(entry, tuple(rest)):
            yield (part, *subpath), value


def _get(values: Any, *path: Any) -> Any:
    """The value at a path; None if the path does not exist."""
    return next((value for _, value in _matches(values, path)), None)


def _dotted_key(path: KeyPath) -> str:
    return ".".join(map(shown, path))
