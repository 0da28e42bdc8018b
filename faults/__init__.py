"""Injects every fault in docs/reliability.md into the real parts: `python -m faults`, or `make faults`.

Like the tests, it takes small models and data from `tests/support`.
"""

import sys
from pathlib import Path

from feedforward.tracking import settings

settings.apply()  # MLflow reads its switches when it is imported
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
