"""Install requirements/NAME.txt and this project into a virtual environment: python requirements/install.py NAME VENV.

Uses only the standard library, because it runs before anything is installed. It tries an installed uv, then a uv that
it downloads from the package index, then pip. Each file from the index must match a locked hash. The stamp file
VENV/.NAME is written last, so that make repeats an interrupted installation.

VENV/.checkout names the checkout whose code the environment runs, and says whether an installation is incomplete. Make
replaces the environment of a moved or copied checkout, and an incomplete one, because a partly installed package looks
complete. Files are deleted only in a folder that this script made its own when the folder was empty.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent
CHECKOUT = str(HERE.parent)
NAMES = ("cpu", "gpu", "dev", "notebook")
# The Python outside any virtual environment: `create` may delete the environment that is active.
PYTHON = getattr(sys, "_base_executable", sys.executable)
QUIET = [] if sys.stderr.isatty() else ["--quiet"]


def succeeds(*command: str | Path, **kwargs: int) -> bool:
    """Run a command, and return whether it succeeded. A missing program counts as a failure."""
    try:
        return subprocess.run(command, check=False, **kwargs).returncode == 0
    except OSError:
        return False


def claim(venv: Path) -> TextIO:
    """Return the open file VENV/.checkout, locked so that one installation runs; end if the folder is another's."""
    venv.mkdir(parents=True, exist_ok=True)
    # release 0.2.0 wrote only stamp files
    is_former = (venv / "pyvenv.cfg").exists() and any((venv / f".{name}").exists() for name in NAMES)
    if not (venv / ".checkout").exists() and not is_former and any(venv.iterdir()):
        sys.exit(f"{venv}: has files that make did not create; name another folder (VENV=FOLDER), or empty this one")
    mark = (venv / ".checkout").open("a+")
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{venv}: waiting until another make has installed its packages", flush=True)
        fcntl.flock(mark, fcntl.LOCK_EX)
    mark.seek(0)
    return mark


def create(venv: Path, uv: bool, mark: TextIO) -> list[str]:
    """Create or repair the environment; first delete its files if it is incomplete, or of another Python or checkout.

    The folder itself remains, because it may be a link to another disk or a mount point.
    mark: the open file VENV/.checkout. Returns the names of the requirements files that were installed in it.
    """
    owner, _, state = (mark.read() or CHECKOUT).partition("\n")
    if owner != CHECKOUT and Path(owner).exists() and not venv.is_relative_to(CHECKOUT):
        sys.exit(f"{venv}: is the environment of {owner}; name another folder (VENV=FOLDER)")
    (venv / ".checkout").write_text(f"{CHECKOUT}\nincomplete")
    deleted = []
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if owner != CHECKOUT or state or not (venv / "lib" / version).is_dir():
        deleted = [name for name in NAMES if (venv / f".{name}").exists()]
        for path in venv.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".checkout":
                path.unlink()
    if not (uv and succeeds("uv", "venv", "--quiet", "--allow-existing", "--python", PYTHON, venv)) and not succeeds(
        PYTHON, "-m", "venv", venv
    ):
        sys.exit(
            f"{venv}: {PYTHON} cannot create a virtual environment; install uv, or your system's package python3-venv"
        )
    return deleted


def installers(venv: Path, uv: bool) -> Iterator[list[str | Path]]:
    """Yield the available installers, best first, each as the beginning of a command line."""
    python = venv / "bin" / "python"
    uv_arguments = ["pip", "install", *QUIET, "--python", python]
    if uv:
        yield ["uv", *uv_arguments]
    pip_command = [python, "-m", "pip", "install", *QUIET]
    if not succeeds(python, "-m", "pip", "--version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        succeeds(python, "-m", "ensurepip", stdout=subprocess.DEVNULL)
    if not uv and succeeds(*pip_command, "--require-hashes", "-r", HERE / "setup.txt"):
        yield [venv / "bin" / "uv", *uv_arguments]
    yield pip_command


def install(name: str, venv: Path) -> None:
    """Install the build tools, one requirements file, and the project itself (editable)."""
    os.environ["UV_COMPILE_BYTECODE"] = "1"  # without byte code, imports take 3-5 times as long
    os.environ["UV_SYSTEM_CERTS"] = "1"  # a company's proxy may have a certificate of its own; pip accepts it, too
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    uv = succeeds("uv", "--version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(
        f"Installing requirements/{name}.txt into {venv} (only once; takes a few minutes without a cache)", flush=True
    )
    mark = claim(venv)
    names = list(dict.fromkeys([*create(venv, uv, mark), name]))
    # The files are complete, so `--no-deps` skips resolution (pip 23.2 would fail on an extra in a file with hashes).
    # Packages without a wheel are built with the locked build tools.
    steps = [
        ["--require-hashes", "-r", HERE / "setup.txt"],
        *(["--require-hashes", "--no-build-isolation", "-r", HERE / f"{each}.txt"] for each in names),
        ["--no-build-isolation", "--editable", HERE.parent],
    ]
    for installer in installers(venv, uv):
        if all(succeeds(*installer, "--no-deps", *step) for step in steps):
            break
    else:
        sys.exit(
            f"{venv}: installation failed (see above); check that a package index is reachable, then run this again"
        )
    # Compile the kernels and create the template databases now, so that the first job does not have to.
    succeeds(venv / "bin" / "python", "-c", "import feedforward.training.kernels", stderr=subprocess.DEVNULL)
    for module in ("feedforward.tracking.database", "pipelines.prefect_database"):
        succeeds(venv / "bin" / "python", "-m", module, stderr=subprocess.DEVNULL)
    (venv / ".checkout").write_text(CHECKOUT)
    for each in names:
        (venv / f".{each}").touch()


if __name__ == "__main__":
    try:
        install(sys.argv[1], Path(sys.argv[2]).resolve())
    except OSError as error:
        sys.exit(f"{sys.argv[2]}: {error}; name another folder (VENV=FOLDER)")
