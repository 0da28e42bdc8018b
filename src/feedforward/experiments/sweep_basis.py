"""What the results of a sweep depend on, to find out whether a saved one has the current parameters, data and code."""

import logging
from collections.abc import Sequence
from pathlib import Path

from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import FeedforwardError
from feedforward.data import manifest as manifest_file
from feedforward.experiments import plan, sweep
from feedforward.experiments.search_space import Point
from feedforward.experiments.sweep import Sweep

log = logging.getLogger(__name__)


def digest(params: Params, dataset: str, variant: str, points: Sequence[Point]) -> str:
    """SHA-256 (hex) of the parameters of the runs at these points, of the data, and of the code of the results.

    Parameters that a point replaces do not count: the best values of a sweep may be written to params.yaml.

    Raises:
        KeyError: params.yaml has no such dataset or variant. ParamsError: a point is not valid.
        DataError: the data are not vectorized.
    """
    trials, _ = sweep.trials(Sweep(params, dataset, variant, axes=(), seeds=1), points, [0])
    runs = sorted(atomic_files.digest(member.parameters) for trial in trials for _, member in trial.members)
    code = code_digest((*plan.WEIGHTS, *plan.EVALUATION))
    return atomic_files.digest({"runs": runs, "data": manifest_file.load(dataset)["data_digest"], "code": code})


def is_current(folder: Path, params: Params) -> bool:
    """Whether a folder contains a sweep with the current parameters, data and code; otherwise, a warning says so."""
    try:
        saved = atomic_files.read_json(folder / "sweep.json")
        points = [trial["values"] for trial in saved["trials"]]
        if saved["basis"] == digest(params, saved["dataset"], saved["variant"], points):
            return True
    except (OSError, ValueError, TypeError, KeyError, FeedforwardError):  # a sweep of an old version, or no sweep
        pass
    reason = "its sweep.json cannot be read, or parameters, data or code have changed since"
    log.warning("%s: is left out, because %s; run the sweep again", folder, reason)
    return False
