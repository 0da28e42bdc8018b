"""Which functions differ between two commits of a real repository, read without a checkout."""

from pathlib import Path

import pytest
from git_repositories import commit, git

from feedforward.core.errors import DataError, ParamsError
from feedforward.diff import code
from feedforward.diff.repository import Repository

LOSSES = '''"""Losses."""
LIMIT = 1


def binary(x):
    """Doubles."""
    return 2 * x


class Loss:
    weight = 1

    def value(self, x):
        return self.weight * binary(x)
'''
TRAINING_RUN = "from feedforward.training.losses import binary\n\n\ndef train(x):\n    return binary(x)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small project: the module that trains imports `losses`, and nothing imports `pages`."""
    write(tmp_path, "experiments/training_run", TRAINING_RUN)
    write(tmp_path, "training/losses", LOSSES)
    write(tmp_path, "serving/pages", "def page(): return 1\n")
    for package in ("", "experiments/", "training/", "serving/"):
        write(tmp_path, f"{package}__init__", "")
    return tmp_path


def write(folder: Path, module: str, text: str) -> None:
    path = folder / f"src/feedforward/{module}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def changes(folder: Path, a: str, b: str) -> list[tuple[str, ...]]:
    return [
        (change.module.removeprefix("feedforward."), change.name, change.change, change.affects)
        for change in code.changes(Repository(folder), a, b)
    ]


def test_changed_functions_are_listed_and_comments_are_ignored(folder: Path) -> None:
    a = commit(folder, "first")
    comments = LOSSES.replace('"""Doubles."""', '"""Twice."""  # said otherwise').replace("2 * x", "(2\n * x)")
    write(folder, "training/losses", comments)
    b = commit(folder, "comments")
    assert changes(folder, a, b) == []
    new_losses = LOSSES.replace("2 * x", "3 * x").replace("weight = 1", "weight = 2").replace("LIMIT = 1", "LIMIT = 2")
    write(folder, "training/losses", new_losses.replace("def value", "def total") + "\n\ndef hinge(x):\n    return x\n")
    write(folder, "serving/pages", "def page(): return 2\n")
    c = commit(folder, "functions")
    assert set(changes(folder, b, c)) == {
        ("training.losses", "<module>", "changed", "weights"),
        ("training.losses", "binary", "changed", "weights"),
        ("training.losses", "Loss.<class>", "changed", "weights"),
        ("training.losses", "Loss.value", "removed", "weights"),
        ("training.losses", "Loss.total", "added", "weights"),
        ("training.losses", "hinge", "added", "weights"),
    }, "pages do not affect results"
    assert ("training.losses", "hinge", "removed", "weights") in changes(folder, c, b)


def test_a_module_that_is_no_longer_imported_counts_as_removed(folder: Path) -> None:
    a = commit(folder, "first")
    write(folder, "experiments/training_run", "def train(x):\n    return x\n")
    b = commit(folder, "alone")
    assert set(changes(folder, a, b)) == {
        ("experiments.training_run", "<module>", "removed", "weights"),
        ("experiments.training_run", "train", "changed", "weights"),
        ("training", "", "removed", "weights"),
        ("training.losses", "", "removed", "weights"),
    }


def test_working_tree_and_index_are_unchanged(folder: Path) -> None:
    a = commit(folder, "first")
    write(folder, "training/losses", "")
    b = commit(folder, "empty")
    write(folder, "training/losses", "x = 1\n")
    before = (folder / ".git" / "index").read_bytes(), git(folder, "status", "--porcelain")
    assert changes(folder, a, b)
    assert ((folder / ".git" / "index").read_bytes(), git(folder, "status", "--porcelain")) == before


def test_commit_names_are_resolved(folder: Path) -> None:
    repository = Repository(folder)
    assert repository.commit("HEAD") is None
    a = commit(folder, "first")
    commit(folder, "second")
    git(folder, "tag", "v1", "HEAD~1")
    assert [repository.commit(name) for name in ("HEAD~1", "v1", a[:7], "nothing", "--help", "")] == [a, a, a] + 3 * [
        None
    ]
    assert repository.content(a, "src/feedforward/training/losses.py") == LOSSES.encode()
    assert repository.content(a, "src/feedforward/gone.py") is None


def test_a_dvc_experiment_is_found_by_its_name(folder: Path) -> None:
    repository = Repository(folder)
    baseline = commit(folder, "baseline")
    experiment = commit(folder, "experiment")
    other = commit(folder, "another experiment")
    for entry, name in ((experiment, "shaky-toga"), (experiment, "twice"), (other, "of-another")):
        git(folder, "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", entry)
    git(folder, "update-ref", f"refs/exps/{other[:2]}/{other[2:]}/twice", other)
    assert repository.commit("shaky-toga") == experiment
    assert repository.commit("of-another") == other
    assert repository.commit("*") is None
    with pytest.raises(ParamsError, match="several experiments have this name"):
        repository.commit("twice")


def test_a_prefix_of_several_commit_hashes_is_ambiguous(tmp_path: Path) -> None:
    """Of 1,499 commits, some have hashes with the same first four digits."""
    git(tmp_path, "init", "-q")
    lines = [
        f"commit refs/heads/main\ncommitter T <t@example.org> {number} +0000\ndata 1\nx" for number in range(1, 1500)
    ]
    git(tmp_path, "fast-import", "--quiet", text="\n".join([*lines, ""]))
    commits = git(tmp_path, "rev-list", "main").split()
    prefixes = [entry[:4] for entry in commits]
    ambiguous = next(prefix for prefix in prefixes if prefixes.count(prefix) > 1)
    with pytest.raises(ParamsError, match="several commits start with it"):
        Repository(tmp_path).commit(ambiguous)


def test_a_folder_that_is_missing_from_a_commit_is_reported(folder: Path) -> None:
    a = commit(folder, "first")
    with pytest.raises(DataError, match="its code cannot be read"):
        Repository(folder).extract(a, ["src/gone"], folder / "new")
