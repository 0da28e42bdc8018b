"""`make audit` prints pip-audit's findings, and exits with 1 if a package is vulnerable or could not be looked up."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import scripts

SCRIPT = Path(__file__).parents[1] / "requirements" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    return scripts.load(SCRIPT)


SAFE = {"name": "safe", "version": "1.0", "vulns": []}
VULNERABLE = {
    "name": "old",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"], "aliases": []}],
}
SKIPPED = {"name": "unknown", "skip_reason": "could not be audited: unknown (1.0)"}


@pytest.mark.parametrize(
    ("packages", "problem", "code", "lines"),
    [
        # a package that several lock files list counts once
        ([SAFE, SAFE], "", 0, ["audit: looked up 1 of 1 packages; vulnerabilities found: 0"]),
        (
            [SAFE, VULNERABLE],
            "",
            1,
            [
                "old 2.0: PYSEC-1, fixed in 2.1, 3.0",
                "audit: looked up 2 of 2 packages; vulnerabilities found: 1",
            ],
        ),
        (
            [SAFE, SKIPPED],
            "",
            1,
            ["audit: looked up 1 of 2 packages; vulnerabilities found: 0; not looked up: unknown"],
        ),
        ([SKIPPED], "", 1, ["audit: no package could be looked up (could not be audited: unknown (1.0)); run"]),
        ([], "no route", 1, ["audit: no package could be looked up (no route); run `make audit` with"]),
    ],
)
def test_exit_code_is_1_if_a_package_is_vulnerable_or_could_not_be_looked_up(
    audit: ModuleType, packages: list[dict[str, Any]], problem: str, code: int, lines: list[str]
) -> None:
    printed, exit_code = audit.report(packages, problem)
    assert exit_code == code
    assert len(printed) == len(lines)
    assert all(line.startswith(start) for line, start in zip(printed, lines, strict=True))


def test_audit_without_a_network_prints_one_line(tmp_path: Path) -> None:
    cache_folders = {
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_TOOL_DIR": str(tmp_path / "tools"),
    }  # empty, so uv has no copy of pip-audit; uv locks both folders
    environment = os.environ | cache_folders | {"UV_OFFLINE": "1"}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    [line] = done.stdout.splitlines()
    assert line.startswith("audit: no package could be looked up (")
