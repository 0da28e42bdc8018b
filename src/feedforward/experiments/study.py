"""The study: the lecture's comparison with many seeds, as a page for docs/."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from feedforward.analysis import intervals, statistics
from feedforward.analysis.findings import Findings, find
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.experiments import comparison
from feedforward.reports import tables

FIGURES = {  # of comparison.draw, shown on the page
    "validation-loss": "Validation loss by epoch of all variants: means over seeds with 95 % bands",
    "differences": "Differences to {baseline}, paired by seed, with 95 % intervals",
}
PAGE = """# What the lecture's comparison looks like with many seeds

The slides train each variant once and compare the curves by eye. Here each variant was trained {seeds};
the rest is as on the slides.

    {command}

writes this page (`make study`). It was written on a machine with {machine}; another kind of CPU may change last digits.

A *verdict* is a claim of the slides, judged over seeds: *supported* or *contradicted* when the interval of the
difference lies wholly on one side, *undecided* otherwise, with Holm's correction over the claims of a data set
([how](comparison.md)). Each cell of a table: {interval}.

"""
PROTOCOLS = """## Protocol `lecture` beside protocol `fair`

All figures above are those of protocol `fair`: every variant learns from the same training samples and is compared on
the same validation samples. On the slides some variants learn from all training samples and are watched on the test
samples instead. Their curves then differ from the others' in more than the variant: they saw more, and are judged on
something else, so part of any difference is due to that; and test samples that choose between models no longer tell how
the chosen one does on new ones. The same statistics and claims under protocol `lecture`:

"""
COMPONENTS = """## What varies, and by how much

A seed decides the validation split, the order of the batches, and the initial weights with the dropout masks. Here only
one of them varied and the others stayed those of seed 0; in the last column all varied, as in every table above.
Standard deviations over seeds, with 95 % intervals (chi-square, for normal values):

