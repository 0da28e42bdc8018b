"""The code digest covers imported modules, ignores comments, and fails if an import cannot be resolved."""

from pathlib import Path

import pytest

from feedforward.core import code_digest as code_digest_module
from feedforward.core.code_digest import UnresolvedImport, check_unchanged, closure, code_digest
from feedforward.core.errors import DataError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small package with this project's name. Its trainer imports a module, an attribute of a package, and a type."""
    files = {
        "__init__.py": "",
        "trainer.py": "from feedforward import network\nfrom feedforward.layers import dense\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from feedforward.unused import U\n",
        "network.py": "import numpy\n\ndef build():\n    from feedforward.late import loaded\n    return loaded\n",
        "late.py": "loaded = 1\n",
        "layers/__init__.py": "from feedforward.layers.dense_layer import dense\n",
        "layers/dense_layer.py": "def dense():\n    return 1\n",
        "unused.py": "U = int\n",
    }
    for name, text in files.items():
        path = tmp_path / "feedforward" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


MODULES = ["feedforward.trainer"]


@pytest.fixture(autouse=True)
def no_digests_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the digests of these tests from other tests in the same process."""
    monkeypatch.setattr(code_digest_module, "_file_digests", {})
    monkeypatch.setattr(code_digest_module, "_digests", {})


def digest(source: Path) -> str:
    """The digest that a new process computes."""
    code_digest_module._file_digests.clear()
    code_digest_module._digests.clear()
    code_digest_module._parse.cache_clear()  # because a file may be changed without a change of its timestamp
    return code_digest(MODULES, source)


@pytest.mark.proves("The digest of the code covers every module that is imported, directly or through packages")
def test_the_closure_follows_packages_attributes_and_imports_in_functions(source: Path) -> None:
    assert list(closure(["feedforward.trainer"], source)) == [
        "feedforward",
        "feedforward.late",
        "feedforward.layers",
        "feedforward.layers.dense_layer",
        "feedforward.network",
        "feedforward.trainer",
    ]


@pytest.mark.proves("The digest of the code covers every module that is imported, directly or through packages")
@pytest.mark.parametrize(
    ("name", "changes_digest"),
    [("late", True), ("layers/dense_layer", True), ("layers/__init__", True), ("network", True), ("unused", False)],
)
def test_imported_modules_change_the_digest(source: Path, name: str, changes_digest: bool) -> None:
    before = digest(source)
    path = source / "feedforward" / f"{name}.py"
    path.write_text(path.read_text() + "y = 2\n")
    assert (digest(source) != before) is changes_digest


@pytest.mark.proves("Comments, docstrings and layout do not change the digest of the code")
def test_comments_docstrings_and_layout_do_not_change_the_digest(source: Path) -> None:
    path = source / "feedforward" / "late.py"
    path.write_text("def f(x):\n    return x + 1\n")
    before = digest(source)
    path.write_text('"""Late."""\n\n# why\ndef f(x):\n    """Add."""\n    return (x + 1)\n')
    assert digest(source) == before
    path.write_text("def f(x):\n    return x + 2\n")
    assert digest(source) != before


@pytest.mark.proves("A process whose code was changed after it started records no results")
def test_code_that_was_changed_while_the_process_runs_is_an_error(source: Path) -> None:
    before, path = digest(source), source / "feedforward" / "late.py"
    content = path.read_text()
    path.write_text(f"# a comment\n{content}")
    check_unchanged(MODULES, source)
    path.write_text(f"{content}x = 3\n")
    with pytest.raises(DataError, match=r"late\.py: was changed while this process was running, .*; run the command"):
        check_unchanged(MODULES, source)
    assert code_digest(MODULES, source) == before, "the process still runs the code that it has imported"
    path.write_text(content)
    check_unchanged(MODULES, source)


@pytest.mark.proves("A process whose code was changed after it started records no results")
def test_code_that_was_changed_between_its_import_and_the_first_digest_is_an_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source / "feedforward" / "late.py"
    digest(source)
    monkeypatch.setitem(code_digest_module._stamps, path, code_digest_module._stamp(path))
    digest(source)
    path.write_text(f"{path.read_text()}x = 3\n")
    with pytest.raises(DataError, match=r"late\.py: was changed while this process was running"):
        digest(source)


@pytest.mark.proves("An import that the digest of the code cannot resolve is an error, not skipped")
@pytest.mark.parametrize(
    "line",
    [
        "from feedforward import absent",
        "from feedforward.layers import absent",
        "import feedforward.absent",
        "from . import network",
        "from feedforward.layers import *",
    ],
)
def test_an_unresolvable_import_is_an_error(source: Path, line: str) -> None:
    (source / "feedforward" / "late.py").write_text(f"{line}\n")
    with pytest.raises(UnresolvedImport, match=r"late\.py"):
        digest(source)


def test_a_missing_module_is_an_error(source: Path) -> None:
    with pytest.raises(UnresolvedImport, match="no such module"):
        code_digest(["feedforward.absent"], source)


def test_all_imports_of_the_trainer_resolve() -> None:
    files = closure(["feedforward.training.trainer"])
    assert {"feedforward.training.packed_model", "feedforward.data.splits", "feedforward.config.schema"} <= set(files)
