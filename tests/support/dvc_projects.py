"""A small DVC project: a workspace in which real DVC runs stages that write placeholders."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

from feedforward.core import paths

PIPELINE = """stages:
  fetch:
    matrix: {dataset: [notes, tones]}
    cmd: mkdir -p data/raw/${item.dataset} && echo 1 > data/raw/${item.dataset}/digests.json
    outs: ["data/raw/${item.dataset}"]
  vectorize:
    matrix: {dataset: [notes, tones]}
    cmd: mkdir -p data/vectorized/${item.dataset} && cp data/made/${item.dataset}/* data/vectorized/${item.dataset}
    deps: ["data/raw/${item.dataset}", "data/made/${item.dataset}"]
    outs: ["data/vectorized/${item.dataset}"]
  baselines:
    matrix: {dataset: [notes, tones]}
    cmd: mkdir -p data/baselines && echo '{"runs":[]}' > data/baselines/${item.dataset}.json
    params: [seeds, "datasets.${item.dataset}"]
    deps: ["data/vectorized/${item.dataset}"]
    outs: ["data/baselines/${item.dataset}.json"]
  compare:
    cmd: cd reports/comparison && mkdir -p plots/é && echo 1 | tee table.md > plots/é/a.csv
    params: [variants, datasets]
    deps: [data/baselines, data/vectorized, code]
    outs: [reports/comparison/table.md, reports/comparison/plots]
"""


def init(root: Path, settings: str = "") -> None:
    """Make `root` a DVC project without git, as `dvc init --no-scm` does in a second. settings: its `.dvc/config`."""
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(settings)
    (root / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")


def dvc(root: Path, *arguments: str) -> str:
    """Run a DVC command, which must succeed, and return its output."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


def repro(root: Path, *targets: str) -> None:
    """Do what `dvc repro` does, in this process, which saves a second: all stages, or `targets` and what they need."""
    from dvc.repo import Repo

    with contextlib.chdir(root), Repo() as repo:
        repo.reproduce(list(targets))


def finish(root: Path) -> None:
    """Turn the current workspace `root`, which has vectorized datasets, into a DVC project, and run all stages."""
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / ".dvcignore").write_text("__pycache__/\n*.partial\n")
    (root / "code").mkdir()
    (root / "code" / "compare.py").write_text("rate = 1\n")
    for name in ("notes", "tones"):  # what this pipeline "vectorizes"
        made = root / "data" / "made" / name
        made.mkdir(parents=True)
        shutil.copy(paths.vectorized(name) / "manifest.json", made)
    init(root)
    repro(root)
