"""The outputs that DVC tracks at a commit: digests from `dvc.lock`, contents from DVC's cache."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader
from feedforward.core import dvc_cache, dvc_lock
from feedforward.core.errors import DataError
from feedforward.diff.repository import Repository

MAX_FILES = 1_000_000  # in a folder
# not `dvc fetch --all-commits`, which takes minutes, and gets nothing if no remote is configured
REMEDY = "check out the commit, and run `dvc fetch` if a remote has its results, otherwise `dvc repro`"


def read_yaml(repository: Repository, commit: str, path: str) -> Mapping[Any, Any]:
    """The content of a YAML file in a commit; empty if the commit has no such file.

    Raises:
        ParamsError: the file is invalid, or too large for yaml_reader.
        DataError: the file has more than repository.MAX_FILE_BYTES bytes.
    """
    content = repository.content(commit, path)
    if content is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{path} of commit {commit[:12]}"
        copy.write_bytes(content)
        return yaml_reader.read(copy)


def digests(lock: Mapping[Any, Any]) -> dict[str, str]:
    """Path of each output → its MD5, with the suffix `.dir` for a folder. lock: the parsed content of dvc.lock.

    In DVC's cache, the file with a folder's digest is a JSON list of the folder's files.
    """
    return {path: md5 for _, stage in dvc_lock.stages(lock) for path, md5 in dvc_lock.digests(stage, "outs")}


def find_cached(digest: str, path: str) -> Path:
    """Find the file in DVC's cache that is stored under this digest. path: the output's path, for the message.

    Raises:
        DataError: the cache does not have the file.
    """
    file = dvc_cache.folder() / digest[:2] / digest[2:]
    if not file.is_file():
        raise DataError(f"{path}: is not in DVC's cache; {REMEDY}")
    return file


def link(digest: str, path: str, target: Path) -> Path:
    """Make `target` a link to the output in the cache or, for a folder, a folder of such links; return `target`.

    Raises:
        DataError: the cache lacks a file, or the list of a folder's files is damaged.
    """
    file = find_cached(digest, path)
    if not digest.endswith(dvc_lock.FOLDER_SUFFIX):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
        return target
    files = files_in_folder(file, path)
    target.mkdir(parents=True, exist_ok=True)
    for name, md5 in files:
        link(md5, f"{path}/{name}", target / name)
    return target


def files_in_folder(file: Path, path: str) -> list[tuple[str, str]]:
    """(relative path, MD5) of each file in the folder `path`, from the list that DVC's cache has as `file`.

    Raises:
        DataError: the list is damaged.
    """
    try:
        entries = [(str(entry["relpath"]), str(entry["md5"])) for entry in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError):
        entries = [("", "")]  # refused below, like any list with an empty name
    unsafe = [name for name, _ in entries if not name or Path(name).is_absolute() or ".." in Path(name).parts]
    if unsafe or len(entries) > MAX_FILES or not all(re.fullmatch(r"[0-9a-f]{32}", md5) for _, md5 in entries):
        raise DataError(f"{path}: the list of this folder's files in DVC's cache is damaged; remove {file}, {REMEDY}")
    return entries
