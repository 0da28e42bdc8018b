"""Runs the examples in docstrings; at least fifteen public functions must have one."""

import doctest
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def _examples(name: str) -> list[doctest.DocTest]:
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_print_what_they_claim(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for example in _examples(name):
        runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_at_least_fifteen_public_functions_have_an_example() -> None:
    names = {example.name for module in MODULES for example in _examples(module)}
    assert len([name for name in names if not name.rpartition(".")[2].startswith("_")]) >= 15
