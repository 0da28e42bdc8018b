"""Runs an experiment: finds known runs, trains and records the others, and compares all of them."""

import dataclasses
import gc
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files, paths, processes, provenance
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import DataError, TrackingError, TrainingError
from feedforward.data import manifest as manifest_file
from feedforward.experiments import evaluation, plan
from feedforward.experiments.plan import Member, Pack
from feedforward.models import network_files
from feedforward.tracking import DataInput, Run, RunTags, sampling
from feedforward.tracking.experiment_pages import bounds
from feedforward.tracking.records import Role

if TYPE_CHECKING:
    from feedforward.experiments.training_run import Samples, TrainedRun
    from feedforward.models.numpy_network import Network
    from feedforward.tracking import Store
    from feedforward.tracking.records import LoggedRun, StoredResult

Advance = Callable[[int, str], None]


def silence(_steps: int, _note: str) -> None:
    """Show no progress."""


# --- known runs --------------------------------------------------------------------------------


def find_known(packs: Iterable[Pack], store: "Store") -> dict[str, RunResult]:
    """The results in the store, by fingerprint; metrics are recomputed if their code has changed."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for pack in packs:
        groups.setdefault((pack.dataset, pack.protocol, pack.logged_role), []).extend(pack.fingerprints)
    known: dict[str, RunResult] = {}
    digest = code_digest(plan.EVALUATION)
    for name, fingerprints in groups.items():
        for fingerprint, stored in store.find_results(*name, fingerprints).items():
            result = stored.result if stored.evaluation == digest else _evaluated_again(stored, store, digest)
            known |= {fingerprint: result} if result else {}
    return known


def _evaluated_again(stored: "StoredResult", store: "Store", digest: str) -> RunResult | None:
    """The result with metrics recomputed and written to the store; None if the run's model is missing."""
    figures, hardest = evaluation.summarize(stored.result.curves, stored.result.measured), stored.result.hardest
    if stored.result.role == "final":
        try:
            network = _network(stored.run) if stored.run else None
        except (DataError, TrackingError):
            network = None
        if network is None:
            return None
        tested, hardest = evaluation.on_test(stored.result.dataset, network)
        figures |= tested
    result = dataclasses.replace(stored.result, metrics=figures, hardest=hardest)
    if stored.run:
        store.renew(stored.run, result, digest)
    return result


def _network(run: "LoggedRun") -> "Network":
    from feedforward.tracking.registry import Registry

    return network_files.read(Registry().model_files(run), run.name)


def results_of(packs: Iterable[Pack], results: Mapping[str, RunResult]) -> list[RunResult]:
    """The available results of the packs, with the current names of their variants."""
    return results_of_members([(pack, member) for pack in packs for member in pack.members], results)


def results_of_members(members: Iterable[tuple[Pack, Member]], results: Mapping[str, RunResult]) -> list[RunResult]:
    """See results_of."""
    return [
        dataclasses.replace(results[member.fingerprint], variant=member.variant)
        for _, member in members
        if member.fingerprint in results
    ]


# --- train and record --------------------------------------------------------------------------


