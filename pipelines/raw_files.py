"""Finds raw files of another commit: `git checkout` restores dvc.lock, but not the data that DVC tracks."""

from collections.abc import Iterable
from pathlib import Path

from feedforward.config import yaml_reader
from feedforward.config.schema import DIGESTS
from feedforward.core import dvc_cache, paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.diff import dvc_outputs


def of_another_commit(root: Path, names: Iterable[str]) -> list[str]:
    """The datasets whose raw files are in DVC's cache, but are not those that dvc.lock records.

    Files that were fetched since the last run are not in the cache. If dvc.lock is damaged, or if it or the cache lacks
    the recorded files, nothing is known, and the dataset is left out.

    Raises:
        DataError: DVC's configuration cannot be read.
    """
    try:
        outputs = dvc_outputs.digests(yaml_reader.read(root / "dvc.lock"))
    except (ParamsError, OSError):
        return []
    others = []
    for name in names:
        path, file = f"data/raw/{name}", paths.raw(name) / DIGESTS
        if path not in outputs or not file.is_file():
            continue
        try:
            recorded = dict(dvc_outputs.files_in_folder(dvc_outputs.find_cached(outputs[path], path), path))[DIGESTS]
        except (DataError, KeyError):
            continue
        present = dvc_cache.file_md5(file)
        if present != recorded and (dvc_cache.folder() / present[:2] / present[2:]).is_file():
            others.append(name)
    return others
