"""The study: the comparison from the lecture with many seeds, as a page for docs/."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from feedforward.analysis import numerals, variance
from feedforward.analysis.claims import Verdict
from feedforward.analysis.findings import Findings, find
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.analysis.variance import Component
from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.core.errors import ParamsError
from feedforward.experiments import comparison, decision
from feedforward.reports import tables

RunsBySource = Mapping[str, Sequence[RunResult]]  # source → the runs in which only that source varied
Components = dict[str, dict[str, dict[str, Component]]]  # statistic → variant → source → standard deviation

FIGURES = {  # from comparison.draw, shown on the page
    "validation-loss": "Validation loss by epoch of all variants: means over seeds with 95 % bands",
    "differences": "Differences from {baseline}, paired by seed, with 95 % intervals",
}
COMPONENT_STATISTICS = ("best_val_cross_entropy", "best_epoch", "last_val_cross_entropy")  # shown for each source
PAGE = """# The lecture's comparison with many seeds

The slides train each variant once and compare the curves by eye. Here, each variant was trained {seeds}.
A seed determines the validation split, the order of the batches, the initial weights and the dropout masks; everything
else is as on the slides. This command (`make study`) writes this page:

    {command}

`--wide-seeds` is the number of seeds of variants so wide that no two of them can be trained side by side.

The page was written on a machine with {machine}; another kind of CPU may change the last digits.

A *verdict* judges a claim from the slides over all seeds ([how](comparison.md)). {explained}

Each cell of a table: {interval}. {population}

"""
PROTOCOLS = """## Protocol `lecture` compared with protocol `fair`

All numbers above are for protocol `fair`: for each seed, all variants are trained on the same training samples and are
compared on the same validation samples. On the slides, some variants are trained on all training samples and validated
on the test samples instead. Their curves then differ from the others not only because of the variant: they are trained
on more samples and evaluated on different ones, which causes part of any difference. And once test samples have been
used to choose between models, they no longer show how the chosen model performs on new samples. These are the same
statistics and claims under protocol `lecture`. Its split is the same for all seeds, so only weights and batch order
vary:

"""
COMPONENTS = """## What varies, and by how much

A seed determines the validation split, the order of the batches, and the initial weights together with the dropout
masks. In the columns "alone", only that source varied and the others were as with seed 0; in the last column, all of
them varied, as in the tables above. The cells show standard deviations over seeds, with 95 % chi-square intervals
(exact for normally distributed values; left out if more than half of the values coincide):

