"""What is logged with every training run and with its parent: names, data and figures."""

from collections.abc import Sequence
from typing import Any

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset
from feedforward.data import manifest as manifest_file
from feedforward.experiments.plan import Member, Pack
from feedforward.tracking import DataInput


def names(pack: Pack, member: Member) -> dict[str, Any]:
    """The names of the dataset and the variant, to be logged with the params of a run."""
    return {"dataset": pack.dataset, "variant": member.variant}


def inputs(pack: Pack) -> list[DataInput]:
    """The parts of the data that a pack is trained, validated and tested on."""
    manifest, source = manifest_file.load(pack.dataset), f"data/vectorized/{pack.dataset}"
    is_all = pack.train == "all" and not any("train_share" in member.parameters for member in pack.members)
    parts = [
        DataInput(f"{pack.dataset}-{'all' if is_all else 'training'}", manifest["train"], "training", f"{source}/train")
    ]
    if pack.validate == "validation":
        parts.append(DataInput(f"{pack.dataset}-validation", manifest["train"], "validation", f"{source}/train"))
    if pack.validate == "test" or pack.role == "final":
        parts.append(DataInput(f"{pack.dataset}-test", manifest["test"], "test", f"{source}/test"))
    return parts


def pictures(runs: Sequence[RunResult], dataset: Dataset) -> dict[str, str]:
    """The curves of runs of one variant, and the confusion matrix of final runs, as SVG, by file name."""
    from feedforward.reports import run_figures  # importing SciPy takes a second

    drawn = {"curves": run_figures.curves(runs, dataset.title), "confusion": run_figures.confusion(runs, dataset)}
    return {f"figures/{name}.svg": svg for name, svg in drawn.items() if svg}


def calibration_picture(runs: Sequence[RunResult], dataset: Dataset) -> dict[str, str]:
    """The calibration of runs of one variant as SVG, by file name; empty if they did not record it."""
    from feedforward.reports import run_figures  # importing SciPy takes a second

    svg = run_figures.calibration(runs, dataset)
    return {"figures/calibration.svg": svg} if svg else {}
