"""Removes damaged results: DVC believes that a read-only file in its cache is undamaged, and that its copy is, too.

It would restore such a file even in place of the results that a stage has just computed.
"""

from pathlib import Path

from feedforward.config import yaml_reader
from feedforward.core import dvc_cache, dvc_lock
from feedforward.core.errors import ParamsError

FOLDERS = ("data/baselines/", "data/trained/", "reports/comparison/")  # small files; the data have digests of their own


def remove(root: Path) -> list[str]:
    """Remove the results in the workspace `root` whose copy in DVC's cache is damaged; return a line about each.

    The copy is removed, too, so the next `dvc repro` runs their stages. A result that differs from dvc.lock is also
    removed if the cache has no copy of what dvc.lock names, as after the removal of a file that `feedforward verify`
    named: DVC remembers that the result was intact, and would not compute it again.

    Raises:
        DataError: DVC's configuration cannot be read.
    """
    try:
        lock, pipeline = (yaml_reader.read(root / name) for name in ("dvc.lock", "dvc.yaml"))
    except (ParamsError, OSError):
        return []  # the first run, or DVC was killed
    lines, cache = [], dvc_cache.folder(root)
    outputs = (output for _, stage in dvc_lock.current(lock, pipeline) for output in dvc_lock.digests(stage, "outs"))
    for path, md5 in outputs:
        copy, result = cache / md5[:2] / md5[2:], root / path
        if not path.startswith(FOLDERS) or md5.endswith(dvc_lock.FOLDER_SUFFIX) or _md5(copy) == md5:
            continue
        if copy.is_file():
            lines.append(f"{copy}: damaged, so it was removed along with {path}; the stage runs again")
        elif result.is_file() and _md5(result) != md5:
            problem = "differs from dvc.lock, and DVC's cache has no copy of what dvc.lock names"
            lines.append(f"{result}: {problem}, so it was removed; the stage runs again")
        else:
            continue
        copy.unlink(missing_ok=True)
        result.unlink(missing_ok=True)
    return lines


def _md5(path: Path) -> str:
    return dvc_cache.file_md5(path) if path.is_file() else ""
