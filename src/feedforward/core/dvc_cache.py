"""The folder of DVC's cached files, which `dvc cache dir` can move.

DVC reads `cache.dir` from four files and prefers the most specific one (DVC's documentation, `dvc config`). Asking DVC
itself would take two seconds.
"""

import configparser
import functools
import hashlib
import os
from pathlib import Path

from feedforward.core import paths
from feedforward.core.errors import DataError


def folder(workspace: Path | None = None) -> Path:
    """The folder with one file per cached output, named by its MD5. workspace: default: the current one.

    Raises:
        DataError: a configuration file of DVC cannot be read.
    """
    default = paths.dvc_cache(workspace)
    settings = default.parents[2]  # the project's `.dvc`
    return _find((settings / "config.local", settings / "config", _user_config(), _system_config())) or default


def file_md5(path: Path) -> str:
    """The digest by which DVC names the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@functools.cache  # `diff` looks up thousands of files
def _find(configs: tuple[Path, ...]) -> Path | None:
    """The folder that these files configure; earlier files take precedence. None if no file configures one."""
    for config in configs:
        if configured := _configured(config):
            return Path(os.path.normpath(config.parent / configured)) / "files" / "md5"
    return None


def _configured(config: Path) -> Path | None:
    """The folder that a configuration file names; a relative one is relative to the file."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(config, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{config}: cannot be read ({reason}); correct it with `dvc config`") from None
    value = parser.get("cache", "dir", fallback="").strip("'\"")
    return Path(value).expanduser() if value else None


def _user_config() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or Path(home) / "dvc") / "config"


def _system_config() -> Path:
    first = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0]
    return Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or Path(first) / "dvc") / "config"
