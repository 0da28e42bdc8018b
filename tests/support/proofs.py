"""Generate docs/tests.md from the tests' `proves` markers: `python tests/support/proofs.py`."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "tests.md"
HEAD = """\
# What the tests prove

Each statement below is proved by the tests next to it. The statement is the argument of the tests' marker
`@pytest.mark.proves("…")`, and `make reference` generates this page from these markers. `faults/rows.py` lists the
tests for the faults of [reliability.md](reliability.md), and [design.md](design.md) names the test for each use of a
library that goes beyond its public Python API.
"""


def page() -> str:
    """Return the text of docs/tests.md."""
    return HEAD + "".join(f"\n## {title}\n\n{table(folder)}" for title, folder in sections())


def sections() -> Iterator[tuple[str, Path]]:
    """Yield the title and folder of each section: packages first, the whole project last."""
    for folder in sorted({path.parent for path, *_ in proofs()}, key=lambda folder: (folder == TESTS, folder)):
        yield "The whole project" if folder == TESTS else folder.relative_to(TESTS).as_posix(), folder


def table(folder: Path) -> str:
    """Return a table with one row per statement, with the tests that prove it."""
    tests: dict[str, list[str]] = {}
    for path, name, sentence in proofs():
        if path.parent == folder:
            link = f"[{path.name}](../{path.relative_to(TESTS.parent).as_posix()})"
            tests.setdefault(sentence, []).append(f"{link} `{name}`")
    rows = [f"| {sentence} | {'<br>'.join(cited)} |\n" for sentence, cited in sorted(tests.items())]
    return "| statement | tests |\n| --- | --- |\n" + "".join(rows)


@functools.cache
def proofs() -> tuple[tuple[Path, str, str], ...]:
    """Return (file, test, statement) for each marker."""
    return tuple(
        (path, node.name, sentence)
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        for sentence in sentences(node)
    )


def sentences(test: ast.FunctionDef) -> Iterator[str]:
    """Yield the arguments of the test's `proves` markers."""
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
            yield from (ast.literal_eval(argument) for argument in mark.args)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
