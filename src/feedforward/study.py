"""The study: the lecture's comparison with many seeds, as a page for docs/."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feedforward import comparison, storage, tables
from feedforward.findings import Findings, find
from feedforward.params import Params
from feedforward.results import RunResult

FIGURES = ("validation-loss", "differences")  # of comparison.draw, shown on the page
PAGE = """# What the lecture's comparison looks like with many seeds

The slides train each variant once and compare the curves by eye. Here each narrow variant was trained with {seeds}
seeds and each wide one with {wide_seeds}, on the real data; the rest is as on the slides. `make study` writes this
page; the machine had {machine}.

{interval} A *verdict* is a claim of the slides, judged over seeds with Holm's correction over the claims of its data
set (docs/comparison.md).

"""
PROTOCOLS = """## Protocol `lecture` beside protocol `fair`

The figures above are those of protocol `fair`: every variant learns from the same training split and is compared on the
same validation split. On the slides some variants learn from all training samples and are watched on the test split, so
their curves differ from the others' in more than the variant: more samples to learn from, and other samples to be
judged on. The same statistics under protocol `lecture`, those variants named below each table:

"""
ORDER = """## What the order of the batches does

All replicas above see their batches in one order, so their intervals hold for that order. `{variant}` on {dataset} was
trained in {orders} other orders, with {seeds} seeds each:

"""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a statistic: over seeds within an order, and of the orders' own means beyond that."""

    statistic: str
    mean: float
    within: float
    between: float


def wide(params: Params, dataset: str) -> list[str]:
    """Variants of which no two replicas fit into a pack, so that each seed costs the full price."""
    sizes = params.datasets[dataset].network.sizes
    return [name for name, variant in params.variants.items() if 2 * sizes[variant.size][0] > params.pack_units]


def spreads(orders: Sequence[Sequence[RunResult]], names: Iterable[str]) -> list[Spread]:
    """Components of variance of a balanced one-way random model (Searle et al., Variance Components, 1992, ch. 3).

    orders: the runs of each order, equally many. A component that comes out negative is reported as 0.
    """
    found = []
    for name in names:
        table = np.array([[run.metrics[name] for run in runs] for runs in orders])
        within = table.var(axis=1, ddof=1).mean()
        between = max(0.0, table.mean(axis=1).var(ddof=1) - within / table.shape[1])
        found.append(Spread(name, float(table.mean()), float(np.sqrt(within)), float(np.sqrt(between))))
    return found


def write(
    results: Sequence[RunResult],
    orders: Mapping[str, Sequence[Sequence[RunResult]]],
    params: Params,
    machine: str,
    folder: Path,
) -> Path:
    """Write `study.md` and its figures below `folder`; the path of the page.

    orders: by data set, the baseline's runs in other orders of the batches.
    """
    fair = find(results, params, "fair")
    lecture = find(results, params, "lecture") if any(run.protocol == "lecture" for run in results) else []
    counts = [
        len([r for r in one.runs if r.variant == v and r.role == "replica"]) for one in fair for v in one.variants
    ]
    parts = [
        PAGE.format(
            seeds=max(counts), wide_seeds=min(counts), machine=machine, interval=f"Each cell: {tables.INTERVAL}."
        )
    ]
    for one in fair:
        parts += _section(one, folder / "images")
    if lecture:
        parts.append(PROTOCOLS)
        for one in lecture:
            parts += [f"### {tables.heading(one)}\n\n", tables.markdown(*tables.cells(one.summary, tables.SHOWN)), "\n"]
            slides = one.dataset.training.lecture
            if slides and slides.validated_on_test:
                parts.append(f"Watched on the test split: {', '.join(slides.validated_on_test)}.\n\n")
    for name, runs in orders.items():
        parts += _order(name, params.datasets[name].training.final.variant, runs)
    page = folder / "study.md"
    storage.write_text(page, "".join(parts).rstrip() + "\n", "study")
    return page


def _section(one: Findings, images: Path) -> list[str]:
    parts = [f"## {tables.heading(one)}\n\n", tables.markdown(*tables.cells(one.summary, tables.SHOWN)), "\n"]
    for name, picture in comparison.pictures([one]):
        if name.removeprefix(f"{one.name}-") in FIGURES:
            with storage.writing(images / f"study-{name}.png", "study") as file:
                file.write(picture)
            parts.append(f"![{name}](images/study-{name}.png)\n\n")
    rows = [
        (v.claim.text, f"**{v.outcome}** (n = {v.n})", tables.sides(v), tables.more_seeds(v) or "–")
        for v in one.verdicts
    ]
    return [*parts, tables.markdown(("claim of the slides", "verdict", "found", "seeds needed"), rows), "\n"]


def _order(name: str, variant: str, runs: Sequence[Sequence[RunResult]]) -> list[str]:
    statistics = [
        metric for metric in ("best_val_cross_entropy", "last_val_cross_entropy") if metric in runs[0][0].metrics
    ]
    rows = [
        (entry.statistic, f"{entry.mean:.4f}", f"{entry.within:.4f}", f"{entry.between:.4f}")
        for entry in spreads(runs, statistics)
    ]
    text = ORDER.format(variant=variant, dataset=name, orders=len(runs), seeds=len(runs[0]))
    return [text, tables.markdown(("statistic", "mean", "sd over seeds", "sd over orders"), rows), "\n"]