def prepare(jobs: int) -> None:
    """Import TensorFlow and set it up for `jobs` packs at a time; call it once, before the first pack.

    Small networks cannot use a second core well, so each pack gets its share of the cores; only one core if the number
    of threads affects the bits of the results.
    """
    threads = 1 if provenance.threads_decide() else max(1, processes.cores() // jobs)
    with processes.importing(), processes.silent():  # TensorFlow writes to the file descriptor regardless of log level
        from feedforward.training import trainer  # takes five seconds

        trainer.configure(jobs, threads)


def train_pack(
    pack: Pack,
    params: Params,
    store: "Store",
    advance: Advance = silence,
    parents: Mapping[str, Run] | None = None,
) -> list[RunResult]:
    """Train the members of a pack and record a run for each of them.

    parents: parent run of each variant; if None, those from parents_of.

    Raises:
        TrainingError: a loss is not finite; the runs of those members are closed as FAILED, the others are recorded.
    """
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    gc.collect()  # models and graphs form reference cycles that would keep the last pack in memory
    samples = training_run.load(pack, params.datasets[pack.dataset])  # rejects damaged data before a run is created
    parents = parents_of(pack, store) if parents is None else parents
    runs = [
        store.start(
            _tags(pack, member), f"{member.variant} {pack.logged_role} {pack.seed}", parents.get(member.variant)
        )
        for member in pack.members
    ]
    finished, failures = [], []
    with store.closing(*runs), sampling() as machine:

        def on_epoch(_: int, loss: float) -> None:
            advance(len(pack.members), f"{pack.name} loss {loss:.3f}")

        trained = training_run.train(pack, params, samples, on_epoch)
        atomic_files.crash_point("train.before_log")
        for run, member, outcome in zip(runs, pack.members, trained, strict=True):
            if isinstance(outcome, TrainingError):
                store.fail(run, str(outcome))
                failures.append(str(outcome))
                continue
            result = _result(pack, member, outcome, samples)
            store.finish(
                run,
                result=result,
                params=_names(pack, member) | member.parameters | {"seed": pack.seed},
                tags={"evaluation_digest": code_digest(plan.EVALUATION)},
                files=_pictures([result], params.datasets[pack.dataset]),
                model=outcome.model,
                network=network_files.to_files(trainer.as_arrays(outcome.model)),
                inputs=_inputs(pack),
                samples=machine,
            )
            finished.append(result)
            atomic_files.crash_point("train.after_log")
    if failures:
        raise TrainingError("; ".join(failures))
    return finished


def _result(pack: Pack, member: Member, trained: "TrainedRun", samples: "Samples") -> RunResult:
    from feedforward.training import trainer

    figures, hardest = evaluation.summarize(trained.curves, trained.measured), list[dict[str, Any]]()
    if pack.role == "final":
        tested, hardest = evaluation.on_test(pack.dataset, trainer.as_arrays(trained.model))
        figures |= tested
    return RunResult(
        pack.dataset,
        member.variant,
        pack.seed,
        pack.protocol,
        pack.role,
        trained.curves,
        figures,
        trained.weights_digest,
        trained.measured,
        hardest,
        _counts(pack, samples),
    )


def _counts(pack: Pack, samples: "Samples") -> dict[str, int]:
    """See RunResult.samples."""
    training, watched = samples
    counts = {"train": len(training)}
    if watched is not None:
        counts[pack.validate or ""] = len(watched)
    if pack.role == "final":
        counts["test"] = int(manifest_file.load(pack.dataset)["samples"]["test"])
    return counts


def _names(pack: Pack, member: Member) -> dict[str, Any]:
    return {"dataset": pack.dataset, "variant": member.variant}


def _tags(pack: Pack, member: Member) -> RunTags:
    names = (pack.dataset, member.variant, pack.protocol, pack.logged_role)
    return RunTags(*names, member.fingerprint, pack.data_digest, pack.seed)


def parents_of(pack: Pack, store: "Store") -> dict[str, Run]:
    """The parent run of each variant in a pack."""
    return {m.variant: parent_run(pack, m, store) for m in pack.members}


def parent_run(pack: Pack, member: Member, store: "Store") -> Run:
    """The parent of all runs of a variant, over seeds and jobs; final runs and components have separate parents."""
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
            close_parent(parent_run(pack, member, store), members, results, params, store)


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
) -> None:
    """Close the parent of `members`, the runs of one variant; as FAILED if a run is missing."""
    runs = results_of_members(members, results)
    if missing := sorted({pack.seed for pack, member in members if member.fingerprint not in results}):
        store.fail(parent, f"seeds {missing} are not trained; run the command again")
        return
    pack, member = members[0]
    store.finish(
        parent,
        metrics=_means(runs) | {"seeds": float(len(runs))},
        curves=_mean_curves(runs),
        params=_names(pack, member) | member.parameters,
        tags={"mlflow.note.content": _description(runs), **_color(parent, params)},
        files=_pictures(runs, params.datasets[pack.dataset]),
        inputs=_inputs(pack),
    )


