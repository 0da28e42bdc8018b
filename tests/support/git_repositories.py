"""Real git repositories in temporary folders."""

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str, text: str = "") -> str:
    """Run git without the user's configuration, with `text` as its standard input, and return its output."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT")}
    identity = {f"GIT_{who}_{key}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    environment = variables | identity | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit all files, in a new repository if there is none yet, and return the hash of the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")