"""


def wide(params: Params, dataset: str) -> list[str]:
    """Variants of which no two replicas fit into a pack, so that each seed costs the full price."""
    sizes = params.datasets[dataset].network.sizes
    return [name for name, variant in params.variants.items() if 2 * sizes[variant.size][0] > params.pack_units]


def write(
    results: Sequence[RunResult],
    varied: Mapping[str, Mapping[str, Sequence[RunResult]]],
    params: Params,
    machine: str,
    command: str,
    folder: Path,
) -> Path:
    """Write `study.md` and its figures below `folder`; the path of the page.

    varied: by dataset and source of variation (see plan.SOURCES), the runs in which it alone varied. command: makes the
    page again.
    """
    fair = find(results, params, "fair")
    lecture = find(results, params, "lecture") if any(run.protocol == "lecture" for run in results) else []
    page = PAGE.format(seeds=_seeds(fair), command=command, machine=machine, interval=tables.INTERVAL)
    parts = [page, *_in_short(fair)]
    for one in fair:
        parts += _section(one, folder / "images")
    if lecture:
        parts.append(PROTOCOLS)
    for one in lecture:
        parts += _by_the_slides(one, next(other for other in fair if other.name == one.name))
    parts += _components(varied, results, params)
    path = folder / "study.md"
    atomic_files.write_text(path, "".join(parts).rstrip() + "\n", "study")
    return path


def _seeds(fair: Sequence[Findings]) -> str:
    """`from 20 seeds (mnist: original, larger from 10)`."""
    counts = {(one.name, v): max(e.n for e in one.summary[v].values()) for one in fair for v in one.variants}
    most = max(counts.values())
    fewer: dict[tuple[str, int], list[str]] = {}
    for (name, variant), count in counts.items():
        if count < most:
            fewer.setdefault((name, count), []).append(variant)
    but = "; ".join(f"{name}: {', '.join(variants)} from {count}" for (name, count), variants in fewer.items())
    return f"from {most} seeds" + (f" ({but})" if but else "")


def _in_short(fair: Sequence[Findings]) -> list[str]:
    """The claims of each data set by what became of them."""
    parts = ["## In short\n\n"]
    for one in fair:
        parts += [f"- {one.name}, **{outcome}**: {'; '.join(claims)}.\n" for outcome, claims in tables.outcomes(one)]
    return [*parts, "\n"] if len(parts) > 1 else []


def _section(one: Findings, images: Path) -> list[str]:
    parts = [f"## {tables.heading(one)}\n\n"]
    drawn = dict(comparison.pictures([one]))
    for name, text in FIGURES.items():
        if picture := drawn.get(f"{one.name}-{name}"):
            with atomic_files.writing(images / f"study-{one.name}-{name}.png", "study") as file:
                file.write(picture)
            parts.append(f"![{text.format(baseline=one.baseline)}](images/study-{one.name}-{name}.png)\n\n")
    shown = {variant: one.summary[variant] for variant in one.variants}
    parts += [tables.markdown(*tables.cells(shown, tables.REPLICA)), "\n", *_final(one)]
    rows = [
        (v.claim.text, f"**{v.outcome}** (n = {v.n})", tables.sides(v), tables.more_seeds(v) or "–")
        for v in one.verdicts
    ]
    header = ("claim of the slides", "verdict", "found", "seeds needed")
    return [*parts, tables.markdown(header, rows), "\n"] if rows else parts


def _final(one: Findings) -> list[str]:
    found = {name: one.summary[one.baseline][name] for name in tables.FINAL if name in one.summary[one.baseline]}
    tested = [
        f"{tables.SHOWN[name]} {tables.interval(each, STATISTICS[name].decimals)}" for name, each in found.items()
    ]
    seeds = max((each.n for each in found.values()), default=0)
    start = f"The final model, `{one.baseline}`, trained on all training samples from {seeds} seeds"
    return [f"{start}: {', '.join(tested)}.\n\n"] if tested else []


def _by_the_slides(one: Findings, fair: Findings) -> list[str]:
    slides = one.dataset.training.lecture
    on_test = [variant for variant in one.variants if slides and variant in slides.validated_on_test]
    fixed = [variant for variant in one.variants if variant not in on_test]
    text = f"Learn from all training samples and are watched on the test samples: {', '.join(on_test) or 'none'}."
    text += f" Validated on the fixed split of the slides: {', '.join(fixed)}." if fixed else ""
    both = {
        f"{variant}, {protocol}": found.summary[variant]
        for variant in one.variants
        for protocol, found in (("fair", fair), ("lecture", one))
    }
    parts = [f"### {one.name}\n\n{text}\n\n"]
    parts += [tables.markdown(*tables.cells(both, tables.REPLICA)), "\n"] if both else []
    rows = [
        (here.claim.text, before.outcome, f"**{here.outcome}** (n = {here.n})", tables.sides(here))
        for before, here in zip(fair.verdicts, one.verdicts, strict=True)
        if here.n
    ]
    header = ("claim of the slides", "fair", "lecture", "found")
    return [*parts, tables.markdown(header, rows), "\n"] if rows else parts


def _components(
    varied: Mapping[str, Mapping[str, Sequence[RunResult]]], results: Sequence[RunResult], params: Params
) -> list[str]:
    """A table of standard deviations for each dataset: a row per variant and statistic, a column per source."""
    parts = []
    for name, by_source in varied.items():
        everything = [run for run in results if run.dataset == name and run.protocol == "fair"]
        rows = [
            (variant, tables.SHOWN[statistic], *cells)
            for variant in params.variants
            for statistic in COMPARED
            if (cells := [_spread(runs, variant, statistic) for runs in [*by_source.values(), everything]])
            and any(cells)
        ]
        header = ("variant", "statistic", *(f"{source} alone" for source in by_source), "all")
        parts += [f"### {name}\n\n", tables.markdown(header, rows), "\n"] if rows else []
    return [COMPONENTS, *parts] if parts else []


COMPARED = ("best_val_cross_entropy", "best_epoch", "last_val_cross_entropy")


def _spread(runs: Sequence[RunResult], variant: str, statistic: str) -> str:
    values = list(statistics.sample(runs, variant, statistic).values())
    if len(values) < 2:
        return ""
    deviation, low, high = intervals.deviation(values)
    decimals = STATISTICS[statistic].decimals
    return f"{deviation:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}] (n = {len(values)})"
