"""`make audit` prints pip-audit's findings, and its exit code is 1 if a package is vulnerable or was not looked up."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOUND = {"name": "sound", "version": "1.0", "vulns": []}
WEAK = {"name": "weak", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"], "aliases": []}]}
SKIPPED = {"name": "unknown", "skip_reason": "could not be audited: unknown (1.0)"}


@pytest.mark.parametrize(
    ("packages", "problem", "code", "lines"),
    [
        ([SOUND, SOUND], "", 0, ["audit: 0 known weaknesses in 1 of 1 packages that were asked about"]),
        (
            [SOUND, WEAK],
            "",
            1,
            [
                "weak 2.0: PYSEC-1, mended in 2.1, 3.0",
                "audit: 1 known weaknesses in 2 of 2 packages that were asked about",
            ],
        ),
        (
            [SOUND, SKIPPED],
            "",
            1,
            ["audit: 0 known weaknesses in 1 of 2 packages that were asked about; not asked about: unknown"],
        ),
        ([SKIPPED], "", 1, ["audit: no package could be asked about (could not be audited: unknown (1.0)); run"]),
        ([], "no route", 1, ["audit: no package could be asked about (no route); run `make audit` where"]),
    ],
)
def test_exit_code_is_1_if_a_package_is_vulnerable_or_was_not_looked_up(
    audit: ModuleType, packages: list[dict[str, Any]], problem: str, code: int, lines: list[str]
) -> None:
    printed, exit_code = audit.told(packages, problem)
    assert exit_code == code
    assert len(printed) == len(lines)
    assert all(line.startswith(start) for line, start in zip(printed, lines, strict=True))


def test_audit_without_a_network_prints_one_line(tmp_path: Path) -> None:
    cache_folders = {
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_TOOL_DIR": str(tmp_path / "tools"),
    }  # both locked by uv
    environment = os.environ | cache_folders | {"UV_OFFLINE": "1"}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    [line] = done.stdout.splitlines()
    assert line.startswith("audit: no package could be asked about (")
