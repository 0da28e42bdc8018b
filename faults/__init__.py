"""Every fault of docs/reliability.md, tried on the real parts: `python -m faults`, or `make faults`.

Here as in the tests, small models and data come from `tests/support`.
"""

import sys
from pathlib import Path

from feedforward.tracking import settings

settings.apply()  # MLflow reads its switches when it is imported
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
