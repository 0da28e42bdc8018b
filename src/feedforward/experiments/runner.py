"""The experiment: train the runs that are not known yet, record them all, compare them."""

import dataclasses
import gc
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files, paths, processes, provenance
from feedforward.core.errors import DataError
from feedforward.data import manifest as manifest_file
from feedforward.data.splits import Split
from feedforward.experiments.plan import Pack
from feedforward.models import attribution, network_files
from feedforward.models import metrics as scores
from feedforward.tracking import DataInput, Run, RunTags, sampling

if TYPE_CHECKING:
    from feedforward.tracking import Store
    from feedforward.training.trainer import Replica

Advance = Callable[[int, str], None]


def silence(_steps: int, _note: str) -> None:
    """No progress is shown."""


# --- train and record --------------------------------------------------------------------------


def find_known(packs: Iterable[Pack], store: "Store") -> dict[str, RunResult]:
    """The results that the store holds already, by fingerprint."""
    known: dict[str, RunResult] = {}
    groups: dict[tuple[str, str, str], list[str]] = {}
    for pack in packs:
        groups.setdefault((pack.dataset, pack.protocol, pack.role), []).extend(pack.fingerprints)
    for name, fingerprints in groups.items():
        known |= store.find_results(*name, fingerprints)
    return known


def results_of(packs: Iterable[Pack], found: Mapping[str, RunResult]) -> list[RunResult]:
    """The results of packs, as far as they are there, under the names that their variants have now."""
    return [
        dataclasses.replace(found[fingerprint], variant=pack.variant)
        for pack in packs
        for fingerprint in pack.fingerprints
        if fingerprint in found
    ]