def _means(runs: Sequence[RunResult]) -> dict[str, float]:
    """`mean_NAME` and its interval for each metric of a variant."""
    from feedforward.analysis import statistics  # SciPy takes a second

    metrics: dict[str, float] = {}
    for estimates in statistics.summarize(runs, {run.variant for run in runs}).values():
        for name, estimate in estimates.items():
            low, high = bounds(name)
            figures = {f"mean_{name}": estimate.mean, low: estimate.low, high: estimate.high}
            metrics |= {key: value for key, value in figures.items() if value is not None}
    return metrics


def _mean_curves(runs: Sequence[RunResult]) -> dict[str, list[float]]:
    """The mean of each curve by name, and its interval."""
    from feedforward.analysis.curves import mean_band  # SciPy takes a second

    curves: dict[str, list[float]] = {}
    for name in sorted({name for run in runs for name in run.curves}):
        if band := mean_band(runs, runs[0].variant, name, runs[0].role):
            named = zip((name, *bounds(name)), (band.mean, band.low, band.high), strict=True)
            curves |= {key: values.tolist() for key, values in named if values is not None}
    return curves


def _color(parent: Run, params: Params) -> dict[str, str]:
    """The tag that makes MLflow's charts draw a variant in the color that it has in the report."""
    from feedforward.reports.figure_style import PALETTE  # matplotlib takes a second

    if parent.tags["role"] != "variant" or parent.tags["variant"] not in params.variants:
        return {}
    return {"mlflow.runColor": PALETTE[list(params.variants).index(parent.tags["variant"]) % len(PALETTE)]}


def _description(runs: Sequence[RunResult]) -> str:
    """Explanation of the metrics of a variant, in Markdown."""
    from feedforward.analysis.intervals import THIS_DATA  # SciPy takes a second

    text = f"Means over {len(runs)} seeds"
    if len(runs) == 1:
        return f"{text[:-1]}; an interval needs two seeds."
    return (
        f"{text}. `interval/…_low` and `interval/…_high`: {THIS_DATA}, Student's t."
        " Losses are in nats, epochs count from 1, accuracies are shares."
    )


def _inputs(pack: Pack) -> list[DataInput]:
    manifest, source = manifest_file.load(pack.dataset), f"data/vectorized/{pack.dataset}"
    part = "all" if pack.train == "all" else "training"
    inputs = [DataInput(f"{pack.dataset}-{part}", manifest["train"], "training", f"{source}/train")]
    if pack.validate == "validation":
        inputs.append(DataInput(f"{pack.dataset}-validation", manifest["train"], "validation", f"{source}/train"))
    if pack.validate == "test" or pack.role == "final":
        inputs.append(DataInput(f"{pack.dataset}-test", manifest["test"], "test", f"{source}/test"))
    return inputs


_drawing = threading.Lock()  # matplotlib's fonts are not thread-safe


def _pictures(runs: Sequence[RunResult], dataset: Dataset) -> dict[str, bytes]:
    from feedforward.reports import figures  # matplotlib takes a second

    with _drawing:
        return {"figures/curves.png": figures.png(figures.curves_of_run(runs, dataset.title))}


# --- compare -----------------------------------------------------------------------------------


def compare(params: Params) -> None:
    """Compare the results of all protocols; write reports/comparison and attach it to the experiments of the datasets.

    Raises:
        DataError: the results are missing or do not belong to params.
    """
    from feedforward.experiments import comparison

    results = [result for protocol in params.protocols for result in run_result.load(paths.trained(protocol))]
    with ThreadPoolExecutor(1) as pool:  # importing MLflow takes four seconds, about as long as drawing
        opened = pool.submit(_open_store)
        additions = comparison.gather(results, params)
        folder = comparison.compare(results, params, params.protocols[0], additions=additions, apart=True)
        store = opened.result()
    for name in params.datasets:
        tags = RunTags(
            name,
            "all",
            params.protocols[0],
            "comparison",
            atomic_files.digest(name),
            manifest_file.load(name)["data_digest"],
        )
        store.log_folder(tags, "comparison", folder)


def _open_store() -> "Store":
    from feedforward.tracking import open_store

    return open_store()
