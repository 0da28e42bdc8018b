"""The `sweep` command."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedforward.cli.options import DatasetArgument, JsonOption, SeedsOption, variant_names
from feedforward.cli.output import escaped, message, print_table
from feedforward.core import demo_workspace
from feedforward.core.errors import FeedforwardError, ParamsError

if TYPE_CHECKING:
    from feedforward.experiments.sweep import Sweep
    from feedforward.experiments.sweep_outcome import Outcome

MIN_FRESH_SEEDS = 3  # unless --fresh-seeds is given; fewer seeds give no useful interval


def sweep(
    dataset: DatasetArgument,
    values: Annotated[
        list[str],
        typer.Argument(
            help="Variant or training fields: FIELD=VALUE,VALUE… to list values, or FIELD=LOW..HIGH to search a range."
        ),
    ],
    variant: Annotated[
        str | None,
        typer.Option(help="Variant to change. Default: the variant of the final model.", autocompletion=variant_names),
    ] = None,
    seeds: SeedsOption = None,
    trials: Annotated[int, typer.Option(min=0, max=1000, help="Number of trials in a search; 0: the full grid.")] = 0,
    statistic: Annotated[
        str,
        typer.Option(
            help="Statistic for comparing trials: "
            "best_ or last_ followed by val_cross_entropy, val_accuracy or val_mae."
        ),
    ] = "best_val_cross_entropy",
    confirm: Annotated[
        int, typer.Option(min=0, max=20, help="Number of best trials to train again with fresh seeds; 0: none.")
    ] = 3,
    fresh_seeds: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Number of fresh seeds. Default: the value of --seeds, but at least 3."),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Evaluate the confirmed winner on the test split, once per sweep.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Try values, compare them across seeds, and train the best again with fresh seeds; finished runs are reused.

    The best of many trials looks better than it is. Training it again with seeds that the search never used gives an
    estimate without this selection bias.
    """
    from feedforward.config.schema import load_params
    from feedforward.data import consistency
    from feedforward.experiments import search_space

    params = load_params()
    variant = variant or params.dataset(dataset).training.final.variant
    axes = search_space.parse(values, params, dataset, variant, search=trials > 0)
    compared_by = search_space.statistic(statistic, params.datasets[dataset])
    if test and not confirm:
        raise ParamsError(["--test: only a confirmed trial is tested, so --confirm must be at least 1, got 0"])
    consistency.require_valid(dataset, params.datasets[dataset])

    from feedforward.experiments.sweep import Sweep

    seeds = seeds or params.seeds
    fresh_seeds = fresh_seeds or max(MIN_FRESH_SEEDS, seeds)
    requested = Sweep(params, dataset, variant, axes, seeds, trials, compared_by, confirm, fresh_seeds, test)
    outcome, folder = _run(requested)
    _show(outcome, folder, as_json)


def _run(requested: "Sweep") -> "tuple[Outcome, Path]":
    from feedforward.core import processes
    from pipelines import environment, locks, prefect_server

    environment.apply()
    title = "feedforward sweep"
    with locks.job(title), locks.training(title), prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import sweep_flow

        return sweep_flow.run(requested, wait_for_server)


def _show(outcome: "Outcome", folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        from feedforward.reports import terminal

        lines = [outcome.verdict(), *outcome.lines()]
        print_table(terminal.show_sweep(outcome.sweep.text, outcome.table, outcome.sweep.statistic, lines))
        message(f"page, plot and table: {escaped(str(folder))}   ·   runs: `{demo_workspace.prefix()}feedforward ui`")
    if outcome.failed:
        raise FeedforwardError(
            f"could not be trained: {'; '.join(map(outcome.text, outcome.failed))}; see MLflow for the reasons"
        )
