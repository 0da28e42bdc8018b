"""What the command lines of the benchmarks share: options, and tables as lines of text."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feedforward.core import paths


def parser(name: str, docstring: str | None, quick: str) -> argparse.ArgumentParser:
    """Return a parser with the options that benchmarks share: --json (default: reports/bench/NAME.json) and --quick.

    docstring: docstring of the benchmark's module; its first line becomes the description. quick: what --quick does.
    """
    options = argparse.ArgumentParser(description=(docstring or "").splitlines()[0])
    options.add_argument("--json", type=Path, default=paths.root() / "reports" / "bench" / f"{name}.json")
    options.add_argument("--quick", action="store_true", help=f"{quick} (only tests the benchmark itself)")
    return options


def text(report: Mapping[str, Any], *tables: Sequence[Sequence[str]]) -> str:
    """The tables of a report as text; after a quick run, the text says that the results are meaningless."""
    note = "QUICK: the results are meaningless\n" if report["quick"] else ""
    return note + "\n\n".join(map(align, tables))


def align(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines of text, with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
