"""The layout of an archive, and how its folder is written; `writing` and `reading` share both."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files, processes
from feedforward.core.errors import DataError

DIGESTS = "digests.json"  # {"format": …, "files": {NAME: {"bytes": …, "sha256": …}}} for every other file
FORMAT = 1
MAX_BYTES = 2**29  # for all files together, and for the ZIP file
MAX_FILES = 5000
MAX_DIGESTS_BYTES = 2**20
MAX_NAME = 500  # characters
# The only names in an archive. They include none that makes another program act on the file: DVC would run the stages
# of a dvc.yaml, git would run commands from a .git/config, and Python would import a module from the current folder.
FILES = (
    *("params.yaml", "pipeline.yaml", "dvc.lock", "requirements/cpu.txt", "requirements/gpu.txt", "versions.json"),
    *("LICENSE", "README.md", "ro-crate-metadata.json", DIGESTS),
)
FOLDERS = ("data/", "models/", "reports/")
ENDINGS = (".csv", ".html", ".json", ".jsonl", ".keras", ".md", ".npz", ".png", ".sig", ".txt", "/expectations.yaml")
_PART = re.compile(r"[\w@=+,-]([\w@=+,. -]{0,198}[\w@=+,-])?")  # of a path, between slashes


def write_folder(files: Mapping[str, bytes], folder: Path, point: str, remedy: str) -> None:
    """Write the files of an archive into a new or empty folder, or over an earlier archive.

    Raises:
        DataError: the folder, or a temporary folder next to it, contains something other than the files of an archive,
            or the folder is or contains the current folder; `remedy` is the end of the message.
        Busy: another process keeps the parent folder locked.
    """
    folder = Path(os.path.realpath(folder))  # so that a link is followed rather than replaced
    folder.parent.mkdir(parents=True, exist_ok=True)
    with processes.locked_folder(folder.parent):
        _refuse_foreign(folder, remedy)
        _refuse_current(folder, remedy)
        new_folder, old_folder = atomic_files.temporary_folders(folder)
        _refuse_foreign(old_folder, remedy)
        _refuse_foreign(new_folder, remedy, is_complete=False)
        with atomic_files.writing_folder(folder, point) as temporary:
            # DIGESTS comes first, because it marks even a partial folder as an archive
            for name in sorted(files, key=lambda name: name != DIGESTS):
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(files[name])


def _refuse_current(folder: Path, remedy: str) -> None:
    """Refuse to replace the current folder, or one that contains it: the shell would be left in a deleted folder."""
    try:
        current = Path(os.path.realpath(Path.cwd()))
    except FileNotFoundError:  # it has been deleted
        return
    if current.is_relative_to(os.path.realpath(folder)):
        raise DataError(f"{folder}: is or contains the current folder and would be replaced; {remedy}")


def _refuse_foreign(folder: Path, remedy: str, is_complete: bool = True) -> None:
    """Refuse to delete a folder if its digests.json does not list a file in it, or has another digest for the file.

    is_complete: False if a killed process may have written only parts of files; then, digests are not compared.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    try:
        digests = listed_digests((folder / DIGESTS).read_bytes())
    except (OSError, ValueError):
        raise DataError(f"{folder}: exists and is not an archive; {remedy}") from None
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name == DIGESTS or (path.is_dir() and not path.is_symlink()):
            continue
        is_known = path.is_file() and not path.is_symlink() and name in digests
        if not is_known or (is_complete and atomic_files.file_digest(path) != digests[name]):
            raise DataError(f"{folder}: {name} was added or changed after the export and would be lost; {remedy}")


def listed_digests(content: bytes) -> dict[str, str]:
    """SHA-256 of each file by name, from the content of digests.json.

    Raises:
        ValueError: the content is damaged, or another release wrote it.
    """
    try:
        stored: dict[str, Any] = json.loads(content[:MAX_DIGESTS_BYTES])
        if stored["format"] != FORMAT:
            raise ValueError(f"format {stored['format']}, expected {FORMAT}: another release wrote it")
        return {str(name): str(entry["sha256"]) for name, entry in stored["files"].items()}
    except KeyError as error:
        raise ValueError(f"lacks the key {error}") from None
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def check_names(source: Path, names: Sequence[str], remedy: str) -> None:
    """Check that the names are distinct names of files in an archive, on every operating system.

    Raises:
        DataError: one is not; `source` and `remedy` are the start and the end of the message.
    """
    for name in names:
        is_allowed = name in FILES or (name.startswith(FOLDERS) and name.endswith(ENDINGS))
        if not is_allowed or len(name) > MAX_NAME or not all(map(_PART.fullmatch, name.split("/"))):
            raise DataError(f"{source}: an archive must not contain the name {name[:80]!r}; {remedy}")
    distinct = {name.casefold() for name in names}
    if len(distinct) < len(names):
        raise DataError(f"{source}: has two files with the same name, ignoring case; {remedy}")
    if any(name[:end] in distinct for name in distinct for end, character in enumerate(name) if character == "/"):
        raise DataError(f"{source}: has a file and a folder with the same name, ignoring case; {remedy}")
