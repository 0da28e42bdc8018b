"""The parent run of each variant: means and intervals over its seeds, and mean curves."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files
from feedforward.experiments import run_contents
from feedforward.experiments.plan import Member, Pack
from feedforward.reports.palette import PALETTE
from feedforward.tracking import Run, RunTags
from feedforward.tracking.experiment_pages import bounds
from feedforward.tracking.records import Role

if TYPE_CHECKING:
    from feedforward.tracking import Store


def results_of(packs: Iterable[Pack], results: Mapping[str, RunResult]) -> list[RunResult]:
    """The available results of the packs, with the current names of their variants."""
    return results_of_members([(pack, member) for pack in packs for member in pack.members], results)


def results_of_members(members: Iterable[tuple[Pack, Member]], results: Mapping[str, RunResult]) -> list[RunResult]:
    """The available results of these members, with the current names of their variants."""
    return [
        dataclasses.replace(results[member.fingerprint], variant=member.variant)
        for _, member in members
        if member.fingerprint in results
    ]


def start_parents(pack: Pack, store: "Store") -> dict[str, Run]:
    """Start or resume the parent run of each variant in a pack."""
    return {m.variant: start_parent(pack, m, store) for m in pack.members}


def start_parent(pack: Pack, member: Member, store: "Store") -> Run:
    """Start or resume the parent of all runs of a variant, across seeds and jobs.

    Final runs have a separate parent, and so do components (runs in which only some sources vary).
    """
    identity = [pack.dataset, member.variant, pack.protocol, pack.data_digest, member.parameters]
    role: Role = "variant"
    name = member.variant
    if pack.role == "final":
        identity, role, name = [*identity, "final"], "finals", f"{member.variant}, final runs"
    elif pack.logged_role == "component":
        role, name = "components", f"{member.variant}, only {', '.join(pack.varied)} varied"
    digest = atomic_files.digest(identity)
    tags = RunTags(pack.dataset, member.variant, pack.protocol, role, digest, pack.data_digest)
    return store.start(tags, name, resume=True)


def conclude(packs: Sequence[Pack], results: Mapping[str, RunResult], params: Params, store: "Store") -> None:
    """Close the parents of replicas and of final runs with means and intervals over seeds, and mean curves."""
    for role in ("replica", "final"):
        for members in by_variant(packs, role).values():
            pack, member = members[0]
            close_parent(start_parent(pack, member, store), members, results, params, store)


def by_variant(packs: Iterable[Pack], role: str = "replica") -> dict[tuple[str, str], list[tuple[Pack, Member]]]:
    """The runs that have this role, by (dataset, variant)."""
    variants: dict[tuple[str, str], list[tuple[Pack, Member]]] = {}
    for pack in packs:
        for member in pack.members if pack.role == role else ():
            variants.setdefault((pack.dataset, member.variant), []).append((pack, member))
    return variants


def close_parent(
    parent: Run,
    members: Sequence[tuple[Pack, Member]],
    results: Mapping[str, RunResult],
    params: Params,
    store: "Store",
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Close `parent`, the parent run of `members`; mark it FAILED if a member has no result.

    members: the runs of one variant. metrics, tags: logged in addition to the means over seeds.
    """
    runs = results_of_members(members, results)
    if missing := sorted({pack.seed for pack, member in members if member.fingerprint not in results}):
        store.fail(parent, f"seeds {missing} are not trained; run the command again")
        return
    pack, member = members[0]
    dataset = params.datasets[pack.dataset]
    store.finish(
        parent,
        metrics={**_means(runs), "seeds": float(len(runs)), **(metrics or {})},
        curves=_mean_curves(runs),
        params=run_contents.names(pack, member) | member.parameters,
        tags={
            "mlflow.note.content": _description(runs, dataset) + _origin(members, results),
            **_color(parent, params),
            **(tags or {}),
        },
        files=run_contents.pictures(runs, dataset) | run_contents.calibration_picture(runs, dataset),
        inputs=run_contents.inputs(pack),
    )


def _means(runs: Sequence[RunResult]) -> dict[str, float]:
    """`mean_NAME` and its interval for each metric of a variant."""
    from feedforward.analysis import statistics  # importing SciPy takes a second

    metrics: dict[str, float] = {}
    for estimates in statistics.summarize(runs, {run.variant for run in runs}).values():
        for name, estimate in estimates.items():
            low, high = bounds(name)
            values = {f"mean_{name}": estimate.mean, low: estimate.low, high: estimate.high}
            metrics |= {key: value for key, value in values.items() if value is not None}
    return metrics


def _mean_curves(runs: Sequence[RunResult]) -> dict[str, list[float]]:
    """The mean of each curve by name, and its interval."""
    from feedforward.analysis.curves import mean_band  # importing SciPy takes a second

    curves: dict[str, list[float]] = {}
    for name in sorted({name for run in runs for name in run.curves}):
        if band := mean_band(runs, runs[0].variant, name, runs[0].role):
            named = zip((name, *bounds(name)), (band.mean, band.low, band.high), strict=True)
            curves |= {key: values.tolist() for key, values in named if values is not None}
    return curves


def _color(parent: Run, params: Params) -> dict[str, str]:
    """The tag that makes MLflow's charts draw a variant in the color that it has in the report."""
    if parent.tags["role"] != "variant" or parent.tags["variant"] not in params.variants:
        return {}
    return {"mlflow.runColor": PALETTE[list(params.variants).index(parent.tags["variant"]) % len(PALETTE)]}


def _origin(members: Sequence[tuple[Pack, Member]], results: Mapping[str, RunResult]) -> str:
    """Where to find runs that were trained under another name, because they stay nested under the run of that name."""
    names = {results[member.fingerprint].variant for _, member in members} - {members[0][1].variant}
    quoted = ", ".join(f"`{name}`" for name in sorted(names))
    return f" Reused seeds are nested under the variant or trial as which they were trained: {quoted}." if names else ""


def _description(runs: Sequence[RunResult], dataset: Dataset) -> str:
    """Explanation of the metrics of a variant, in Markdown."""
    from feedforward.analysis.intervals import drawn_by_seed, this_data  # importing SciPy takes a second

    text = f"Means over {len(runs)} seeds"
    if len(runs) == 1:
        return f"{text[:-1]}; an interval needs two seeds."
    population = this_data(drawn_by_seed(runs[0].draws_split, dataset.training.train_share))
    is_regression = dataset.task == "regression"
    losses = "mean squared errors in units of the target's variance" if is_regression else "in nats"
    scores = "absolute errors are in the target's unit" if runs[0].score == "mae" else "accuracies are shares"
    return (
        f"{text}. `interval/…_low` and `interval/…_high`: {population}, Student's t."
        f" Losses are {losses}, epochs count from 1, {scores}."
    )
