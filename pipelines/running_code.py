"""Jobs run the code of their workspace, because DVC and MLflow record that code with the results.

With the environment of another checkout, Python would import the other checkout's code.
"""

from pathlib import Path

import feedforward
import pipelines
from feedforward.core.errors import ParamsError


def check(root: Path) -> None:
    """If the workspace contains code, check that the running code is this code or a copy of it.

    Raises:
        ParamsError: a file differs.
    """
    for package, folder in ((feedforward, root / "src" / "feedforward"), (pipelines, root / "pipelines")):
        running = Path(str(package.__file__)).parent
        if not folder.is_dir() or folder.samefile(running):
            continue
        own, other = _contents(folder), _contents(running)
        for name in sorted(own.keys() | other.keys()):
            if own.get(name) != other.get(name):
                raise ParamsError(
                    [
                        f"{folder / name}: differs from {running / name}, which is running: this environment belongs to"
                        f" another checkout; run `make` or .venv/bin/feedforward in {root}"
                    ]
                )


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")}
