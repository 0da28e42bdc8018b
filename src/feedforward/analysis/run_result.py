"""RunResult: the result of one training run, without run IDs or timestamps, so that a rerun gives the same bytes."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from feedforward.core import atomic_files
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class RunResult:
    """The result of training one variant once with one seed.

    role: `replica` (compared on the validation split) or `final` (tested once).
    curves: one value per epoch for `loss`, `accuracy`, `cross_entropy` and, with validation, for the same names with
        the prefix `val_`. `loss` is Keras's loss and includes the L2 penalty; `cross_entropy` does not.
        Regressions have `mae` (in the unit of the target) instead of `accuracy`, and their `cross_entropy` is the
        squared error in units of the target's variance: the cross-entropy of a Gaussian up to constants. With
        validation, runs that predict classes or labels also have `calibration/…` (models.calibration.Calibration).
    metrics: metrics of the run, finite floats (`best_epoch` counts from 1).
    weights_digest: SHA-256 (hex) of the trained weights.
    measured: metrics that training recorded in addition to the curves. For a run with validation:
        `best_cross_entropy` and `best_accuracy` (or `best_mae`) on its training samples, in inference mode, at its best
        epoch; `constant_val_cross_entropy`, the validation loss of the best constant prediction; `dead_units`, the
        number of hidden units that are 0 on every training sample that was checked.
    hardest: for a final run, the test samples with the largest loss (attribution.hardest).
    samples: number of samples that the run used, by split: `train`, `validation`, `test`.
    reliability: bins (number of samples, mean confidence, share of correct predictions) on the validation split after
        the `best` and the `last` epoch, and with scaled probabilities: `best_scaled`, `last_scaled`.
    errors: for a final run, its errors on the test samples (error_analysis.analyze).
    """

    dataset: str
    variant: str
    seed: int
    protocol: str
    role: str
    curves: dict[str, list[float]]
    metrics: dict[str, float]
    weights_digest: str
    measured: dict[str, float] = field(default_factory=dict)
    hardest: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[str, int] = field(default_factory=dict)
    reliability: dict[str, list[list[float]]] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> str:
        """Name of the curve that is shown with the loss: `accuracy` or `mae`."""
        return score_of(self.curves)

    @property
    def draws_split(self) -> bool:
        """Whether the seed draws the split: protocol `lecture` has one for all seeds, and final runs have none."""
        return self.protocol == "fair" and self.role == "replica"

    @property
    def overlap(self) -> float | None:
        """n_val / n_train, used in intervals for new data; None if unknown or if the seed did not draw the split.

        Under protocol `lecture`, all seeds are validated on the same split.
        """
        train, validation = self.samples.get("train"), self.samples.get("validation")
        return validation / train if train and validation and self.protocol == "fair" else None


SCORES = {"accuracy": "accuracy", "mae": "mean absolute error"}  # curve → label


def score_of(curves: Iterable[str]) -> str:
    """`mae` for regressions, otherwise `accuracy`."""
    return "mae" if "mae" in curves else "accuracy"


def save(
    path: Path,
    results: Iterable[RunResult],
    cpu: str,
    point: str = "results",
    *,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write results as JSON in a fixed order.

    cpu: the kind of CPU that computed them (provenance.cpu_digest). point: the crash point (atomic_files.crash_point).
    facts: what else the file records about the results; see `fact`.
    """
    ordered = sorted(results, key=lambda r: (r.dataset, r.protocol, r.role, r.variant, r.seed))
    atomic_files.write_json(path, {"cpu": cpu, **facts, "runs": [asdict(result) for result in ordered]}, point)


def load(path: Path, stage: str = "train") -> list[RunResult]:
    """Read results that `save` wrote. stage: the stage of dvc.yaml that writes them, for the error message.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _explain_errors(path, stage):
        return [RunResult(**entry) for entry in atomic_files.read_json(path)["runs"]]


def cpu_kind(path: Path) -> str:
    """The kind of CPU that computed the results.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _explain_errors(path):
        return str(atomic_files.read_json(path)["cpu"])


def fact(path: Path, name: str) -> Any:
    """What the file records about its results under this name; None if nothing, as in files of old versions."""
    return atomic_files.read_json(path).get(name)


@contextlib.contextmanager
def _explain_errors(path: Path, stage: str = "train") -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); run `dvc repro {stage}`") from None
