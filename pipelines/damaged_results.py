"""Removes damaged results: DVC believes that a read-only file in its cache is undamaged, and that its copy is, too.

It would restore such a file even in place of the results that a stage has just computed.
"""

import hashlib
from pathlib import Path

from feedforward.config import yaml_reader
from feedforward.core import dvc_cache
from feedforward.core.errors import ParamsError
from feedforward.diff import dvc_outputs

FOLDERS = ("data/baselines/", "data/trained/", "reports/comparison/")  # small files; the data have digests of their own


def remove(root: Path) -> list[str]:
    """Remove the results in the workspace `root` whose copy in DVC's cache is damaged; return a line about each.

    The copy is removed, too, so the next `dvc repro` runs their stages. A result that differs from dvc.lock is also
    removed if the cache has no copy of it, as after the removal of a file that `feedforward verify` named.

    Raises:
        DataError: DVC's configuration cannot be read.
    """
    try:
        outputs = dvc_outputs.digests(yaml_reader.read(root / "dvc.lock"))
    except (ParamsError, OSError):
        return []  # the first run, or DVC was killed
    lines = []
    for path, md5 in outputs.items():
        copy, result = dvc_cache.folder() / md5[:2] / md5[2:], root / path
        if not path.startswith(FOLDERS) or md5.endswith(".dir") or _md5(copy) == md5:
            continue
        if copy.is_file():
            lines.append(f"{copy}: damaged, so it was removed along with {path}, which is made again")
        elif not result.is_file() or _md5(result) == md5:
            continue
        copy.unlink(missing_ok=True)
        result.unlink(missing_ok=True)
    return lines


def _md5(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
