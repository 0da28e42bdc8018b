"""Every fault of docs/reliability.md, injected into the real parts: `python -m faults`, or `make faults`.

Small models and data come from `tests/support`, as in the tests.
"""

import sys
from pathlib import Path

from feedforward.tracking import settings

settings.apply()  # MLflow reads its switches when it is imported
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
