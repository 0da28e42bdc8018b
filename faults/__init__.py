"""Injects the faults listed in docs/reliability.md into the real software: `python -m faults`, or `make faults`.

Like the tests, this package uses the small models and data in `tests/support`.
"""

import sys
from pathlib import Path

from feedforward.tracking import settings

settings.apply()  # MLflow reads its environment variables when it is imported
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
