"""The workspace of `feedforward demo`: a separate DVC project inside the checkout, ignored by `dvc` at the top level.

Its stages are those of the checkout's dvc.yaml, so they are defined only once. Links to the checkout's code let the
stages depend on it by the same paths; DVC applies .dvcignore only to paths inside the project, and without it, every
compiled file would repeat the stages. In demo/, only params.yaml is committed.
"""

import contextlib
from pathlib import Path

from ruamel.yaml import YAML

from feedforward.core import atomic_files

CODE = ("pipelines", "requirements", "src")  # folders of the checkout that stages depend on
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
    atomic_files.write_text(folder / ".dvcignore", (checkout / ".dvcignore").read_text(encoding="utf-8"))
    atomic_files.write_text(folder / "LICENSE", (checkout / "LICENSE").read_text(encoding="utf-8"))  # for archives
    for name in CODE:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(Path("..", name))
    yaml = YAML()
    stages = yaml.load((checkout / "dvc.yaml").read_text(encoding="utf-8"))
    del stages["plots"]  # the plot template belongs to the checkout
    with atomic_files.writing(folder / "dvc.yaml", "demo") as file:
        yaml.dump(stages, file)
    return folder
