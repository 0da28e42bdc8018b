"""Whether the results in the workspace belong together: compare params.yaml and files with what DVC recorded."""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader
from feedforward.config.schema import Params
from feedforward.core import atomic_files, dvc_lock, paths
from feedforward.core.dvc_lock import mapping
from feedforward.core.errors import DataError
from feedforward.core.redaction import shown

RESULTS = ("data/baselines", "data/trained", "reports/")
CHARACTERS = 60  # of a value in a message
REMEDY = "run `feedforward run`, then export again"
MISSING = object()


def check(params: Params, pipeline: str) -> None:
    """Check that the last run used the current params.yaml, and that its results are unchanged.

    Without a dvc.lock, there is nothing to compare. pipeline: name of the file with the pipeline.

    Raises:
        DataError: they differ. ParamsError: dvc.lock cannot be read.
    """
    root = paths.root()
    if not (root / "dvc.lock").exists():
        return
    values = yaml_reader.read(paths.params())
    file_digest = functools.cache(_md5)
    for stage in _stages(root, params, pipeline):
        for key, used in mapping(mapping(stage.get("params")).get("params.yaml")).items():
            for name, now, before in _differences(str(key), _find(values, str(key)), used):
                is_now = "is missing" if now is MISSING else f"is {_shown(now)}"
                was = "did not have it" if before is MISSING else f"used {_shown(before)}"
                raise DataError(f"params.yaml: {name} {is_now}, but the last run {was}; {REMEDY}")
        for path, md5 in _recorded_digests(stage):
            if (root / path).exists() and file_digest(root / path) != md5:
                raise DataError(f"{path}: differs from the last run; {REMEDY}")


def _stages(root: Path, params: Params, pipeline: str) -> Iterator[Mapping[Any, Any]]:
    """What DVC recorded for each stage; without stages that no longer exist, which it also keeps."""
    names = mapping(yaml_reader.read(root / pipeline).get("stages"))
    for name, stage in dvc_lock.stages(yaml_reader.read(root / "dvc.lock")):
        stage_name, _, item = name.partition("@")
        if stage_name in names and item in ("", *params.datasets, *params.protocols):
            yield stage


def _recorded_digests(stage: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Path and MD5 of each file or folder with results that a stage read or wrote, and of raw files that it wrote."""
    for key, prefixes in (("deps", RESULTS), ("outs", (*RESULTS, "data/raw"))):
        for path, md5 in dvc_lock.digests(stage, key):
            if path.startswith(prefixes):
                yield path, md5


def _md5(path: Path) -> str:
    """The digest of a file or folder as DVC computes it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = [
        {"md5": _md5(file), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file() and not file.name.endswith(atomic_files.TEMPORARY_SUFFIX)
    ]
    text = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + dvc_lock.FOLDER_SUFFIX


def _differences(key: str, now: Any, before: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted key of each value that differs, with its current and its former value."""
    if isinstance(now, Mapping) and isinstance(before, Mapping):
        for name in sorted(now.keys() | before.keys(), key=str):
            yield from _differences(f"{key}.{name}", now.get(name, MISSING), before.get(name, MISSING))
    elif now != before:
        yield key, now, before


def _find(values: Mapping[Any, Any], key: str) -> Any:
    """The value under a dotted key; MISSING if there is none."""
    return functools.reduce(lambda value, name: mapping(value).get(name, MISSING), key.split("."), values)


def _shown(value: Any) -> str:
    return shown(json.dumps(value, ensure_ascii=False, default=str), CHARACTERS)
