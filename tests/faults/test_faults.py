"""`python -m faults`: its rows are those of the docs, every crash point is listed, and failures are reported."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import bad_requests
import damaged
import mistakes
import pytest

from faults import ROOT, __main__, cited
from faults.cited import Outcome
from faults.context import Context, in_subprocess
from faults.kills import POINTS, STEPS, check_audit_log, draw_moments
from faults.rows import ROWS, Row

# Crash points that no step of faults/kills.py reaches: in other commands, in the service, on the retraining page, while
# a version is downloaded from a tracking server, and where the holder of a lock is recorded
OTHER_CRASH_POINTS = {
    "backtest",
    "key",
    "template",
    "champion",
    "init",
    "describe",
    "study",
    "decide",
    "decide.file",
    "sweep",
    "sweep.file",
    "retraining",
    "fetch_version",
    "demo",
    "export",
    "import",
    "requests",
    "request_drift",
    "request_alerts",
    "shadow",
    "holder",
    "dvc_config",
    "lecture",
}


def test_every_crash_point_in_the_code_is_listed() -> None:
    text = "".join(path.read_text() for folder in ("src", "pipelines") for path in (ROOT / folder).rglob("*.py"))
    points = set(re.findall(r'atomic_files\.crash_point\("([\w.]+)"\)', text))
    folders = set(re.findall(r'atomic_files\.writing_folder\(.*"([\w.]+)"\)', text))
    writers = r"atomic_files\.(?:writing|write_text|write_json)|run_result\.save"
    names = set(re.findall(rf'(?:{writers})\(.*, "([\w.]+)"(?:, facts=\w+)?\)', text))
    points -= {"shard.encoded"}  # in a cluster worker; see tests/pipelines/test_dask_text.py
    points -= {"rollback.after_log"}  # see tests/feedforward/promotion/test_rollback.py
    points |= {f"{name}.before_rename" for name in ({"write"} | names | folders) - OTHER_CRASH_POINTS}
    points |= {f"{name}.between_renames" for name in folders - OTHER_CRASH_POINTS}
    assert set(POINTS) == points
    assert set(POINTS.values()) == set(STEPS)


def test_rows_are_those_of_the_docs_and_cite_existing_tests() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    documented = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert documented == [row.number for row in ROWS] == list(range(1, 37))
    missing = [test for row in ROWS for test in row.tests if not cited.exists(test)]
    assert not missing


@pytest.mark.parametrize(
    ("row", "counted"),
    [
        (3, {"damaged files": damaged.FILES}),
        (4, {"hostile archives": damaged.ARCHIVES}),
        (
            21,
            {
                "invalid values": mistakes.PARAMS,
                "invalid files": mistakes.FILES,
                "invalid command lines": mistakes.COMMANDS,
            },
        ),
        (26, {"bad requests": bad_requests.REQUESTS}),
    ],
)
def test_documented_numbers_of_cases_are_those_of_the_lists(row: int, counted: dict[str, Sequence[object]]) -> None:
    lines = (ROOT / "docs" / "reliability.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"| {row} |")]
    assert [f"{len(cases)} {noun}" for noun, cases in counted.items() if f"{len(cases)} {noun}" not in line] == []


def test_kill_times_cover_each_step_evenly_and_are_reproducible() -> None:
    seconds = {"short": 1.0, "long": 9.0}
    moments = draw_moments(seconds, 100, seed=1)
    assert moments == draw_moments(seconds, 100, seed=1)
    assert all(0 <= delay < seconds[name] for name, delay in moments)
    assert [sum(name == step for name, _ in moments) for step in seconds] == [50, 50]
    assert max(delay for name, delay in moments if name == "long") > 8


def test_a_gap_in_an_audit_log_is_detected() -> None:
    def line(decision: str, before: int | None, champion: int | None) -> dict[str, object]:
        return {"decision": decision, "before": before, "champion": champion}

    entries = [line("promoted", None, 1), line("promoted", 1, 2), line("finished", 1, 2), line("kept", 2, 2)]
    check_audit_log(entries)
    with pytest.raises(AssertionError, match="a gap"):
        check_audit_log([entries[0], entries[3]])


def failing_row(error: Exception) -> Row:
    def fail(_: Context) -> str:
        raise error

    return Row(1, "it", scenarios=(fail,))


def test_every_failure_is_reported_in_one_line(tmp_path: Path) -> None:
    context = Context(tmp_path, short=True)
    for error, message in (
        (AssertionError("two\nlines"), "  1 FAILED  it: two lines"),
        (KeyError("odd"), "  1 FAILED  it: KeyError: 'odd' (__main__.py:"),
        (AssertionError(), "  1 FAILED  it: AssertionError (__main__.py:"),
    ):
        text = __main__.run_row(failing_row(error), context, {}).text()
        assert text.startswith(message)
        assert text.endswith(" fail)") or "two" in text  # a message of the row itself needs no location
        assert "\n" not in text
    assert __main__.run_row(Row(2, "that"), context, {}).text() == "  2 FAILED  that: nothing checks this row yet"
    row = Row(3, "this", ("a.py::test_b",))
    assert __main__.run_row(row, context, {"a.py::test_b": Outcome(2)}).text() == "  3 passed  this: 2 tests"
    failed = __main__.run_row(row, context, {"a.py::test_b": Outcome(2, 1, "x != y")})
    assert failed.text() == "  3 FAILED  this: a.py::test_b: x != y"


def empty_assertion(_: Context) -> str:
    raise AssertionError


@pytest.mark.slow
def test_an_assertion_without_a_message_reports_its_location(tmp_path: Path) -> None:
    row = Row(1, "it", scenarios=(in_subprocess(empty_assertion),))
    observed = __main__.run_row(row, Context(tmp_path, short=True), {}).observed
    assert observed.startswith("AssertionError (")
    assert observed.endswith(" empty_assertion)")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_short_run_of_one_row_passes(tmp_path: Path) -> None:
    """Only row 24 is run, because other tests cover kills, concurrent writers and tampering."""
    command = [sys.executable, "-m", "faults", "--short", "--scenarios-only", "--json", str(tmp_path / "faults.json")]
    done = subprocess.run([*command, "--row", "24"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["passed"] for row in json.loads((tmp_path / "faults.json").read_text())["rows"]] == [True]
    assert [line[:10] for line in done.stdout.splitlines()] == [" 24 passed", "1 passed, "]


@pytest.mark.slow
def test_cases_of_a_cited_test_are_counted_and_a_missing_test_is_reported() -> None:
    outcomes = cited.run(
        ["feedforward/core/test_redaction.py::test_names_of_secrets_are_recognized", "feedforward/test_x.py::test_y"],
        True,
    )
    assert outcomes["feedforward/core/test_redaction.py::test_names_of_secrets_are_recognized"].passed > 5
    assert outcomes["feedforward/test_x.py::test_y"].problem == "this test does not exist"
