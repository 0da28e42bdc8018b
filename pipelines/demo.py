"""The workspace of `feedforward demo`: a separate DVC project inside the checkout, ignored by `dvc` at the top level.

Its stages are copied from the checkout's dvc.yaml, so they are defined only once. In demo/, only params.yaml is
committed.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from feedforward.core import atomic_files

CODE = ("pipelines/", "requirements/", "src/")  # dependencies that belong to the checkout, not to the workspace
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    no_scm = true
    site_cache_dir = .dvc-state
"""


def prepare(checkout: Path) -> Path:
    """Write demo/dvc.yaml and the configuration of the DVC project; return the workspace folder."""
    folder = checkout / "demo"
    atomic_files.write_text(folder / ".dvc" / "config", DVC_CONFIG)
    yaml = YAML()
    stages = yaml.load((checkout / "dvc.yaml").read_text(encoding="utf-8"))
    del stages["plots"]  # the plot template belongs to the checkout
    for stage in stages["stages"].values():
        stage["deps"] = [_dependency(path) for path in stage["deps"]]
    with atomic_files.writing(folder / "dvc.yaml", "demo") as file:
        yaml.dump(stages, file)
    return folder


def _dependency(path: Any) -> Any:
    return f"../{path}" if str(path).startswith(CODE) else path
