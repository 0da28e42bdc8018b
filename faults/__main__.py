"""Play the rows: `python -m faults`, or `make faults`. Exit code 1 when one failed.

Prints a line for each row and ends `N passed, N failed`; writes reports/faults/faults.json.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from faults import ROOT, cited
from faults.cited import Outcome
from faults.rows import ROWS, Row
from faults.scene import SEED, Scene
from feedforward.core import atomic_files, provenance


@dataclass(frozen=True)
class Result:
    """seen: what was seen, or what went wrong first; one line. tests: how many cases passed."""

    row: int
    what: str
    passed: bool
    seen: str
    tests: int
    seconds: float

    def text(self) -> str:
        """For people."""
        return f"{self.row:3} {'passed' if self.passed else 'FAILED'}  {self.what}: {self.seen}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, write; 0 when every row passed."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small counts, no slow tests, no long plays")
    parser.add_argument("--row", type=int, action="append", help="this row alone; may be given several times")
    parser.add_argument("--plays-only", action="store_true", help="without the tests, which `make test` runs anyway")
    parser.add_argument("--json", type=Path, default=ROOT / "reports" / "faults" / "faults.json")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.row or ()) - {row.number for row in ROWS})
    if unknown:
        parser.error(f"argument --row: must be one of 1 to {len(ROWS)}, got {unknown[0]}")
    chosen = [row for row in ROWS if not options.row or row.number in options.row]
    if options.plays_only:
        chosen = [replace(row, tests=()) for row in chosen if row.plays or (row.long and not options.short)]
    results = []
    with tempfile.TemporaryDirectory(prefix="feedforward-faults-") as folder:
        outcomes = cited.run([test for row in chosen for test in row.tests], options.short)
        for result in play_all(chosen, Scene(Path(folder), options.short), outcomes):
            results.append(result)
            print(result.text(), flush=True)
    failed = [result for result in results if not result.passed]
    report = {"machine": provenance.machine(), "seed": SEED, "short": options.short, "rows": [*map(asdict, results)]}
    atomic_files.write_json(options.json, report)
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def play_all(rows: Sequence[Row], scene: Scene, outcomes: Mapping[str, Outcome]) -> Iterator[Result]:
    """What came of each row, in order. Two are played at a time, for some wait, except those that must be alone."""
    with ThreadPoolExecutor(2) as pool:
        for alone, some in itertools.groupby(rows, key=lambda row: row.alone):
            yield from (map if alone else pool.map)(lambda row: play(row, scene, outcomes), some)


def play(row: Row, scene: Scene, outcomes: Mapping[str, Outcome]) -> Result:
    """What came of a row."""
    began, seen, problem = time.monotonic(), [], ""
    tests, plays = [outcomes[test] for test in row.tests], (*row.plays, *(() if scene.short else row.long))
    if not row.tests and not plays:
        problem = "nothing holds it yet"
    for name, outcome in zip(row.tests, tests, strict=True):
        if outcome.failed or not (outcome.passed or scene.short):
            problem = problem or f"{name}: {outcome.problem or 'no case ran'}"
    for part in plays:
        try:
            seen.append(part(scene))
        except AssertionError as error:
            problem = problem or " ".join(str(error).split())
        except Exception as error:  # a defect of the row itself must not hide the others
            problem = problem or f"{type(error).__name__}: {' '.join(str(error).split())}"
    cases = sum(outcome.passed for outcome in tests)
    if cases:
        seen.append(f"{cases} tests")
    seconds = round(time.monotonic() - began, 1)
    return Result(row.number, row.what, not problem, problem or "; ".join(seen) or "slow tests alone", cases, seconds)


if __name__ == "__main__":
    sys.exit(main())
