"""Row 7 of docs/reliability.md: a small temporary file system fills up in the middle of a stage.

`python -m faults.disk DISK BASE STAGE…` runs the stages in copies of the workspace BASE on the file system DISK.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from faults import ROOT, workspace
from faults.context import Context
from faults.kills import STEPS
from faults.workspace import NAME, Completed

FREE = {"fetch": 64, "vectorize": 64, "validate": 16, "train": 256, "compare": 64}  # KiB left free for each stage
ARGUMENT = {"train": "fair", "validate": "", "compare": ""}  # the argument of a stage, if it is not the dataset
UNSHARE = ("unshare", "--map-root-user", "--mount")  # a private mount namespace


def fill_during_stages(context: Context) -> str:
    """Row 7: in a separate process, mount a small file system and run `check` on it."""
    stages = ("fetch", "vectorize") if context.short else tuple(FREE)
    folder = context.baseline.folder
    size_kib = sum(path.stat().st_size for path in workspace.walk(folder)) // 1024
    disk = context.folder / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size={2 * size_kib + 50_000}k none "$1" && exec {sys.executable} -m faults.disk "$@"'
    command = [*UNSHARE, "sh", "-c", script, "sh", str(disk), str(folder), *stages]
    done = subprocess.run(command, cwd=ROOT, env=workspace.environment(folder), capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return done.stdout.strip()


def check(disk: Path, base: Path, stages: list[str]) -> str:
    """Check that each stage reports the full disk, keeps its old outputs, and succeeds once space is free."""
    folder, filler = disk / "work", disk / "filler"
    for stage in stages:
        shutil.copytree(base, folder, symlinks=True)
        before = workspace.digests(folder)
        STEPS[stage].undo(folder)
        kept = {name: digest for name, digest in before.items() if (folder / name).exists()}
        with filler.open("wb") as file:
            file.write(bytes(shutil.disk_usage(disk).free - FREE[stage] * 1024))
        done = _run(folder, stage)
        assert done.returncode == 1, f"{stage}: exit code {done.returncode}: {done.stderr[-500:]}"
        assert "Traceback" not in done.stderr, f"{stage}: {done.stderr[-800:]}"
        line = done.stderr.strip().splitlines()[-1]
        assert line.startswith(stage), f"{stage}: {done.stderr[-500:]}"
        assert "space" in line or "full" in line, f"{stage}: {line}"
        after = workspace.digests(folder)
        assert all(after.get(name) == digest for name, digest in kept.items()), f"{stage}: old outputs were changed"
        filler.unlink()
        repeated = _run(folder, stage)
        assert repeated.returncode == 0, f"{stage}, after space was freed: {repeated.stderr[-500:]}"
        assert workspace.digests(folder) == workspace.digests(base), f"{stage}: the outputs differ from the baseline"
        shutil.rmtree(folder)
    return (
        f"{', '.join(stages)}: one-line error, old outputs intact,"
        " outputs identical to the baseline after space was freed"
    )


def _run(folder: Path, stage: str) -> Completed:
    return workspace.run(folder, sys.executable, "-m", "pipelines.stages", stage, ARGUMENT.get(stage, NAME))


if __name__ == "__main__":
    try:
        print(check(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
    except AssertionError as error:
        sys.exit(str(error).replace("\n", " "))
