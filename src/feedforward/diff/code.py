"""Which functions differ between two commits, in the modules that results depend on.

As in the digest of the code (core.code_digest), comments, docstrings and layout do not count.
"""

import ast
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feedforward.core.code_digest import UnresolvedImport, closure
from feedforward.diff.repository import Repository
from feedforward.experiments import plan

# What a module affects: the first of these keys whose entry modules import it.
ENTRIES = {
    "weights": plan.WEIGHTS,
    "metrics": plan.EVALUATION,
    "data": ("feedforward.data.preparation",),
    "comparison": ("feedforward.experiments.comparison",),
}
SOURCE, PACKAGES = "src", ("src/feedforward", "pipelines")


@dataclass(frozen=True)
class Change:
    """A function or method that differs between the commits; an empty name means the whole module.

    `<module>` and `CLASS.<class>` stand for the statements outside functions. affects: what the module affects, a key
    of ENTRIES.
    """

    module: str
    name: str
    change: Literal["changed", "added", "removed"]
    affects: str


def changes(repository: Repository, a: str, b: str) -> list[Change]:
    """The changes to the code from commit `a` to commit `b`, sorted by module.

    Raises:
        DataError: git cannot read a commit.
    """
    with tempfile.TemporaryDirectory() as folder_a, tempfile.TemporaryDirectory() as folder_b:
        before, after = _modules(repository, a, Path(folder_a)), _modules(repository, b, Path(folder_b))
        return [
            change
            for module in sorted(before | after)
            for change in _changes(module, before.get(module), after.get(module))
        ]


def _modules(repository: Repository, commit: str, folder: Path) -> dict[str, tuple[Path, str]]:
    """Dotted name of each module → (file, what it affects); empty if the commit has none of this project's code."""
    packages = [path for path in PACKAGES if repository.has(commit, path)]
    if not packages:
        return {}
    repository.extract(commit, packages, folder)
    modules: dict[str, tuple[Path, str]] = {}
    for affects, entries in ENTRIES.items():
        try:
            files = closure(entries, folder / SOURCE)
        except (UnresolvedImport, SyntaxError):  # another release, without these modules
            continue
        modules = {name: (path, affects) for name, path in files.items()} | modules
    return modules


def _changes(module: str, a: tuple[Path, str] | None, b: tuple[Path, str] | None) -> Iterator[Change]:
    affects = (a or b or (Path(), ""))[1]
    if a is None or b is None:
        yield Change(module, "", "added" if a is None else "removed", affects)
        return
    before, after = functions(a[0].read_text(encoding="utf-8")), functions(b[0].read_text(encoding="utf-8"))
    for name in before | after:
        if before.get(name) != after.get(name):
            change: Literal["changed", "added", "removed"] = (
                "added" if name not in before else "removed" if name not in after else "changed"
            )
            yield Change(module, name, change, affects)


def functions(source: str) -> dict[str, str]:
    """The syntax trees of a module's functions, methods and other statements, as text, by name as in `Change`.

    >>> a, b = functions("def f(x):\\n  'Doubles.'\\n  return 2 * x"), functions("def f(x): return 3 * x")
    >>> list(a), a == b
    (['f'], False)
    """
    parts: dict[str, str] = {}
    for name, node in _parts(ast.parse(source).body, ""):
        parts[name] = parts.get(name, "") + ast.dump(_DocstringRemover().visit(node))
    return parts


def _parts(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _parts(node.body, f"{prefix}{node.name}.")
            head = ast.ClassDef(**{**dict(ast.iter_fields(node)), "body": []})
            yield f"{prefix}{node.name}.<class>", head
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield f"{prefix}<class>" if prefix else "<module>", node


class _DocstringRemover(ast.NodeTransformer):
    """Removes docstrings."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Remove statements that consist of a constant; they have no effect."""
        return None if isinstance(node.value, ast.Constant) else node
