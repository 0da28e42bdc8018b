"""The layout of an archive, and how its folder is written; `writing` and `reading` share both."""

import os
from collections.abc import Mapping
from pathlib import Path

from feedforward.core import atomic_files, processes
from feedforward.core.errors import DataError

DIGESTS = "digests.json"  # {"format": …, "files": {NAME: {"bytes": …, "sha256": …}}} for every other file
FORMAT = 1
MAX_BYTES = 2**29  # for all files together, and for the ZIP file
MAX_FILES = 5000


def write_folder(files: Mapping[str, bytes], folder: Path, point: str, remedy: str) -> None:
    """Write the files of an archive into a new or empty folder, or over an earlier archive.

    Raises:
        DataError: the folder, or a temporary folder next to it, contains something other than an archive; `remedy` is
            the end of the message.
    """
    folder = Path(os.path.realpath(folder))  # so that a link is followed rather than replaced
    folder.parent.mkdir(parents=True, exist_ok=True)
    with processes.locked_folder(folder.parent):
        _refuse_foreign(folder, remedy)
        _refuse_current(folder, remedy)
        for candidate in atomic_files.temporary_folders(folder):
            _refuse_foreign(candidate, remedy)
        with atomic_files.writing_folder(folder, point) as temporary:
            # DIGESTS comes first, because it marks even a partial folder as an archive
            for name in sorted(files, key=lambda name: name != DIGESTS):
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(files[name])


def _refuse_current(folder: Path, remedy: str) -> None:
    """Refuse to replace the current folder or one that contains it: its users would stay in a deleted folder."""
    try:
        current = Path(os.path.realpath(Path.cwd()))
    except FileNotFoundError:  # it has been deleted
        return
    if current.is_relative_to(os.path.realpath(folder)):
        raise DataError(f"{folder}: is or contains the current folder and would be replaced; {remedy}")


def _refuse_foreign(folder: Path, remedy: str) -> None:
    is_free = folder.is_dir() and ((folder / DIGESTS).is_file() or not any(folder.iterdir()))
    if not is_free and (folder.exists() or folder.is_symlink()):
        raise DataError(f"{folder}: exists and is not an archive; {remedy}")
