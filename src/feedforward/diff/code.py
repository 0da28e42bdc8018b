"""Which functions of the code differ between two commits, among the modules that decide a result.

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

# What a module decides: the first line whose entry modules import it.
ENTRIES = {
    "weights": plan.WEIGHTS,
    "figures": plan.EVALUATION,
    "data": ("feedforward.data.preparation",),
    "comparison": ("feedforward.experiments.comparison",),
}
SOURCE, PACKAGES = "src", ("src/feedforward", "pipelines")


@dataclass(frozen=True)
class Change:
    """A function or method; empty name: the whole module.

    `<module>` and `CLASS.<class>` are the statements outside of functions. decides: a key of ENTRIES.
    """

    module: str
    name: str
    change: Literal["changed", "added", "removed"]
    decides: str


def changes(repository: Repository, a: str, b: str) -> list[Change]:
    """The differences in the code of commit `b` from that of commit `a`, by module.

    Raises:
        DataError: git cannot read a commit.
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        before, after = _modules(repository, a, Path(one)), _modules(repository, b, Path(other))
        return [
            change
            for module in sorted(before | after)
            for change in _changes(module, before.get(module), after.get(module))
        ]


def _modules(repository: Repository, commit: str, folder: Path) -> dict[str, tuple[Path, str]]:
    """(file, what it decides) of each module, by dotted name; empty if the commit has none of this project's code."""
    packages = [path for path in PACKAGES if repository.has(commit, path)]
    if not packages:
        return {}
    repository.extract(commit, packages, folder)
    modules: dict[str, tuple[Path, str]] = {}
    for decides, entries in ENTRIES.items():
        try:
            files = closure(entries, folder / SOURCE)
        except (UnresolvedImport, SyntaxError):  # the code of another release: these modules did not exist
            continue
        modules = {name: (path, decides) for name, path in files.items()} | modules
    return modules


def _changes(module: str, a: tuple[Path, str] | None, b: tuple[Path, str] | None) -> Iterator[Change]:
    decides = (a or b or (Path(), ""))[1]
    if a is None or b is None:
        yield Change(module, "", "added" if a is None else "removed", decides)
        return
    before, after = functions(a[0].read_text(encoding="utf-8")), functions(b[0].read_text(encoding="utf-8"))
    for name in before | after:
        if before.get(name) != after.get(name):
            change: Literal["changed", "added", "removed"] = (
                "added" if name not in before else "removed" if name not in after else "changed"
            )
            yield Change(module, name, change, decides)


def functions(text: str) -> dict[str, str]:
    """The syntax tree of each function and method of a module, as text, by qualified name.

    >>> a, b = functions("def f(x):\\n  'Doubles.'\\n  return 2 * x"), functions("def f(x): return 3 * x")
    >>> list(a), a == b
    (['f'], False)
    """
    parts: dict[str, str] = {}
    for name, node in _parts(ast.parse(text).body, ""):
        parts[name] = parts.get(name, "") + ast.dump(_Plain().visit(node))
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


class _Plain(ast.NodeTransformer):
    """Removes docstrings."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Constants that stand alone have no effect."""
        return None if isinstance(node.value, ast.Constant) else node
