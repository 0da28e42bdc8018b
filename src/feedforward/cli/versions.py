"""The commands that sign and backtest model versions: keys, backtest."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from feedforward.cli.options import DatasetArgument, JsonOption
from feedforward.cli.output import escaped, message, print_table

if TYPE_CHECKING:
    from feedforward.promotion.backtest import Comparison, Interval


def keys(as_json: JsonOption = False) -> None:
    """Print the public key for `promotion.key`, after creating a key pair for signing versions if there is none."""
    from feedforward.promotion import signatures

    path, public_key, is_new = signatures.create()
    if as_json:
        print(json.dumps({"key": public_key, "private": str(path), "new": is_new}, indent=2))
        return
    if is_new:
        message(f"created the private key {escaped(str(path))}: keep it secret, and keep a copy")
    message("add this line under `promotion:` in params.yaml, then promote again:")
    print(f"key: {public_key}")


def backtest(
    dataset: DatasetArgument,
    last: Annotated[
        int,
        typer.Option(min=1, max=100, help="Number of previous champions to include."),
    ] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure the latest champions on the current validation split and on accepted user-submitted samples."""
    from feedforward.config.schema import load_params
    from feedforward.core import paths
    from feedforward.promotion import backtest as promotion

    result = promotion.run(load_params(), dataset, last)
    if as_json:
        print(json.dumps(promotion.as_json(result), indent=2))
        return
    for comparison in result.comparisons:
        _show_comparison(comparison, result.champion)
    for line in result.remarks:
        message(f"[yellow]{escaped(line)}[/yellow]")
    for number, reason in result.skipped.items():
        message(f"[yellow]version {number} was skipped: {escaped(reason)}[/yellow]")
    confidence = f"{100 * result.confidence:g} %"
    message(f"loss: {confidence} intervals over samples and the seeds of holdout models, or, on users' samples, over")
    message("samples alone; none if seeds or samples are too few; those of the differences hold simultaneously")
    message("accuracy: one model per version, with Wilson's 95 % interval over samples")
    message(f"plot: {escaped(str(paths.backtest(dataset).relative_to(paths.root())))}/losses.png")


def _show_comparison(comparison: "Comparison", champion: int) -> None:
    from rich.table import Table

    rows = Table(
        "version", "champion since", "loss", "accuracy", "difference", box=None, pad_edge=False,
        title=f"{comparison.title}, {comparison.samples:,}", title_justify="left", caption=comparison.note,
        caption_justify="left",
    )  # fmt: skip
    for score in comparison.scores:
        accuracy = _interval(score.accuracy) if score.accuracy else f"R² {score.r2:.4f}" if score.r2 is not None else ""
        difference = "champion" if score.version == champion else _interval(score.difference, "+")
        rows.add_row(str(score.version), score.since[:10], _interval(score.loss), accuracy, difference)
    print_table(rows)


def _interval(values: "Interval | None", sign: str = "") -> str:
    if values is None:
        return ""
    mean, low, high = values
    text = f"{mean:{sign}.4f}"
    return text if low is None or high is None else f"{text} [{low:{sign}.4f}, {high:{sign}.4f}]"
