"""Known weaknesses of the locked packages: python requirements/audit.py. Needs the network.

pip-audit is asked about all requirements/*.txt at once; it installs nothing of them. Where it cannot ask, it skips
package by package and succeeds all the same, so what it skipped is counted here.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 600  # s
HERE = Path(__file__).resolve().parent
COMMAND = ("uv", "tool", "run", "--quiet", "pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off")


def ask(files: Sequence[Path]) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit says of each package; and why it says nothing, where it does not."""
    named = [argument for file in files for argument in ("--requirement", str(file))]
    command = [str(Path(sys.executable).with_name(COMMAND[0])), *COMMAND[1:], "--format=json", *named]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except OSError as error:
        return [], str(error)
    except subprocess.TimeoutExpired:
        return [], f"no answer within {PATIENCE} s"
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return packages, ""


def told(packages: Sequence[Mapping[str, Any]], problem: str) -> tuple[list[str], int]:
    """Lines for people, and the exit code: 0 when every package was asked about and none is known to be weak."""
    seen = {(package["name"], package.get("version")): package for package in packages}.values()
    asked = [package for package in seen if "skip_reason" not in package]
    if not asked:
        why = problem or (next(iter(seen))["skip_reason"] if seen else "no package is locked")
        return [f"audit: no package could be asked about ({why}); run `make audit` where the network allows it"], 1
    weak = [_told_of(package, flaw) for package in asked for flaw in package["vulns"]]
    skipped = [package["name"] for package in seen if "skip_reason" in package]
    rest = f"; not asked about: {', '.join(skipped)}" if skipped else ""
    line = f"audit: {len(weak)} known weaknesses in {len(asked)} of {len(seen)} packages that were asked about{rest}"
    return [*weak, line], int(bool(weak or skipped))


def _told_of(package: Mapping[str, Any], flaw: Mapping[str, Any]) -> str:
    mended = ", ".join(flaw["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {flaw['id']}, mended in {mended}"


if __name__ == "__main__":
    lines, code = told(*ask(sorted(HERE.glob("*.txt"))))
    print("\n".join(lines))
    sys.exit(code)
