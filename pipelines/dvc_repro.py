"""`dvc repro` after what a killed one left: torn lock files are mended, and who is at work is named.

DVC writes its lock files in place. Killed just then, it leaves half of one, and every later `dvc` ends with code 255.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from feedforward.core import atomic_files, paths
from feedforward.core.errors import Busy, FeedforwardError, reported
from pipelines import environment

# dvc as a command that ends with whoever asked for it, and its stage with it
DVC = """
import sys
from feedforward.core import processes
with processes.importing():
    from dvc.cli import main
processes.end_with_ancestors()
sys.argv[0] = "dvc"
sys.exit(main(sys.argv[1:]))
"""
WRITING = 0.5  # s; whoever is alive has written its few bytes by then


def repro(root: Path, arguments: Sequence[str] = ()) -> None:
    """Bring everything up to date in the workspace `root`.

    Raises:
        Busy: another dvc is at work. FeedforwardError: a stage failed; it has said why.
    """
    environment.apply()
    for line in mend(root):
        print(line, file=sys.stderr)
    if subprocess.call([sys.executable, "-c", DVC, "repro", *arguments], cwd=root):
        raise FeedforwardError("the pipeline stopped at the stage named above; mend it, then run the command again")


def mend(root: Path) -> list[str]:
    """Take torn lock files away, which loses nothing; one line for each.

    What dvc.lock said of finished stages is in DVC's run cache too, and rwlock matters only while a dvc is at work.

    Raises:
        Busy: one is.
    """
    home = next((folder for folder in (root, *root.parents) if (folder / ".dvc").is_dir()), root)
    rwlock, lines = home / ".dvc" / "tmp" / "rwlock", []
    content = _rwlock(rwlock)
    if content is None:
        time.sleep(WRITING)
        content = _rwlock(rwlock)
    if content is None:
        rwlock.unlink(missing_ok=True)
        lines.append(f"{rwlock}: torn, by a dvc that was killed; removed")
    for pid, command in _holders(content or {}, root):
        raise Busy(f"{root}: process {pid} ({command}) is at work here; wait for it, then run the command again")
    lock = root / "dvc.lock"
    if not _is_whole(lock):
        lock.replace(lock.with_name(lock.name + atomic_files.TEMPORARY))
        lines.append(f"{lock}: torn, by a dvc that was killed; moved away, and written anew from the run cache")
    return lines


def _rwlock(path: Path) -> dict[str, Any] | None:
    """Who reads and writes which paths; None if the file is torn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _holders(content: dict[str, Any], root: Path) -> list[tuple[int, str]]:
    """The living processes that hold a path below `root`; DVC itself forgets those that are gone."""
    found = []
    for kind in ("write", "read"):
        for path, entries in content.get(kind, {}).items():
            for entry in entries if isinstance(entries, list) else [entries]:
                if Path(path).is_relative_to(root) and _is_dvc(int(entry["pid"])):
                    found.append((int(entry["pid"]), str(entry["cmd"])))
    return found


def _is_dvc(pid: int) -> bool:
    """Whether a process of that number lives and is a dvc, not another one that was given the number later."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any("dvc" in word for word in process.cmdline())
    return False


def _is_whole(lock: Path) -> bool:
    """Whether DVC takes the file; it may say less than was to be written. A test holds this to DVC's own schema."""
    try:
        text = lock.read_text(encoding="utf-8")
        content = YAML(typ="safe").load(text)
    except FileNotFoundError:
        return True
    except (YAMLError, UnicodeDecodeError):
        return False
    if not text.endswith("\n") or text.endswith(":\n"):  # the last line, or what belongs to it, is missing
        return False
    stages = content.get("stages") if isinstance(content, dict) else None
    return isinstance(stages, dict) and all(isinstance(stage, dict) and "cmd" in stage for stage in stages.values())


def main(arguments: Sequence[str]) -> int:
    """`python -m pipelines.dvc_repro [ARGUMENTS OF dvc repro]` in a workspace; 0 when done."""
    return reported(lambda: repro(paths.root(), arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
