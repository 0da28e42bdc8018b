"""Every test asserts something, either directly or through a helper."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PYTEST_ASSERTIONS = ("raises", "warns", "fail")
ASSERTION_PREFIXES = ("assert_", "expect")  # NumPy's and Playwright's assertions


@functools.cache
def functions() -> list[tuple[Path, ast.FunctionDef]]:
    """Return all functions defined in the tests and their support modules."""
    return [
        (path, node)
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]


def called_names(node: ast.AST) -> Iterator[str]:
    """Yield the names of functions and methods called in `node`, without the object before the dot."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            yield getattr(inner.func, "attr", getattr(inner.func, "id", ""))


def asserts(node: ast.AST, helpers: set[str]) -> bool:
    """Return whether the function asserts something itself, or calls one of the helpers or assertions."""
    if any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
        return True
    return any(
        name in PYTEST_ASSERTIONS or name in helpers or name.startswith(ASSERTION_PREFIXES)
        for name in called_names(node)
    )


@functools.cache
def asserting_helpers() -> set[str]:
    """Return the helpers that assert something, either directly or through other helpers."""
    helpers: set[str] = set()
    while True:
        extended = {node.name for _, node in functions() if not is_test(node) and asserts(node, helpers)}
        if extended == helpers:
            return helpers
        helpers = extended


def is_test(node: ast.FunctionDef) -> bool:
    return node.name.startswith("test_")


def test_every_test_asserts_something() -> None:
    offenders = [
        f"{path.relative_to(TESTS)}:{node.lineno} {node.name}"
        for path, node in functions()
        if is_test(node) and not asserts(node, asserting_helpers())
    ]
    assert not offenders


def test_a_test_without_an_assertion_is_detected() -> None:
    [node] = ast.parse("def test_it():\n    load_params()\n").body
    assert not asserts(node, asserting_helpers())
    [node] = ast.parse("def test_it():\n    with pytest.raises(ValueError):\n        load_params()\n").body
    assert asserts(node, asserting_helpers())
