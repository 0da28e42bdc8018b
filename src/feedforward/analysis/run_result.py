"""RunResult: what one training run leaves behind, without run ids or times, so that reruns are byte-identical."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class RunResult:
    """One variant, one seed, trained once.

    role: `replica` (compared on the validation split) or `final` (met the test split once).
    curves: per epoch `loss`, `accuracy`, `cross_entropy` and, with a validation split, the same with
        `val_` before; `loss` is Keras's and includes the L2 penalty, `cross_entropy` does not. Where a value
        is learned, `mae` (in the value's unit) stands in the place of `accuracy`, and `cross_entropy` is the task's
        own loss: of regression the squared error in variances of the target, a Gaussian's but for constants.
    metrics: figures of the run, finite floats (`best_epoch` counts from 1).
    weights_digest: SHA-256 (hex) of the trained weights.
    hardest: of a final run, the test samples that it gets most wrong (attribution.hardest).
    """

    dataset: str
    variant: str
    seed: int
    protocol: str
    role: str
    curves: dict[str, list[float]]
    metrics: dict[str, float]
    weights_digest: str
    hardest: list[dict[str, Any]] = field(default_factory=list)

    @property
    def score(self) -> str:
        """The curve beside the loss."""
        return score_of(self.curves)


SCORES = {"accuracy": "accuracy", "mae": "mean absolute error"}  # curve: what people read


def score_of(curves: Iterable[str]) -> str:
    """`accuracy`, or `mae` where a value is learned."""
    return "mae" if "mae" in curves else "accuracy"


def save(path: Path, results: Iterable[RunResult], cpu: str, point: str = "results") -> None:
    """Write results as JSON, in a fixed order; `cpu` is the kind that made them (provenance.cpu_digest)."""
    ordered = sorted(results, key=lambda r: (r.dataset, r.protocol, r.role, r.variant, r.seed))
    atomic_files.write_json(path, {"cpu": cpu, "runs": [asdict(result) for result in ordered]}, point)


def load(path: Path) -> list[RunResult]:
    """Read what `save` wrote.

    Raises:
        DataError: missing or damaged.
    """
    with _readable(path):
        return [RunResult(**entry) for entry in atomic_files.read_json(path)["runs"]]


def made_on(path: Path) -> str:
    """The kind of CPU that made the results.

    Raises:
        DataError: missing or damaged.
    """
    with _readable(path):
        return str(atomic_files.read_json(path)["cpu"])


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); run `dvc repro train`") from None
