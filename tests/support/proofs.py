"""Generates docs/tests.md from the tests' `proves` marks: `python tests/support/proofs.py`."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "tests.md"
HEAD = """\
# What the tests prove

Each statement below is proved by the tests next to it. The statement is the argument of their mark
`@pytest.mark.proves("…")`, and `make reference` generates this page from these marks. `faults/rows.py` lists the tests
for the faults of [reliability.md](reliability.md), and [design.md](design.md) names the test for each use of an
undocumented interface.
"""


def page() -> str:
    """The text of docs/tests.md."""
    return HEAD + "".join(f"\n## {title}\n\n{table(folder)}" for title, folder in sections())


def sections() -> Iterator[tuple[str, Path]]:
    """Title and folder of each section: packages, pipelines and the whole project."""
    for folder in sorted({path.parent for path, *_ in proofs()}, key=lambda folder: (folder == TESTS, folder)):
        yield "The whole project" if folder == TESTS else folder.relative_to(TESTS).as_posix(), folder


def table(folder: Path) -> str:
    """A row per sentence, with its tests."""
    tests: dict[str, list[str]] = {}
    for path, name, sentence in proofs():
        if path.parent == folder:
            link = f"[{path.name}](../{path.relative_to(TESTS.parent).as_posix()})"
            tests.setdefault(sentence, []).append(f"{link} `{name}`")
    rows = [f"| {sentence} | {'<br>'.join(cited)} |\n" for sentence, cited in sorted(tests.items())]
    return "| statement | tests |\n| --- | --- |\n" + "".join(rows)


@functools.cache
def proofs() -> tuple[tuple[Path, str, str], ...]:
    """(file, test, sentence) of each mark."""
    return tuple(
        (path, node.name, sentence)
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        for sentence in sentences(node)
    )


def sentences(test: ast.FunctionDef) -> Iterator[str]:
    """The arguments of the test's `proves` marks."""
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
            yield from (ast.literal_eval(argument) for argument in mark.args)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
