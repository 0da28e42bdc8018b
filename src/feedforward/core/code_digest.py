"""A digest of a module's code, including all modules of this project that it imports, directly or indirectly.

The digest follows the import statements, so it covers all code of this project that can change a result, except modules
loaded with `importlib`. Comments, docstrings and layout are ignored.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files
from feedforward.core.errors import DataError

PACKAGES = ("feedforward", "pipelines")
SOURCE = Path(__file__).parents[2]  # the folder `src`, which contains `feedforward`; `pipelines` is next to `src`


class UnresolvedImport(Exception):
    """A module of this project cannot be resolved to a file, so its code cannot be part of the digest."""


def code_digest(modules: Iterable[str], source: Path = SOURCE) -> str:
    """SHA-256 (hex) of the code of `modules` (dotted names) and of their `closure`, as this process runs it.

    Python keeps the modules that a process has imported, even if their files are changed. So the digest of the first
    call is kept as well.

    Raises:
        DataError: a file was changed between the import of this package and the first call.
        UnresolvedImport: a module, or a name that one of them imports from this project, does not exist, or an import
            is relative or uses `*`.
    """
    modules = tuple(modules)
    key: tuple[str | Path, ...] = (*modules, source)
    if key not in _digests:
        files = closure(modules, source)
        for path in files.values():
            if path not in _file_digests and _stamps.get(path, _stamp(path)) != _stamp(path):
                raise _changed(path)
            _file_digests.setdefault(path, _parse(path, _stamp(path))[0])
        _digests[key] = atomic_files.digest({name: _file_digests[path] for name, path in files.items()})
    return _digests[key]


def check_unchanged(modules: Iterable[str], source: Path = SOURCE) -> None:
    """Check that the files of `modules` and of their closure still contain the code of which there is a digest.

    Otherwise, this process may run the old code, the new code, or both.

    Raises:
        DataError: a file was changed. UnresolvedImport: see `code_digest`.
    """
    for path in closure(modules, source).values():
        if _file_digests.get(path) != _parse(path, _stamp(path))[0]:
            raise _changed(path)


def _changed(path: Path) -> DataError:
    problem = "was changed while this process was running, so its results would be recorded with the wrong code"
    return DataError(f"{path}: {problem}; run the command again (restart the kernel of a notebook, or a Dask worker)")


def closure(modules: Iterable[str], source: Path = SOURCE) -> dict[str, Path]:
    """The files of `modules` and of all modules of this project that they import, directly or not, by dotted name.

    Imports inside functions are included; imports under `TYPE_CHECKING` are not, because they never run. A module's
    parent packages are included, because their `__init__` runs first.

    Raises:
        UnresolvedImport: see `code_digest`.
    """
    files: dict[str, Path] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name in files:
            continue
        path = _find_file(name, source)
        if path is None:
            raise UnresolvedImport(f"{name}: no such module below {source}")
        files[name] = path
        pending += [name.rpartition(".")[0]] if "." in name else []
        for module, attribute in _parse(path, _stamp(path))[1]:
            pending += [_imported_module(module, attribute, path, source)]
    return dict(sorted(files.items()))


def _imported_module(module: str, attribute: str | None, importer: Path, source: Path) -> str:
    """The module that `from module import attribute` (or `import module`) loads."""
    if attribute and _find_file(f"{module}.{attribute}", source):
        return f"{module}.{attribute}"
    path = _find_file(module, source)
    if path is None or (attribute and path.name == "__init__.py" and attribute not in _parse(path, _stamp(path))[2]):
        raise UnresolvedImport(
            f"{importer}: cannot resolve the import of {module}{f'.{attribute}' if attribute else ''}"
        )
    return module


def _find_file(name: str, source: Path) -> Path | None:
    bases = [folder.joinpath(*name.split(".")) for folder in (source, source.parent)]
    candidates = (path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py"))
    return next((path for path in candidates if path.is_file()), None)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


_stamps = {path: _stamp(path) for path in (SOURCE / "feedforward").rglob("*.py")}  # when this package was imported
_file_digests: dict[Path, str] = {}  # by file, as it was when the first digest that includes it was computed
_digests: dict[tuple[str | Path, ...], str] = {}  # by modules and source, as returned


@functools.lru_cache(maxsize=256)
def _parse(path: Path, _: tuple[int, int]) -> tuple[str, tuple[tuple[str, str | None], ...], frozenset[str]]:
    """(digest, imports from this project, names that the module defines or imports), cached by path and `_stamp`.

    Raises:
        UnresolvedImport: the module contains a relative import, or `import *` from this project.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = tuple(sorted(set(_imports(tree, path)), key=lambda pair: (pair[0], pair[1] or "")))
    names = frozenset(
        {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        | {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    )
    return hashlib.sha256(repr(_as_tuples(tree)).encode()).hexdigest(), imports, names


def _imports(tree: ast.AST, path: Path) -> Iterator[tuple[str, str | None]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for statement in node.orelse:
                yield from _imports(statement, path)
            continue
        if isinstance(node, ast.Import):
            yield from ((name.name, None) for name in node.names if _is_in_project(name.name))
        elif isinstance(node, ast.ImportFrom):
            if node.level or (_is_in_project(node.module or "") and any(name.name == "*" for name in node.names)):
                raise UnresolvedImport(f"{path}, line {node.lineno}: write the import with full names")
            if _is_in_project(node.module or ""):
                yield from ((node.module or "", name.name) for name in node.names)
        yield from _imports(node, path)


def _is_in_project(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def _as_tuples(node: Any) -> Any:
    """The syntax tree as nested tuples, without docstrings, positions or empty fields: equal on all Python versions.

    `ast.dump` is no substitute, because it shows fields that older versions do not have.
    """
    if isinstance(node, ast.AST):
        body = getattr(node, "body", None)
        fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [], "")}
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            fields["body"] = body[1:] if _is_docstring(body[0]) else body
        return (type(node).__name__, *((name, _as_tuples(value)) for name, value in sorted(fields.items())))
    return tuple(_as_tuples(item) for item in node) if isinstance(node, list) else repr(node)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