"""
DECISIONS_LINK = """
A [separate run with a time limit](#claims-decided-with-a-time-limit) gives verdicts on these claims, too.
"""
DECISIONS = """## Claims decided with a time limit

`feedforward decide DATASET` continues from the finished runs and adds seeds, as many at a time as there are cores, only
for the variants and final models that undecided claims compare, until all claims are decided or the time is up
(`--budget`). The runs below are separate from those above. *Decided after* is the number of seeds at which a claim
first had its verdict; *seeds* is the number of seeds on which the verdict and the measured values are based:

"""


def datasets(params: Params) -> list[str]:
    """The datasets that the study is about: those with a `lecture` protocol.

    Raises:
        ParamsError: there are none.
    """
    names = [name for name, dataset in params.datasets.items() if dataset.training.lecture]
    if not names:
        raise ParamsError(
            [
                "datasets: none has the section `training.lecture`, which lists the variants that `feedforward study`"
                " compares under both protocols; add it, or compare the variants with `feedforward run`"
            ]
        )
    return names


def wide_variants(params: Params, dataset: str) -> list[str]:
    """The variants whose first layer has more than `pack_units` / 2 units, so that no two of them fit into one pack."""
    sizes = params.datasets[dataset].network.sizes
    return [name for name, variant in params.variants.items() if 2 * sizes[variant.size][0] > params.pack_units]


def write(
    results: Sequence[RunResult],
    varied: Mapping[str, RunsBySource],
    params: Params,
    machine: str,
    command: str,
    folder: Path,
) -> Path:
    """Write `study.md` and its figures under `folder`; return the path of the page.

    varied: dataset → source of variation (see plan.SOURCES) → the runs in which only that source varied. machine: its
    description. command: the command that writes the page.
    """
    fair = find(results, params, "fair")
    lecture = find(results, params, "lecture") if any(run.protocol == "lecture" for run in results) else []
    images = folder / "images"
    decisions = [part for findings in fair for part in _decision(params, findings.name, images)]
    parts = [_introduction(fair, machine, command), *_outcomes(fair, bool(decisions))]
    for findings in fair:
        parts += _section(findings, images)
    if lecture:
        parts.append(PROTOCOLS)
    fair_by_name = {findings.name: findings for findings in fair}
    for findings in lecture:
        parts += _lecture_section(findings, fair_by_name.get(findings.name))
    sections = [_components_section(entry, varied[entry.name], images) for entry in fair if entry.name in varied]
    if any(sections):
        parts += [COMPONENTS, *(part for section in sections for part in section)]
    parts += [DECISIONS, *decisions] if decisions else []
    path = folder / "study.md"
    atomic_files.write_text(path, "".join(parts).rstrip() + "\n", "study")
    return path


def _introduction(fair: Sequence[Findings], machine: str, command: str) -> str:
    return PAGE.format(
        seeds=_seeds(fair),
        command=command,
        machine=machine,
        explained=tables.explanation(),
        interval=tables.INTERVAL,
        population=tables.population(),
    )


def _seeds(fair: Sequence[Findings]) -> str:
    """The numbers of seeds as text, such as `with 20 seeds (mnist: original, larger with 10)`."""
    counts = {
        (findings.name, variant): max(estimate.n for estimate in findings.summary[variant].values())
        for findings in fair
        for variant in findings.variants
    }
    most = max(counts.values())
    fewer: dict[tuple[str, int], list[str]] = {}
    for (name, variant), count in counts.items():
        if count < most:
            fewer.setdefault((name, count), []).append(variant)
    exceptions = "; ".join(f"{name}: {', '.join(variants)} with {count}" for (name, count), variants in fewer.items())
    return f"with {most} seeds" + (f" ({exceptions})" if exceptions else "")


def _outcomes(fair: Sequence[Findings], has_decisions: bool) -> list[str]:
    """The claims about each dataset, grouped by verdict, and a link to the section on `decide` if there is one."""
    parts = ["## In short\n\n"]
    for findings in fair:
        for outcome, claims in tables.outcomes(findings):
            quoted = "; ".join(f"“{text}”" for text in claims)
            parts.append(f"- {findings.name}, **{outcome}**: {quoted}.\n")
    link = [DECISIONS_LINK] if has_decisions else []
    return [*parts, *link, "\n"] if len(parts) > 1 else []


def _section(findings: Findings, images: Path) -> list[str]:
    """The section on a dataset under protocol `fair`: figures, statistics of the variants, final model, verdicts."""
    parts = [f"## {tables.heading(findings)}\n\n"]
    drawn = dict(comparison.pictures([findings]))
    for name, text in FIGURES.items():
        if picture := drawn.get(f"{findings.name}-{name}"):
            parts.append(_figure(images, f"{findings.name}-{name}", picture, text.format(baseline=findings.baseline)))
    shown = {variant: findings.summary[variant] for variant in findings.variants}
    parts += [tables.markdown(*tables.cells(shown, tables.REPLICA)), "\n", *_final(findings)]
    if findings.verdicts:
        header = ("claim from the slides", "verdict (this data)", "for new data", "observed", "seeds needed")
        parts += [tables.markdown(header, map(_verdict, findings.verdicts)), "\n"]
    return parts


def _figure(images: Path, name: str, picture: bytes, text: str) -> str:
    """Write a PNG file into `images`; return its Markdown, with `text` as alternative text."""
    with atomic_files.writing(images / f"study-{name}.png", "study") as file:
        file.write(picture)
    return f"![{text}](images/study-{name}.png)\n\n"


def _verdict(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.claim.text,
        _outcome(verdict),
        verdict.new_data or "–",
        tables.sides(verdict),
        tables.more_seeds(verdict) or "–",
    )


def _outcome(verdict: Verdict) -> str:
    return f"**{verdict.outcome}** (n = {verdict.n})"


def _final(findings: Findings) -> list[str]:
    """A sentence with the test results of the final model; empty if there are none."""
    summary = findings.summary.get(findings.baseline, {})
    estimates = {name: summary[name] for name in tables.FINAL if name in summary}
    if not estimates:
        return []
    texts = [
        f"{tables.SHORT_LABELS[name]} {tables.interval(estimate, STATISTICS[name].decimals)}"
        for name, estimate in estimates.items()
    ]
    seeds = max(estimate.n for estimate in estimates.values())
    samples = tables.training_samples(findings.dataset.training.train_share)
    start = f"The final model, `{findings.baseline}`, trained on {samples} with {seeds} seeds"
    return [f"{start}: {', '.join(texts)}.\n\n"]


def _lecture_section(lecture: Findings, fair: Findings | None) -> list[str]:
    """The section that compares both protocols on a dataset: statistics of the variants, and verdicts.

    A dataset or a variant need not have runs of protocol `fair`: `training.variants` selects these.
    """
    slides = lecture.dataset.training.lecture
    on_test = [variant for variant in lecture.variants if slides and variant in slides.validated_on_test]
    on_fixed_split = [variant for variant in lecture.variants if variant not in on_test]
    samples = tables.training_samples(lecture.dataset.training.train_share)
    text = f"Trained on {samples} and validated on the test samples: {', '.join(on_test) or 'none'}."
    text += f" Validated on the fixed split from the slides: {', '.join(on_fixed_split)}." if on_fixed_split else ""
    summary = {
        f"{variant}, {protocol}": findings.summary[variant]
        for variant in lecture.variants
        for protocol, findings in (("fair", fair), ("lecture", lecture))
        if findings and variant in findings.variants
    }
    outcomes = {verdict.claim: verdict.outcome for verdict in fair.verdicts} if fair else {}
    parts = [f"### {lecture.name}\n\n{text}\n\n"]
    parts += [tables.markdown(*tables.cells(summary, tables.REPLICA)), "\n"] if summary else []
    rows = [
        (verdict.claim.text, outcomes.get(verdict.claim, "–"), _outcome(verdict), tables.sides(verdict))
        for verdict in lecture.verdicts
        if verdict.n
    ]
    header = ("claim from the slides", "fair", "lecture", "observed")
    return [*parts, tables.markdown(header, rows), "\n"] if rows else parts


def _components_section(findings: Findings, runs_by_source: RunsBySource, images: Path) -> list[str]:
    """A figure and a table of standard deviations: a row per variant and statistic, a column per source."""
    runs = {f"{source} alone": list(runs) for source, runs in runs_by_source.items()} | {"all": findings.runs}
    components = _components(findings.variants, runs)
    if not components:
        return []
    rows = [
        (variant, tables.SHORT_LABELS[name], *(_deviation(by_source.get(source), name) for source in runs))
        for variant in findings.variants
        for name in COMPONENT_STATISTICS
        if (by_source := components.get(name, {}).get(variant))
    ]
    text = "Standard deviation of each statistic by variant and source of variation, with 95 % intervals"
    figure = _figure(images, f"{findings.name}-components", _draw(components, findings.name), text)
    return [f"### {findings.name}\n\n", figure, tables.markdown(("variant", "statistic", *runs), rows), "\n"]


def _decision(params: Params, dataset: str, images: Path) -> list[str]:
    """The section on the last `feedforward decide`; empty if there was none, or if it was about something else."""
    if (saved := decision.load_saved(params, dataset)) is None:
        return []
    table, picture = saved
    text = "Intervals of the claims by number of seeds"
    return [f"### {dataset}\n\n", table, _figure(images, f"{dataset}-decision", picture, text)]


def _components(variants: Sequence[str], runs_by_source: RunsBySource) -> Components:
    """Components for the replicas of each variant that has runs in which only one source varied."""
    components: Components = {}
    for name in COMPONENT_STATISTICS:
        for variant in variants:
            runs = {
                source: [run for run in runs if run.variant == variant and run.role == "replica"]
                for source, runs in runs_by_source.items()
            }
            by_source = variance.components(runs, name)
            if by_source.keys() - {"all"}:
                components.setdefault(name, {})[variant] = by_source
    return components


def _draw(components: Components, dataset: str) -> bytes:
    from feedforward.reports import figures  # matplotlib takes a second to import

    panels = {tables.SHORT_LABELS[name]: by_variant for name, by_variant in components.items()}
    return figures.png(figures.variance_components(panels, f"{dataset}: what varies, and by how much"))


def _deviation(component: Component | None, statistic: str) -> str:
    if component is None:
        return "–"
    decimals = STATISTICS[statistic].decimals
    interval = "" if component.low is None else f" {tables.span(component.low, component.high, decimals)}"
    return f"{numerals.number(component.sd, decimals)}{interval} (n = {component.n})"
