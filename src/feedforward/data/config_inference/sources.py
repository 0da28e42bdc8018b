"""Detect what kind of data a file or folder contains."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from feedforward.core.errors import InputError
from feedforward.data.class_folders import IMAGE_SUFFIXES
from feedforward.data.config_inference import folders, tables
from feedforward.data.config_inference.entry import Guess, check_names

TABLES = (".csv", ".tsv", ".txt", ".data", ".parquet", ".jsonl", ".ndjson")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".xls", ".xlsx")


def guess(path: Path, targets: Sequence[str] = ()) -> Guess:
    """Infer the dataset's entry in params.yaml. path: the data. targets: columns to predict, if known.

    Raises:
        InputError: the data are not local, do not exist, or cannot be read by any reader.
    """
    if not path.exists():
        # Path shortens `//` to `/`; a single letter is a drive of Windows
        if re.match(r"[A-Za-z][A-Za-z0-9+.:-]+:/", os.path.relpath(path)):
            remedy = "download it first, or add its URL to files.*.urls"
            raise InputError(str(path), f"init inspects only local data: {remedy}")
        raise InputError(str(path), "no such file or folder")
    check_names([path])
    if path.is_dir():
        return _guess_folder(path)
    if path.is_file() and _is_table(path):
        return tables.guess(path, tuple(targets))
    if path.name.lower().endswith(ARCHIVES):
        raise InputError(
            str(path), "is an archive or workbook: unpack it, or save the sheet as CSV, then run init on the result"
        )
    raise InputError(
        str(path), f"expected a file ({', '.join(TABLES)}), or a folder with idx files or with one folder per class"
    )


def _guess_folder(path: Path) -> Guess:
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    if (idx := folders.guess_idx(path, names)) is not None:
        return idx
    try:
        return folders.guess_class_folders(path)
    except folders.NoClassFolders:
        # Hugging Face has tables in the subfolder `data`; images with a table of their labels are not a table
        files = [file for pattern in ("[!.]*", "[!.]*/[!.]*") for file in sorted(path.glob(pattern)) if file.is_file()]
        tabular = [file.relative_to(path).as_posix() for file in files if _is_table(file) and file.suffix != ".txt"]
        if not tabular or any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
            raise
    raise InputError(
        str(path),
        f"contains tables ({', '.join(tabular)[:100]}): run init on the training table; then add the test table, if"
        " there is one, to files and reader.test_file",
    )


def _is_table(file: Path) -> bool:
    return file.name.lower().removesuffix(".gz").endswith(TABLES)
