"""The content of dvc.lock, in which DVC records what each stage read and wrote."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

FOLDER_SUFFIX = ".dir"  # of a folder's digest
_DIGEST = re.compile(rf"[0-9a-f]{{32}}({re.escape(FOLDER_SUFFIX)})?")


def stages(lock: Mapping[Any, Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The name and record of each stage, including former ones. lock: the parsed file."""
    for name, stage in mapping(lock.get("stages")).items():
        yield str(name), mapping(stage)


def current(lock: Mapping[Any, Any], pipeline: Mapping[Any, Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The name and record of each stage that `pipeline`, the parsed dvc.yaml, still has; DVC also keeps former ones."""
    names = mapping(pipeline.get("stages"))
    return ((name, stage) for name, stage in stages(lock) if name.partition("@")[0] in names)


def digests(stage: Mapping[Any, Any], kind: str) -> Iterator[tuple[str, str]]:
    """Path and MD5 of each file or folder of a stage. kind: `deps`, what it read, or `outs`, what it wrote."""
    entries = stage.get(kind)
    for entry in map(mapping, entries if isinstance(entries, Sequence) else ()):
        if "path" in entry and _DIGEST.fullmatch(str(entry.get("md5"))):
            yield str(entry["path"]), str(entry["md5"])


def mapping(value: Any) -> Mapping[Any, Any]:
    """The value if it is a mapping, otherwise an empty one: users may have edited the file."""
    return value if isinstance(value, Mapping) else {}
