"""Whether the results in the workspace belong together: compare params.yaml, code and data with what DVC recorded."""

import fnmatch
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader
from feedforward.config.schema import Params
from feedforward.core import atomic_files, dvc_cache, dvc_lock, paths
from feedforward.core.dvc_lock import mapping
from feedforward.core.errors import DataError
from feedforward.core.redaction import shown

MAY_BE_MISSING = ("data/collected/", "data/raw/")  # files that are not in the archive
IGNORED = ("__pycache__", f"*{atomic_files.TEMPORARY_SUFFIX}")  # names of files and folders, as in .dvcignore
CHARACTERS = 60  # of a value in a message
REMEDY = "run `feedforward run`, then export again"
MISSING = object()


def check(params: Params, pipeline: str) -> None:
    """Check that the last run was complete and used the current params.yaml, code and data, and that no result changed.

    Both what a stage read and what it wrote are compared, because a stage before it may have run again since.
    pipeline: name of the file with the pipeline.

    Raises:
        DataError: they differ, or are incomplete, or there is no dvc.lock. ParamsError: dvc.lock cannot be read.
    """
    root = paths.root()
    if not (root / "dvc.lock").exists():
        raise DataError(f"dvc.lock: is missing, so nothing shows what the results were computed from; {REMEDY}")
    values = yaml_reader.read(paths.params())
    file_digest = functools.cache(_md5)
    for stage in _stages(root, params, pipeline):
        for key, used in mapping(mapping(stage.get("params")).get("params.yaml")).items():
            for name, now, before in _differences(str(key), _find(values, str(key)), used):
                is_now = "is missing" if now is MISSING else f"is {_shown(now)}"
                was = "did not have it" if before is MISSING else f"used {_shown(before)}"
                raise DataError(f"params.yaml: {name} {is_now}, but the last run {was}; {REMEDY}")
        for path, md5 in _recorded_digests(stage):
            if not (root / path).exists():
                if not path.startswith(MAY_BE_MISSING):
                    raise DataError(f"{path}: is missing; {REMEDY}")
            elif file_digest(root / path) != md5:
                raise DataError(f"{path}: differs from the last run; {REMEDY}")


def _stages(root: Path, params: Params, pipeline: str) -> list[Mapping[Any, Any]]:
    """What DVC recorded for each stage; without stages that no longer exist, which it also keeps.

    Raises:
        DataError: a stage has never been run.
    """
    lock, stages = yaml_reader.read(root / "dvc.lock"), yaml_reader.read(root / pipeline)
    recorded: dict[str, list[Mapping[Any, Any]]] = {str(name): [] for name in mapping(stages.get("stages"))}
    for name, stage in dvc_lock.current(lock, stages):
        stage_name, _, item = name.partition("@")
        if item in ("", *params.datasets, *params.protocols):
            recorded[stage_name].append(stage)
    if missing := [name for name, stages in recorded.items() if not stages]:
        raise DataError(f"dvc.lock: the last run did not finish (stage {missing[0]} is missing); {REMEDY}")
    return [stage for stages in recorded.values() for stage in stages]


def _recorded_digests(stage: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Path and MD5 of each file or folder that a stage read or wrote."""
    for key in ("deps", "outs"):
        yield from dvc_lock.digests(stage, key)


def _md5(path: Path) -> str:
    """The digest of a file or folder as DVC computes it."""
    if path.is_file():
        return dvc_cache.file_md5(path)
    files = [
        {"md5": _md5(file), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file() and not any(map(_is_ignored, file.relative_to(path).parts))
    ]
    text = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + dvc_lock.FOLDER_SUFFIX


def _is_ignored(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in IGNORED)


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
