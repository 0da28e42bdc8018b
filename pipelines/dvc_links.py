"""Symbolic links in place of the folders with the outputs of stages. DVC does not track files behind a link."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from feedforward.config import yaml_reader
from feedforward.core.errors import ParamsError


def check(root: Path) -> None:
    """Check that no output of a workspace's dvc.yaml, if it has one, is behind a symbolic link.

    DVC would fail only after the stage has done its work.

    Raises:
        ParamsError: a folder with outputs is a link, or dvc.yaml is invalid.
    """
    if not (root / "dvc.yaml").exists():
        return
    stages = (yaml_reader.read(root / "dvc.yaml").get("stages") or {}).values()
    outputs = [out for stage in stages for out in stage.get("outs") or ()]
    paths = [PurePosixPath(next(iter(out)) if isinstance(out, Mapping) else out) for out in outputs]
    folders = sorted({root / folder for path in paths for folder in path.parents} - {root})
    remedy = "move the folder back, and put DVC's cache on the other disk (docs/operations.md)"
    links = [folder for folder in folders if folder.is_symlink()]
    if links:
        raise ParamsError([f"{link}: is a symbolic link, which DVC does not follow; {remedy}" for link in links])