def prepare(jobs: int) -> None:
    """Import the heavy rooms and set TensorFlow up for `jobs` packs at a time; call it once, before the first pack.

    Small networks leave a second core idle, so each pack computes on its share of the cores; on one where the number of
    threads changes bits.
    """
    threads = 1 if provenance.pack_decides() else max(1, processes.cores() // jobs)
    with processes.importing(), processes.silent():  # TensorFlow greets on the file descriptor, whatever its log level
        from feedforward.training import trainer  # takes five seconds

        trainer.configure(jobs, threads)


def train_pack(
    pack: Pack, params: Params, store: "Store", advance: Advance = silence, parent: Run | None = None
) -> list[RunResult]:
    """Train the replicas of a pack, record each that is not yet as a run of its own; what all of them leave behind.

    parent: the run that holds theirs; None: that of the variant, and none for final runs.

    Raises:
        TrainingError: a loss is not finite; the runs are closed as FAILED.
    """
    from feedforward.training import trainer

    gc.collect()  # models and graphs are cycles: those of the last pack would stay until chance collects them
    dataset = params.datasets[pack.dataset]
    train, validation = _parts(pack, dataset)
    if parent is None and pack.role != "final":
        parent = parent_run(pack, store)
    runs = [
        store.start(_tags(pack, seed, fingerprint), f"{pack.variant} {pack.role} {seed}", parent)
        for seed, fingerprint in zip(pack.seeds, pack.fingerprints, strict=True)
        if fingerprint not in pack.recorded
    ]
    with store.closing(*runs), sampling() as samples:
        replicas = trainer.fit(
            dataset,
            params.variants[pack.variant],
            train,
            validation,
            pack.seeds,
            pack.order_seed,
            pack.epochs,
            lambda _, loss: advance(len(pack.seeds), f"{pack.name} loss {loss:.3f}"),
        )
        finished = _results(pack, replicas)
        new = [
            (result, replica)
            for fingerprint, result, replica in zip(pack.fingerprints, finished, replicas, strict=True)
            if fingerprint not in pack.recorded
        ]
        atomic_files.crash_point("train.before_log")
        for run, (result, replica) in zip(runs, new, strict=True):
            store.finish(
                run,
                result=result,
                params=_names(pack) | pack.parameters | {"seed": result.seed},
                files=_pictures([result], dataset),
                model=replica.model,
                network=network_files.to_files(trainer.as_arrays(replica.model)),
                inputs=_inputs(pack),
                samples=samples,
            )
            atomic_files.crash_point("train.after_log")
    return finished


def _results(pack: Pack, replicas: Sequence["Replica"]) -> list[RunResult]:
    from feedforward.training import trainer

    tested: list[dict[str, float]] = [{} for _ in replicas]
    hardest: list[list[dict[str, Any]]] = [[] for _ in replicas]
    unit = manifest_file.load(pack.dataset).get("target", {}).get("scale", 1.0)
    if pack.role == "final":
        test = Split.load(paths.vectorized(pack.dataset) / "test")
        tested = trainer.evaluate([replica.model for replica in replicas], test)
        networks = [trainer.as_arrays(replica.model) for replica in replicas]
        for figures, network in zip(tested, networks, strict=True):
            figures |= scores.measure(network, network.logits(test.features), test.labels)
        if not scores.is_value(test.labels) and test.labels.ndim == 1:
            hardest = [attribution.hardest(network, test) for network in networks]
    return [
        RunResult(
            pack.dataset,
            pack.variant,
            replica.seed,
            pack.protocol,
            pack.role,
            curves,
            summarize(curves, _in_units(figures, unit)),
            trainer.weights_digest(replica.model),
            wrong,
        )
        for replica, figures, wrong in zip(replicas, tested, hardest, strict=True)
        for curves in [_in_units(replica.curves, unit)]
    ]


Figures = TypeVar("Figures", dict[str, float], dict[str, list[float]])


def _in_units(figures: Figures, unit: float) -> Figures:
    """Absolute errors in the unit of the value, which training reads in standard deviations."""
    scaled: Any = {
        name: value
        if not name.endswith("mae")
        else [unit * v for v in value]
        if isinstance(value, list)
        else unit * value
        for name, value in figures.items()
    }
    found: Figures = scaled
    return found


def _names(pack: Pack) -> dict[str, Any]:
    return {"dataset": pack.dataset, "variant": pack.variant}


def _tags(pack: Pack, seed: int, fingerprint: str) -> RunTags:
    return RunTags(pack.dataset, pack.variant, pack.protocol, pack.role, fingerprint, pack.data_digest, seed)


def parent_run(pack: Pack, store: "Store") -> Run:
    """The run of a variant, over all its seeds and jobs."""
    identity = atomic_files.digest([pack.dataset, pack.variant, pack.protocol, pack.data_digest, pack.parameters])
    tags = RunTags(pack.dataset, pack.variant, pack.protocol, "variant", identity, pack.data_digest)
    order = f", order {pack.order_seed}" if pack.order_seed else ""
    return store.start(tags, f"{pack.variant}{order}", resume=True)


def conclude(packs: Sequence[Pack], found: Mapping[str, RunResult], params: Params, store: "Store") -> None:
    """Close the variants' runs with means and intervals over their replicas, and their curves as a figure."""
    variants: dict[tuple[str, str], list[Pack]] = {}
    for pack in packs:
        if pack.role == "replica":
            variants.setdefault((pack.dataset, pack.variant), []).append(pack)
    for own in variants.values():
        close_parent(parent_run(own[0], store), own, found, params, store)


def close_parent(
    parent: Run, packs: Sequence[Pack], found: Mapping[str, RunResult], params: Params, store: "Store"
) -> None:
    """Close the run that holds the replicas of `packs`; as FAILED if it has not all of them."""
    runs = results_of(packs, found)
    if missing := sorted({seed for pack in packs for seed in pack.seeds} - {result.seed for result in runs}):
        store.fail(parent, f"seeds {missing} are not trained; run the command again")
        return
    store.finish(
        parent,
        metrics=_means(runs) | {"seeds": float(len(runs))},
        params=_names(packs[0]) | packs[0].parameters,
        files=_pictures(runs, params.datasets[packs[0].dataset]),
        inputs=_inputs(packs[0]),
    )


def _means(runs: Sequence[RunResult]) -> dict[str, float]:
    from feedforward.analysis import statistics  # SciPy takes a second

    metrics: dict[str, float] = {}
    for estimates in statistics.summarize(runs, {run.variant for run in runs}).values():
        for name, estimate in estimates.items():
            figures = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
            metrics |= {f"{kind}_{name}": value for kind, value in figures.items() if value is not None}
    return metrics


def summarize(curves: Mapping[str, Sequence[float]], test: Mapping[str, float]) -> dict[str, float]:
    """The figures of a run: at its best epoch (of lowest validation cross-entropy), at its last, on the test split."""
    score = run_result.score_of(curves)
    figures = {f"last_{score}": curves[score][-1], "last_cross_entropy": curves["cross_entropy"][-1]}
    if "val_cross_entropy" in curves:
        held_out = curves["val_cross_entropy"]
        best = min(range(len(held_out)), key=held_out.__getitem__)
        figures |= {
            "best_epoch": float(best + 1),
            "best_val_cross_entropy": held_out[best],
            f"best_val_{score}": curves[f"val_{score}"][best],
            "generalization_gap": held_out[best] - curves["cross_entropy"][best],
            "last_val_cross_entropy": held_out[-1],
            f"last_val_{score}": curves[f"val_{score}"][-1],
        }
    if test:
        others = {f"test_{name}": value for name, value in test.items() if name not in ("loss", "cross_entropy")}
        figures |= {"test_loss": test["cross_entropy"], **others}
    return figures


def _parts(pack: Pack, dataset: Dataset) -> tuple[Split, Split | None]:
    folder = paths.vectorized(pack.dataset)
    whole = Split.load(folder / "train")
    train, validation = split_training(whole, dataset) if pack.train == "training" else (whole, None)
    return train, Split.load(folder / "test") if pack.validate == "test" else validation


def split_training(whole: Split, dataset: Dataset) -> tuple[Split, Split]:
    """The training split without the held-out samples, and these, as `training.validation` says.

    Raises:
        DataError: nothing would be left to train on.
    """
    count, total = dataset.training.validation.samples, len(whole)
    if count >= total:
        raise DataError(
            f"{dataset.title}: training.validation.samples must be below the {total} training samples, got {count}"
        )
    if dataset.training.validation.take == "first":
        return whole.rows(count, total), whole.rows(0, count)
    return whole.rows(0, total - count), whole.rows(total - count, total)


def _inputs(pack: Pack) -> list[DataInput]:
    manifest, source = manifest_file.load(pack.dataset), f"data/vectorized/{pack.dataset}"
    inputs = [DataInput(f"{pack.dataset}-{pack.train}", manifest["train"], "training", f"{source}/train")]
    if pack.validate == "validation":
        inputs.append(DataInput(f"{pack.dataset}-validation", manifest["train"], "validation", f"{source}/train"))
    if pack.validate == "test" or pack.role == "final":
        inputs.append(DataInput(f"{pack.dataset}-test", manifest["test"], "test", f"{source}/test"))
    return inputs


_drawing = threading.Lock()  # matplotlib's fonts are not safe in several threads


def _pictures(runs: Sequence[RunResult], dataset: Dataset) -> dict[str, bytes]:
    from feedforward.reports import figures  # matplotlib takes a second

    with _drawing:
        return {"figures/curves.png": figures.png(figures.curves_of_run(runs, dataset.title))}


# --- compare -----------------------------------------------------------------------------------


def compare(params: Params) -> None:
    """Results of all protocols → reports/comparison, attached to each data set's experiment in the store too.

    Raises:
        DataError: the results are missing or do not belong to params.
    """
    from feedforward.experiments import comparison

    found = [result for protocol in params.protocols for result in run_result.load(paths.trained(protocol))]
    with ThreadPoolExecutor(1) as beside:  # MLflow takes four seconds to import, figures as long to draw
        opened = beside.submit(_open_store)
        additions = comparison.gather(found, params)
        folder = comparison.compare(found, params, params.protocols[0], additions=additions, apart=True)
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
