"""What does not go together in params.yaml, found in the plain values, so that it is named beside all other mistakes.

The values may be wrong in themselves: what is missing or of a wrong type is passed over here.
"""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from feedforward.config.tasks import TASKS
from feedforward.core.redaction import has_credentials, shown

Place = tuple[Any, ...]

# In a data set: where names stand (* is each of them), and what they must be names of; / begins at the top.
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
# What the files of a reader may come in
_ARCHIVES = {
    "idx": ("none", "gzip"),
    "labeled_text": ("tar", "folder", "none", "gzip"),
    "image_folder": ("tar", "folder"),
    "table": ("none", "gzip"),
}
_ONE_FILE = ("none", "gzip")


def find(values: dict[str, Any], size: str) -> Iterator[str]:
    """A line for each, with its key. size: of a variant that names none."""
    variants = _at(values, "variants")
    if isinstance(variants, dict):
        entries = {name: {"size": size} | entry for name, entry in variants.items() if isinstance(entry, dict)}
        values = values | {"variants": entries}
    yield from _of_addresses(values)
    for (_, name), dataset in _found(values, ("datasets", "*")):
        yield from _of_names(values, name)
        for look in (_of_labels, _of_columns, _of_archives, _of_folders, _of_samples):
            yield from (f"datasets.{name}.{problem}" for problem in look(dataset))


def nearest(name: str, known: Iterable[Any]) -> str:
    """A hint to the known name that is most like `name`, or nothing."""
    near = difflib.get_close_matches(name, [other for other in known if isinstance(other, str)], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _of_addresses(values: dict[str, Any]) -> Iterator[str]:
    for addresses in _ADDRESSES:
        for place, address in _found(values, addresses):
            if isinstance(address, str) and has_credentials(address):
                yield (
                    f"{_dotted(place)}: must hold no secret, which git and dvc.lock would keep, got {shown(address)};"
                    " name the address in the environment variable FEEDFORWARD_MIRROR"
                )


def _of_names(values: dict[str, Any], dataset: str) -> Iterator[str]:
    for path, names in _NAMES.items():
        known = _at(values, *_place(dataset, names))
        if not known or not isinstance(known, dict | tuple):
            continue
        listed = f"{', '.join(map(shown, known))} ({_dotted(_place(dataset, names))})"
        for place, name in _found(values, _place(dataset, path)):
            if isinstance(name, str) and name not in known:
                yield f"{_dotted(place)}: must be one of {listed}, got {shown(name)}{nearest(name, known)}"


def _of_labels(dataset: Any) -> Iterator[str]:
    labels, classes, name = _at(dataset, "labels"), _at(dataset, "reader", "classes"), _at(dataset, "task")
    task = TASKS.get(name) if isinstance(name, str) else None
    if not isinstance(labels, tuple) or task is None:
        return
    if wanted := task.wants(len(labels)):
        meaning = " (the name of the value)" if task.answers == "value" else ""
        yield f"labels: must be {wanted} for `task: {name}`{meaning}, got {len(labels)}"
    elif isinstance(classes, tuple) and task.answers == "class" and len(classes) != len(labels):
        yield f"reader.classes: must be as many as labels ({len(labels)}), got {len(classes)}"
    kind, targets = _at(dataset, "reader", "kind"), _at(dataset, "reader", "target")
    if isinstance(kind, str) and kind != "table" and task.answers != "class":
        yield f"task: `kind: {kind}` reads one class a sample; must be binary or multiclass, got {name}"
    if kind == "table" and isinstance(targets, tuple):
        columns = len(labels) if task.answers == "labels" else 1
        if len(targets) != columns:
            yield f"reader.target: must be {columns} for `task: {name}` with {len(labels)} labels, got {len(targets)}"
        if isinstance(classes, tuple) != (task.answers == "class"):
            state = "is missing for" if classes is None else "does not belong to"
            yield f"reader.classes: {state} `task: {name}`"


def _of_columns(dataset: Any) -> Iterator[str]:
    reader = _at(dataset, "reader")
    if not isinstance(reader, dict):
        return
    if reader.get("kind") == "labeled_text":
        in_columns, in_folders = bool(reader.get("text") or reader.get("label")), reader.get("train") is not None
        if in_columns == in_folders or (in_columns and not (reader.get("text") and reader.get("label"))):
            yield "reader: needs either `train` (a folder of class folders) or both `text` and `label` (columns)"
    if reader.get("kind") == "table":
        parts = {key: reader.get(key) or () for key in ("target", "numeric", "categorical")}
        if not all(isinstance(part, tuple) for part in parts.values()):
            return
        if not parts["numeric"] and not parts["categorical"]:
            yield "reader: needs columns to learn from, `numeric` or `categorical` or both"
        listed = [name for part in parts.values() for name in part if isinstance(name, str)]
        for name in sorted({name for name in listed if listed.count(name) > 1}):
            yield f"reader: column {shown(name)} must stand in one of target, numeric and categorical alone"


def _of_archives(dataset: Any) -> Iterator[str]:
    kind = _at(dataset, "reader", "kind")
    wanted = _ARCHIVES.get(kind, ()) if isinstance(kind, str) else ()
    if kind == "labeled_text":
        wanted = _ONE_FILE if _at(dataset, "reader", "text") else ("tar", "folder")
    named = [_at(dataset, *path.split("/")) for path, names in _NAMES.items() if names == "files"]
    for (name,), file in _found(_at(dataset, "files"), ("*",)):
        archive = file.get("archive", "none") if isinstance(file, dict) else None
        if wanted and archive is not None and name in named and archive not in wanted:
            yield f"files.{name}.archive: must be {' or '.join(wanted)} for `kind: {kind}`, got {shown(archive)}"


def _of_folders(dataset: Any) -> Iterator[str]:
    classes = _at(dataset, "reader", "classes")
    folders = _at(dataset, "files", _at(dataset, "reader", "file"), "folders")
    if not isinstance(classes, tuple) or not isinstance(folders, tuple) or not folders:
        return
    for part in ("train", "test"):
        folder = _at(dataset, "reader", part)
        missing = [path for name in classes if (path := f"{folder}/{name}" if folder else name) not in folders]
        if isinstance(folder, str) and missing:
            listed = ", ".join(map(shown, folders))
            yield f"reader.{part}: each class must be a folder of the file ({listed}), got {shown(missing[0])}"


def _of_samples(dataset: Any) -> Iterator[str]:
    held_out, most = _at(dataset, "training", "validation", "samples"), _at(dataset, "expectations", "train_samples", 1)
    if isinstance(held_out, int) and isinstance(most, int) and held_out >= most > 0:
        yield f"training.validation.samples: must be below expectations.train_samples ({most}), got {held_out}"


def _place(dataset: str, path: str) -> Place:
    return tuple(path[1:].split("/")) if path.startswith("/") else ("datasets", dataset, *path.split("/"))


def _found(values: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """What stands at a place, and where; * is any key or number."""
    if not place:
        yield (), values
        return
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, tuple) else ()
    for key, entry in entries:
        if place[0] in ("*", key):
            for rest, found in _found(entry, place[1:]):
                yield (key, *rest), found


def _at(values: Any, *place: Any) -> Any:
    """What stands at a place, None where nothing does."""
    return next((found for _, found in _found(values, place)), None)


def _dotted(place: Place) -> str:
    return ".".join(map(shown, place))
