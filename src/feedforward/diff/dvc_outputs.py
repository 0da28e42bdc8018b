"""The outputs that DVC tracks at a commit: digests from `dvc.lock`, contents from DVC's cache."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader
from feedforward.core import paths
from feedforward.core.errors import DataError
from feedforward.diff.repository import Repository

FOLDER = ".dir"  # suffix of a folder's digest; the folder's entry in the cache lists its files
MAX_LISTED = 1_000_000
DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")


def read_yaml(repository: Repository, commit: str, path: str) -> Mapping[Any, Any]:
    """The content of a YAML file in a commit as plain values; empty if there is no such file.

    Raises:
        ParamsError: the file is invalid or too large.
    """
    content = repository.content(commit, path)
    if content is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{path} of commit {commit[:12]}"
        copy.write_bytes(content)
        return yaml_reader.read(copy)


def digests(lock: Mapping[Any, Any]) -> dict[str, str]:
    """Path → MD5 of each output that the parsed content of a dvc.lock lists."""
    stages = lock.get("stages")
    outputs = [
        output
        for stage in (stages.values() if isinstance(stages, dict) else ())
        for output in (stage.get("outs", ()) if isinstance(stage, dict) else ())
    ]
    return {
        str(output["path"]): str(output["md5"])
        for output in outputs
        if isinstance(output, dict) and "path" in output and DIGEST.fullmatch(str(output.get("md5")))
    }


def find_cached(digest: str, path: str) -> Path:
    """Find the file in DVC's cache whose content has this digest.

    Raises:
        DataError: the cache does not have it.
    """
    file = paths.dvc_cache() / digest[:2] / digest[2:]
    if not file.is_file():
        raise DataError(f"{path}: is not in DVC's cache; run `dvc fetch --all-commits` to get it from a remote")
    return file


def link(digest: str, path: str, target: Path) -> Path:
    """Create `target` with the content of an output, as links to files in the cache. Return `target`.

    Raises:
        DataError: the cache lacks a file, or the list of a folder's files is damaged.
    """
    file = find_cached(digest, path)
    if not digest.endswith(FOLDER):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
        return target
    for name, content in _listed(file, path):
        link(content, f"{path}/{name}", target / name)
    return target


def _listed(file: Path, path: str) -> list[tuple[str, str]]:
    """(relative path, MD5) of each file in a folder, from the folder's entry in the cache."""
    try:
        entries = [(str(entry["relpath"]), str(entry["md5"])) for entry in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError):
        entries = [("", "")]
    unsafe = [name for name, _ in entries if not name or Path(name).is_absolute() or ".." in Path(name).parts]
    if unsafe or len(entries) > MAX_LISTED or not all(re.fullmatch(r"[0-9a-f]{32}", md5) for _, md5 in entries):
        raise DataError(f"{path}: the list of its files in DVC's cache is damaged; remove {file} and run `dvc fetch`")
    return entries
