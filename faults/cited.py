"""Runs the tests that the rows of faults/rows.py cite, in a single pytest run."""

import collections
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from clean_environment import environment

from faults import ROOT, workspace

FUZZ = 4  # factor by which more Hypothesis examples are run than in `make test`


@dataclass(frozen=True)
class Outcome:
    """How many cases of one test passed, and how many failed or were skipped (both count as failed).

    problem: one line about the first case that did not pass.
    """

    passed: int = 0
    failed: int = 0
    problem: str = ""


def run(tests: Iterable[str], short: bool) -> Mapping[str, Outcome]:
    """Run tests (`FILE::FUNCTION` below tests/); return the outcome of each.

    short: skip tests marked `slow`, and run no additional Hypothesis examples.
    """
    tests = sorted(set(tests))
    missing = {test: Outcome(failed=1, problem="this test does not exist") for test in tests if not exists(test)}
    existing = [test for test in tests if test not in missing]
    if not existing:
        return missing
    parallel = ["-n", str(workspace.job_count()), "--dist", "loadfile", "--no-loadscope-reorder"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "-p", "no:cacheprovider"]
        command += [*(["-m", "not slow"] if short else parallel), *(f"tests/{test}" for test in existing)]
        variables = environment(FUZZ=str(1 if short else FUZZ))
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
        if not report.is_file():
            return {test: Outcome(failed=1, problem=done.stdout[-300:].replace("\n", " ")) for test in tests}
        cases = collections.defaultdict(list)
        for case in ElementTree.parse(report).iter("testcase"):
            cases[_test_of(case)].append(case)
    return missing | {test: _outcome(cases[test]) for test in existing}


def exists(test: str) -> bool:
    """Return whether the test function exists."""
    file, _, function = test.partition("::")
    path = ROOT / "tests" / file
    return path.is_file() and re.search(rf"^def {function}\(", path.read_text(encoding="utf-8"), re.M) is not None


def _test_of(case: ElementTree.Element) -> str:
    folders = case.get("classname", "").removeprefix("tests.").replace(".", "/")
    return f"{folders}.py::{case.get('name', '').partition('[')[0]}"


def _outcome(cases: list[ElementTree.Element]) -> Outcome:
    problems = [element for case in cases for element in case if element.tag in ("failure", "error", "skipped")]
    first = (problems[0].get("message") or problems[0].tag).splitlines()[0][:200] if problems else ""
    return Outcome(len(cases) - len(problems), len(problems), first)
