"""Writes reports/comparison from the results of all runs: tables, figures, verdicts, metrics, curves and the page.

The output depends only on the arguments of `compare`: a rerun writes the same bytes.
"""

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group

from feedforward.analysis.findings import Findings, find
from feedforward.analysis.run_result import SCORES, RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Params
from feedforward.core import atomic_files, demo_workspace, paths, processes
from feedforward.experiments import misclassified
from feedforward.reports import baseline_section, data_tables, error_tables, tables, terminal
from feedforward.reports.comparison_page import Additions, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LECTURE = "lecture"  # the protocol of the slides, shown in addition to the main one
HEADLINES = ("best_val_cross_entropy", "test_accuracy", "test_mae")
FOREST = ("best_val_cross_entropy", "best_epoch", "slope")  # statistics whose differences are drawn


def compare(
    results: Iterable[RunResult],
    params: Params,
    protocol: str = "fair",
    folder: Path | None = None,
    additions: Additions | None = None,
    own_process: bool = False,
    baseline_results: Iterable[RunResult] = (),
) -> Path:
    """Compare the variants of each dataset and write everything into `folder`, atomically.

    additions: additional content of the page. Results of protocol `lecture` are shown as well if there are any.
    own_process: draw in a separate process, so that the caller's other threads can continue.

    Raises:
        DataError: there is no result of the protocol, or a result does not belong to params.
    """
    results = list(results)
    findings, additions = find(results, params, protocol, baseline_results), additions or Additions()
    references = {entry.name: baseline_section.references(entry) for entry in findings}
    additions = replace(additions, references=references | dict(additions.references))
    if protocol != LECTURE and any(run.protocol == LECTURE for run in results):
        additions = replace(additions, lecture=find(results, params, LECTURE))
    folder = folder or paths.comparison()
    with atomic_files.writing_folder(folder, "compare") as new_folder, _drawing_pool(own_process) as pool:
        drawing = pool.submit(pictures, findings)
        for name, text in [*_texts(findings), ("index.html", render(findings, additions))]:
            atomic_files.write_text(new_folder / name, text, "compare.text")
        for name, picture in drawing.result():
            with atomic_files.writing(new_folder / "figures" / f"{name}.png", "compare.figure") as file:
                file.write(picture)
    return folder


def gather(results: Iterable[RunResult], params: Params, computed_by: Mapping[str, Any]) -> Additions:
    """Additional content of the page: validation summaries, data digests, library versions, misclassified samples.

    computed_by: what computed the results (provenance.computed_by), which may have been on another machine.

    Raises:
        DataError: raw or vectorized data are missing, or do not belong together.
    """
    validation = {
        name: atomic_files.read_json(path)
        for name in params.datasets
        if (path := paths.validation(name) / "summary.json").is_file()
    }
    origin = {f"data of {name}": summary["data_digest"] for name, summary in validation.items()}
    origin["libraries"] = ", ".join(f"{name} {version}" for name, version in computed_by["libraries"].items())
    finals = {run.dataset: run for run in sorted(results, key=lambda run: -run.seed) if run.hardest}
    hardest = {
        name: misclassified.show(name, params.datasets[name], run.hardest) for name, run in sorted(finals.items())
    }
    commands = ("make demo" if demo_workspace.is_current() else "make run",)
    return Additions(validation=validation, origin=origin, hardest=hardest, commands=commands)


def render_table(
    results: Iterable[RunResult], params: Params, protocol: str = "fair", baseline_results: Iterable[RunResult] = ()
) -> Group:
    """The tables and the verdicts for a terminal, to be printed by rich. baseline_results: results of baselines."""
    return terminal.show(find(results, params, protocol, baseline_results))


def summary(findings: Iterable[Findings]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Dataset → variant → statistic → mean."""
    return {
        entry.name: {
            variant: {name: data_tables.rounded(estimate.mean) for name, estimate in estimates.items()}
            for variant, estimates in entry.summary.items()
        }
        for entry in findings
    }


def metrics(findings: Iterable[Findings]) -> dict[str, dict[str, dict[str, float | None]]]:
    """The values in `summary` that `dvc metrics` and `dvc exp show` list."""
    return {
        dataset: {
            variant: {name: mean for name, mean in means.items() if name in HEADLINES}
            for variant, means in variants.items()
        }
        for dataset, variants in summary(findings).items()
    }


def _texts(findings: Sequence[Findings]) -> Iterator[tuple[str, str]]:
    yield "table.csv", data_tables.summary_csv(findings)
    yield "table.md", tables.summary_markdown(findings)
    yield "differences.csv", data_tables.differences_csv(findings)
    yield "verdicts.json", atomic_files.canonical_json(data_tables.verdicts_json(findings), indent=2) + "\n"
    yield "verdicts.md", tables.verdicts_markdown(findings)
    yield "metrics.json", atomic_files.canonical_json(metrics(findings), indent=2) + "\n"
    yield "summary.json", atomic_files.canonical_json(summary(findings), indent=2) + "\n"
    yield "plots/validation-loss.csv", data_tables.mean_curves_csv(findings, of_score=False)
    yield "plots/validation-score.csv", data_tables.mean_curves_csv(findings, of_score=True)
    yield "plots/confusion.csv", error_tables.confusion_csv(findings)
    for entry in findings:
        yield f"curves/{entry.name}.csv", data_tables.curves_csv(entry)


def _drawing_pool(own_process: bool) -> Executor:
    if not own_process:
        return ThreadPoolExecutor(1)
    spawning = multiprocessing.get_context("spawn")  # a forked process would inherit locks held by other threads
    return ProcessPoolExecutor(1, spawning, processes.end_with_ancestors)


def pictures(findings: Iterable[Findings]) -> list[tuple[str, bytes]]:
    """Name and PNG of each figure."""
    from feedforward.reports import figures  # matplotlib takes a second to import

    return [(f"{entry.name}-{name}", figures.png(figure)) for entry in findings for name, figure in draw(entry)]


def draw(findings: Findings) -> Iterator[tuple[str, "Figure"]]:
    """Yield the name and the figure of each plot for a dataset: the four kinds from the lecture, then others."""
    from feedforward.reports import figures

    runs, baseline, others = findings.runs, findings.baseline, [v for v in findings.variants if v != findings.baseline]
    if baseline in findings.variants:
        for name, curve in (("loss", "cross_entropy"), (runs[0].score, runs[0].score)):
            title = f"{findings.name}: training and validation {SCORES.get(name, name)} of {baseline}"
            yield name, figures.training_and_validation(runs, baseline, curve, title)
        for other in others:
            title = f"{findings.name}: validation loss of {baseline} and {other}"
            yield f"{baseline}-and-{other}", figures.validation_loss_of_two(runs, baseline, other, title)
    if any(run.role == "final" for run in runs):
        yield (
            "final",
            figures.training_of_final(runs, baseline, f"{findings.name}: training of the final model ({baseline})"),
        )
    if findings.variants:
        title = f"{findings.name}: validation loss of all variants"
        levels = baseline_section.levels(findings)
        yield "validation-loss", figures.validation_loss_of_all(runs, findings.variants, title, levels)
    panels = [
        (STATISTICS[name].label, differences)
        for name in FOREST
        if (differences := [difference for difference in findings.differences if difference.statistic == name])
    ]
    if panels:
        yield "differences", figures.forest(panels, f"{findings.name}: differences from {baseline}")
