"""Look up known vulnerabilities in the locked packages: python requirements/audit.py. Needs a network connection.

Runs pip-audit once for all requirements/*.txt, without installing anything. If pip-audit cannot look up a package, it
skips that package and still succeeds, so this script counts skipped packages and fails if there are any.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 600  # s
HERE = Path(__file__).resolve().parent
COMMAND = ("uv", "tool", "run", "--quiet", "pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off")


def look_up(files: Sequence[Path]) -> tuple[list[dict[str, Any]], str]:
    """Return pip-audit's entry for each package; if there is none, also return the reason."""
    options = [argument for file in files for argument in ("--requirement", str(file))]
    command = [str(Path(sys.executable).with_name(COMMAND[0])), *COMMAND[1:], "--format=json", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except OSError as error:
        return [], str(error)
    except subprocess.TimeoutExpired:
        return [], f"no answer from pip-audit within {TIMEOUT} s"
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit printed neither a result nor an error"])[-1]
    return packages, ""


def report(packages: Sequence[Mapping[str, Any]], problem: str) -> tuple[list[str], int]:
    """Return the lines to print, and the exit code: 0 if every package was looked up and none is vulnerable."""
    distinct = {(package["name"], package.get("version")): package for package in packages}.values()
    looked_up = [package for package in distinct if "skip_reason" not in package]
    if not looked_up:
        reason = problem or (next(iter(distinct))["skip_reason"] if distinct else "no package is locked")
        remedy = "run `make audit` with a network connection to pip-audit's advisory service"
        return [f"audit: no package could be looked up ({reason}); {remedy}"], 1
    vulnerabilities = [_line(package, entry) for package in looked_up for entry in package["vulns"]]
    skipped = [package["name"] for package in distinct if "skip_reason" in package]
    summary = (
        f"audit: looked up {len(looked_up)} of {len(distinct)} packages; vulnerabilities found: {len(vulnerabilities)}"
    )
    summary += f"; not looked up: {', '.join(skipped)}" if skipped else ""
    return [*vulnerabilities, summary], int(bool(vulnerabilities or skipped))


def _line(package: Mapping[str, Any], vulnerability: Mapping[str, Any]) -> str:
    versions = ", ".join(vulnerability["fix_versions"])
    fixed = f"fixed in {versions}" if versions else "not fixed in any version yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, {fixed}"


if __name__ == "__main__":
    lines, code = report(*look_up(sorted(HERE.glob("*.txt"))))
    print("\n".join(lines))
    sys.exit(code)
