"""Checks every row of docs/reliability.md: `python -m faults`, or `make faults`. Exits with code 1 if a row fails.

Prints a line for each row, then `N passed, N failed`; writes reports/faults/faults.json.
"""

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from faults import ROOT, cited
from faults.cited import Outcome
from faults.context import SEED, Context, describe
from faults.rows import ROWS, Row
from feedforward.core import atomic_files, provenance


@dataclass(frozen=True)
class Result:
    """The result of a row. observed: what happened or the first problem, in one line. tests: number of cases passed."""

    row: int
    title: str
    passed: bool
    observed: str
    tests: int
    seconds: float

    def text(self) -> str:
        """One line for the terminal."""
        return f"{self.row:3} {'passed' if self.passed else 'FAILED'}  {self.title}: {self.observed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the rows, print and write the results; return 0 if every row passed, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few repetitions, no slow tests, no long scenarios")
    parser.add_argument("--row", type=int, action="append", help="check only this row; can be repeated")
    parser.add_argument("--scenarios-only", action="store_true", help="skip the tests, which `make test` also runs")
    parser.add_argument("--json", type=Path, default=ROOT / "reports" / "faults" / "faults.json")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.row or ()) - {row.number for row in ROWS})
    if unknown:
        parser.error(f"argument --row: must be from 1 to {len(ROWS)}, got {unknown[0]}")
    rows = [row for row in ROWS if not options.row or row.number in options.row]
    if options.scenarios_only:
        rows = [replace(row, tests=()) for row in rows if row.scenarios or (row.long and not options.short)]
    results = []
    with tempfile.TemporaryDirectory(prefix="feedforward-faults-") as folder:
        outcomes = cited.run([test for row in rows for test in row.tests], options.short)
        for result in run_all(rows, Context(Path(folder), options.short), outcomes):
            results.append(result)
            print(result.text(), flush=True)
    failed = [result for result in results if not result.passed]
    report = {"machine": provenance.machine(), "seed": SEED, "short": options.short, "rows": [*map(asdict, results)]}
    atomic_files.write_json(options.json, report)
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def run_all(rows: Sequence[Row], context: Context, outcomes: Mapping[str, Outcome]) -> Iterator[Result]:
    """Yield the result of each row, in order.

    Two rows run at a time, because some rows spend most of their time waiting; a row marked `alone` runs by itself.
    """
    with ThreadPoolExecutor(2) as pool:
        for alone, group in itertools.groupby(rows, key=lambda row: row.alone):
            yield from (map if alone else pool.map)(lambda row: run_row(row, context, outcomes), group)


def run_row(row: Row, context: Context, outcomes: Mapping[str, Outcome]) -> Result:
    """Run the scenarios of a row, and combine their results with the outcomes of the row's tests."""
    began, observations, problem = time.monotonic(), [], ""
    tests, scenarios = [outcomes[test] for test in row.tests], (*row.scenarios, *(() if context.short else row.long))
    if not row.tests and not scenarios:
        problem = "nothing checks this row yet"
    for name, outcome in zip(row.tests, tests, strict=True):
        if outcome.failed or not (outcome.passed or context.short):
            problem = problem or f"{name}: {outcome.problem or 'no case ran'}"
    for scenario in scenarios:
        try:
            observations.append(scenario(context))
        except AssertionError as error:
            problem = problem or " ".join(str(error).split()) or describe(error)
        except Exception as error:  # a defect in the row itself must not hide the other rows' results
            traceback.print_exc()
            problem = problem or describe(error)
    cases = sum(outcome.passed for outcome in tests)
    if cases:
        observations.append(f"{cases} tests")
    seconds = round(time.monotonic() - began, 1)
    return Result(
        row.number,
        row.title,
        not problem,
        problem or "; ".join(observations) or "its slow tests were skipped",
        cases,
        seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
