"""The files of a sweep in reports/sweeps: page, table, plot and JSON, also attached to its run in the store."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feedforward.analysis import selection
from feedforward.analysis.statistics import STATISTICS
from feedforward.core import atomic_files, demo_workspace, paths
from feedforward.experiments import search_space
from feedforward.experiments.optuna_search import INDEPENDENT_TRIALS
from feedforward.experiments.sweep import STATISTIC
from feedforward.experiments.sweep_outcome import Outcome
from feedforward.reports import sweep_page, tables
from feedforward.tracking import Run

if TYPE_CHECKING:
    from feedforward.tracking import Store

BIAS_NOTE = "The best of many trials, chosen on the validation split, looks better there than it is."


def conclude(outcome: Outcome, parent: Run, store: "Store") -> Path:
    """Write the files under reports/sweeps, attach them to the sweep's run and close the run; return the folder."""
    sweep = outcome.sweep
    folder = folder_of(sweep.dataset, [axis.field for axis in sweep.axes])
    files = {
        "index.html": sweep_page.render(_page(outcome)).encode(),
        "sweep.png": _figure(outcome),
        "table.md": _markdown(outcome).encode(),
        "sweep.json": (atomic_files.canonical_json(outcome.as_json(), indent=2) + "\n").encode(),
    }
    with atomic_files.writing_folder(folder, "sweep") as new_folder:
        for name, content in files.items():
            with atomic_files.writing(new_folder / name, "sweep.file") as file:
                file.write(content)
    store.finish(
        parent,
        metrics=_metrics(outcome),
        curves={f"expected_best_{sweep.statistic}": outcome.expected_best},
        params={"dataset": sweep.dataset, "variant": sweep.variant}
        | {axis.field: axis.text.partition("=")[2] for axis in sweep.axes},
        tags=_tags(outcome),
        files=files,
    )
    return folder


def folder_of(dataset: str, fields: Sequence[str]) -> Path:
    """The folder of the last sweep over these fields of the dataset, and of no other sweep.

    The names of datasets may contain hyphens, but those of fields do not, so the last hyphen separates them.
    """
    return paths.sweep(dataset, "+".join(fields))


def _metrics(outcome: Outcome) -> dict[str, float]:
    sweep, (_, best) = outcome.sweep, outcome.ranking.order[0]
    metrics = {"trials": float(len(outcome.summary)), "seeds": float(sweep.seeds)}
    metrics[f"{'lowest' if sweep.better == 'lower' else 'highest'}_mean_{sweep.statistic}"] = best.mean
    metrics |= {f"importance/{field}": share for field, share in outcome.importance.items()}
    for entry in outcome.confirmed[:1]:
        metrics |= {f"fresh_mean_{sweep.statistic}": entry.fresh.mean, "selection_bias": entry.bias.mean}
    return metrics


def _tags(outcome: Outcome) -> dict[str, str]:
    names = {"best": outcome.ranking.order[0][0], "winner": outcome.winner}
    return {tag: outcome.text(name) for tag, name in names.items() if name}


def command(outcome: Outcome) -> str:
    """The command that runs this sweep."""
    sweep = outcome.sweep
    command = ["feedforward", "sweep", sweep.dataset, *(axis.text for axis in sweep.axes), "--variant", sweep.variant]
    command += ["--seeds", str(sweep.seeds)]
    command += ["--trials", str(sweep.trials)] if sweep.trials else []
    command += ["--statistic", sweep.statistic] if sweep.statistic != STATISTIC else []
    command += ["--confirm", str(sweep.confirm), "--fresh-seeds", str(sweep.fresh_seeds)]
    return demo_workspace.prefix() + shlex.join([*command, "--test"] if sweep.test else command)


def _markdown(outcome: Outcome) -> str:
    sweep = outcome.sweep
    header, rows = tables.cells(outcome.table, dict.fromkeys((*tables.REPLICA, sweep.statistic)))
    text = f"# {sweep.dataset}, {sweep.text}\n\n{tables.markdown(header, rows)}\n{outcome.verdict()}. {BIAS_NOTE}\n"
    if outcome.confirmed:
        rows_of_confirmed = [
            (outcome.text(entry.name), *map(outcome.interval, (entry.search, entry.fresh, entry.bias)))
            for entry in outcome.confirmed
        ]
        titles = (outcome.label, "search", "fresh seeds", "selection bias")
        text += f"\n{tables.markdown(titles, rows_of_confirmed)}"
    text += "".join(f"\n{line}.\n" for line in outcome.lines())
    return f"{text}\n    {command(outcome)}\n"


def _page(outcome: Outcome) -> sweep_page.Content:
    sweep, names = outcome.sweep, list(outcome.means)
    return sweep_page.Content(
        title=sweep.params.datasets[sweep.dataset].title,
        text=sweep.text,
        statistic=sweep.statistic,
        better=sweep.better,
        seeds=sweep.seeds,
        trials=_trials(outcome, names),
        tied=[outcome.text(name) for name in outcome.ranking.not_beaten],
        failed=[outcome.text(name) for name in outcome.failed],
        confirmed=[(outcome.text(entry.name), entry) for entry in outcome.confirmed],
        fresh_seeds=outcome.fresh_seeds,
        winner=outcome.text(outcome.winner) if outcome.winner else None,
        tested=_test(outcome),
        expected=outcome.expected_best,
        so_far=selection.best_so_far(list(outcome.means.values()), sweep.better),
        drawn="grid" if not sweep.trials else "independent" if sweep.trials <= INDEPENDENT_TRIALS else "adaptive",
        importance=outcome.importance,
        command=command(outcome),
        notes=[f"{line}." for line in outcome.suspicions],
    )


def _trials(outcome: Outcome, names: Sequence[str]) -> list[sweep_page.Trial]:
    points = [outcome.points[name] for name in names]
    varied = [field for field in points[0] if len({point[field] for point in points}) > 1] or list(points[0])
    short_texts = [search_space.text({field: point[field] for field in varied}) for point in points]
    return [
        sweep_page.Trial(outcome.text(name), short_text, point, outcome.summary[name])
        for name, short_text, point in zip(names, short_texts, points, strict=True)
    ]


def _test(outcome: Outcome) -> tuple[str, str, str] | None:
    """Label, value with interval, and description of the winner's test; None if there was no test."""
    if outcome.tested is None:
        return None
    name, estimate = outcome.tested.headline
    value = tables.interval(estimate, STATISTICS[name].decimals)
    return STATISTICS[name].label.capitalize(), value, outcome.tested_models()


def _figure(outcome: Outcome) -> bytes:
    from feedforward.reports import sweep_figures  # importing matplotlib takes a second
    from feedforward.reports.figure_style import png

    sweep, names = outcome.sweep, list(outcome.summary)
    title = f"{sweep.dataset}: {sweep.variant}, {outcome.label}"
    columns = {axis.field: [outcome.points[name][axis.field] for name in names] for axis in sweep.axes}
    estimates = [outcome.summary[name][sweep.statistic] for name in names]
    if len(columns) == 2 and not sweep.trials:
        means = [entry.mean for entry in estimates]
        return png(
            sweep_figures.heat_map(
                columns, means, title, sweep.seeds, sweep.better, STATISTICS[sweep.statistic].decimals
            )
        )
    samples = [outcome.samples(name) for name in names]
    return png(sweep_figures.against_values(columns, samples, estimates, title, outcome.label))
