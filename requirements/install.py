"""Install requirements/NAME.txt and this project into a virtual environment: python requirements/install.py NAME VENV.

Standard library only, since it runs before anything is installed. Tries uv, then uv from the registry, then pip;
every package is held against its hash. The stamp VENV/.NAME is written last, so that make takes up again what was
interrupted; what an interrupted install left is thrown away, because half a package looks like a whole one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = getattr(sys, "_base_executable", sys.executable)  # not that of an active environment: it may be thrown away
QUIET = [] if sys.stderr.isatty() else ["--quiet"]


def succeeds(*command: str | Path, **kwargs: int) -> bool:
    """Run a command; False also where there is no such program."""
    try:
        return subprocess.run(command, check=False, **kwargs).returncode == 0
    except OSError:
        return False


def create(venv: Path, uv: bool) -> None:
    """Make the environment, or mend it; one of another Python, or with half an install, is made anew."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if (venv / ".installing").exists() or (venv.exists() and not (venv / "lib" / version).is_dir()):
        shutil.rmtree(venv)
    if not (uv and succeeds("uv", "venv", "--quiet", "--allow-existing", "--python", PYTHON, venv)) and not succeeds(
        PYTHON, "-m", "venv", venv
    ):
        sys.exit(f"{venv}: {PYTHON} cannot make an environment; install uv, or your system's package python3-venv")


def installers(venv: Path, uv: bool) -> Iterator[list[str | Path]]:
    """Yield ways to install, best first, each as the start of a command."""
    python = venv / "bin" / "python"
    with_uv = ["pip", "install", *QUIET, "--python", python]
    if uv:
        yield ["uv", *with_uv]
    with_pip = [python, "-m", "pip", "install", *QUIET]
    if not succeeds(python, "-m", "pip", "--version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        succeeds(python, "-m", "ensurepip", stdout=subprocess.DEVNULL)
    if not uv and succeeds(*with_pip, "--require-hashes", "-r", HERE / "setup.txt"):
        yield [venv / "bin" / "uv", *with_uv]
    yield with_pip


def install(name: str, venv: Path) -> None:
    """Install one requirements file, what builds the project, and the project itself, editable."""
    os.environ["UV_COMPILE_BYTECODE"] = "1"  # imports take 3-5 times as long without
    os.environ["UV_SYSTEM_CERTS"] = "1"  # behind a proxy that signs for itself, as pip
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    uv = succeeds("uv", "--version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f"Installing requirements/{name}.txt into {venv}: once, some minutes without a cache", flush=True)
    create(venv, uv)
    (venv / ".installing").touch()
    # The files are complete, so there is nothing to resolve (and pip 23.2 stumbles over extras in a hashed file); what
    # has to be built is built with what is locked.
    steps = [
        ["--require-hashes", "-r", HERE / "setup.txt"],
        ["--require-hashes", "--no-build-isolation", "-r", HERE / f"{name}.txt"],
        ["--no-build-isolation", "--editable", HERE.parent],
    ]
    for installer in installers(venv, uv):
        if all(succeeds(*installer, "--no-deps", *step) for step in steps):
            break
    else:
        sys.exit(f"{venv}: not installed (see above); is a package registry reachable? Then run the same command again")
    # Once per environment, so that the first job does not have to: compiled loops and migrated databases.
    succeeds(venv / "bin" / "python", "-c", "import feedforward.training.kernels", stderr=subprocess.DEVNULL)
    for module in ("feedforward.tracking.database", "pipelines.prefect_database"):
        succeeds(venv / "bin" / "python", "-m", module, stderr=subprocess.DEVNULL)
    (venv / ".installing").unlink()
    (venv / f".{name}").touch()


if __name__ == "__main__":
    install(sys.argv[1], Path(sys.argv[2]))
