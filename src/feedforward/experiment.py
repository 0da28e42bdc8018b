"""The experiment: which runs there are, train those that are not known yet, record them all."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from feedforward import paths, processes, provenance, results, storage
from feedforward.errors import DataError, FeedforwardError
from feedforward.params import Dataset, Params, Variant
from feedforward.results import RunResult
from feedforward.splits import Split
from feedforward.tracking import DataInput, Run, RunTags, sampling

if TYPE_CHECKING:
    from feedforward.tracking import Store

Role = Literal["replica", "final"]
Advance = Callable[[int, str], None]


@dataclass(frozen=True)
class Pack:
    """Replicas of one variant that train side by side; `fingerprints` has one for each seed.

    train, validate: which samples (`training`, `all`) the runs learn from and where they are watched (`validation`,
    `test`, or `None`: nowhere). The final runs are evaluated on the test split when they are done.
    """

    dataset: str
    variant: str
    protocol: str
    role: Role
    seeds: tuple[int, ...]
    fingerprints: tuple[str, ...]
    epochs: int
    train: Literal["training", "all"]
    validate: Literal["validation", "test"] | None
    data_digest: str
    cost: float  # multiplications, to start the longest first

    @property
    def name(self) -> str:
        """What people read."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]}-{self.seeds[-1]}"
        return f"{self.dataset}/{self.variant}{' (final)' if self.role == 'final' else ''} {seeds}"

    def tags(self, seed: int, fingerprint: str) -> RunTags:
        """The tags of one run of the pack."""
        return RunTags(
            self.dataset, self.variant, self.protocol, self.role, fingerprint, self.data_digest, seed
        )


# --- which runs there are ----------------------------------------------------------------------


def plan(
    params: Params,
    protocol: str,
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Pack]:
    """The packs of an experiment, the longest first; empty filters mean all, and final runs belong to `fair`.

    Raises:
        ParamsError: an unknown name. DataError: the data are not vectorized yet.
    """
    chosen = {name: params.dataset(name) for name in datasets or params.datasets}
    wanted = {name: params.variant(name) for name in variants or params.variants}
    packs = []
    for name, dataset in chosen.items():
        manifest = _manifest(name)
        for variant, role in _runs(dataset, protocol, list(wanted)):
            packs += _packs(params, name, dataset, variant, protocol, role, seeds or range(params.seeds), manifest)
    return sorted(packs, key=lambda pack: -pack.cost)


def _runs(dataset: Dataset, protocol: str, variants: Sequence[str]) -> list[tuple[str, Role]]:
    if protocol == "lecture":
        slides = dataset.training.lecture.variants if dataset.training.lecture else ()
        return [(variant, "replica") for variant in variants if variant in slides]
    compared = variants if dataset.training.variants is None else dataset.training.variants
    runs: list[tuple[str, Role]] = [(variant, "replica") for variant in variants if variant in compared]
    final = dataset.training.final.variant
    return [*runs, (final, "final")] if final in variants else runs


def _packs(
    params: Params,
    name: str,
    dataset: Dataset,
    variant: str,
    protocol: str,
    role: Role,
    seeds: Iterable[int],
    manifest: Mapping[str, Any],
) -> list[Pack]:
    lecture = dataset.training.lecture
    on_test = protocol == "lecture" and lecture is not None and variant in lecture.validated_on_test
    units = dataset.network.sizes[params.variants[variant].size]
    samples = manifest["samples"]["train"]
    if role == "final":
        how: dict[str, Any] = {"epochs": dataset.training.final.epochs, "train": "all", "validate": None}
    else:
        how = {"epochs": dataset.training.epochs, "train": "all" if on_test else "training"}
        how["validate"] = "test" if on_test else "validation"
        samples -= 0 if on_test else dataset.training.validation.samples
    resolved = resolve(params, dataset, params.variants[variant]) | how
    side_by_side = max(1, params.pack_units // units[0])
    every = list(seeds)
    packs = []
    for start in range(0, len(every), side_by_side):
        part = tuple(every[start : start + side_by_side])
        prints = tuple(_fingerprint(manifest, resolved, seed, protocol, role) for seed in part)
        widths = [manifest["features"], *units]
        cost = how["epochs"] * samples * len(part) * sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        packs.append(
            Pack(name, variant, protocol, role, part, prints, data_digest=manifest["data_digest"], cost=cost, **how)
        )
    return packs


def resolve(params: Params, dataset: Dataset, variant: Variant) -> dict[str, Any]:
    """Every parameter that decides what a run of the variant learns, with defaults filled in, by flat names."""
    training, network = dataset.training, dataset.network
    return {
        "task": dataset.task,
        "hidden_units": list(network.sizes[variant.size]),
        "activation": network.activation,
        "scale": network.scale,
        "l2": variant.l2,
        "dropout_rate": variant.dropout_rate,
        "batch_size": training.batch_size,
        "data_order_seed": params.data_order_seed,
        "validation_take": training.validation.take,
        "validation_samples": training.validation.samples,
        **{f"optimizer_{key}": value for key, value in training.optimizer.model_dump().items()},
    }


def _fingerprint(manifest: Mapping[str, Any], resolved: dict[str, Any], seed: int, protocol: str, role: str) -> str:
    return provenance.fingerprint(
        data_digest=manifest["data_digest"],
        resolved=resolved,
        seed=seed,
        protocol=protocol,
        role=role,
        device=os.environ.get("CUDA_VISIBLE_DEVICES", "default"),
    )


def _manifest(name: str) -> dict[str, Any]:
    path = paths.vectorized(name) / "manifest.json"
    try:
        return dict(storage.read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run `dvc repro vectorize`") from None


# --- train and record --------------------------------------------------------------------------


def find_known(packs: Iterable[Pack], store: "Store") -> tuple[list[RunResult], list[Pack]]:
    """The results that the store holds already, and what is left to train."""
    known: list[RunResult] = []
    left = []
    groups: dict[tuple[str, str, str], list[Pack]] = {}
    for pack in packs:
        groups.setdefault((pack.dataset, pack.protocol, pack.role), []).append(pack)
    for (dataset, protocol, role), members in groups.items():
        found = store.find_results(dataset, protocol, role, [p for pack in members for p in pack.fingerprints])
        known += found.values()
        for pack in members:
            missing = [k for k, fingerprint in enumerate(pack.fingerprints) if fingerprint not in found]
            if missing:
                seeds, prints = ([values[k] for k in missing] for values in (pack.seeds, pack.fingerprints))
                left.append(dataclasses.replace(pack, seeds=tuple(seeds), fingerprints=tuple(prints)))
    return known, sorted(left, key=lambda pack: -pack.cost)


def prepare(jobs: int) -> None:
    """Import the heavy rooms and set TensorFlow up for `jobs` packs at a time; call it once, before the first pack."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # on or off changes bits, so it must not be left to chance
    with processes.silent():  # TensorFlow greets on the file descriptor, whatever its log level
        from feedforward import training  # takes five seconds

        training.configure(jobs)


def train_pack(pack: Pack, params: Params, store: "Store", advance: Advance = lambda steps, note: None) -> list[RunResult]:
    """Train the replicas of a pack, record each as a run of its own, and return what they leave behind.

    Raises:
        TrainingError: a loss is not finite; the runs are closed as FAILED.
    """
    from feedforward import training

    dataset, variant = params.datasets[pack.dataset], params.variants[pack.variant]
    folder = paths.vectorized(pack.dataset)
    whole = Split.load(folder / "train")
    train, validation = _parts(pack, dataset, whole, folder)
    parent = None if pack.role == "final" else parent_run(pack, store)
    runs = [
        store.start(pack.tags(seed, fingerprint), f"{pack.variant} {pack.role} {seed}", parent)
        for seed, fingerprint in zip(pack.seeds, pack.fingerprints, strict=True)
    ]
    with store.closing(*runs), sampling() as samples:
        replicas = training.fit(
            dataset,
            variant,
            train,
            validation,
            pack.seeds,
            params.data_order_seed,
            pack.epochs,
            lambda epoch, loss: advance(len(pack.seeds), f"{pack.name} loss {loss:.3f}"),
        )
        tested = [{}] * len(replicas)
        if pack.role == "final":
            tested = training.evaluate([replica.model for replica in replicas], Split.load(folder / "test"))
        finished = [
            RunResult(
                pack.dataset,
                pack.variant,
                replica.seed,
                pack.protocol,
                pack.role,
                replica.curves,
                summarize(replica.curves, test),
                training.weights_digest(replica.model),
            )
            for replica, test in zip(replicas, tested, strict=True)
        ]
        storage.crash_point("train.before_log")
        parameters = resolve(params, dataset, variant) | {
            "epochs": pack.epochs,
            "train": pack.train,
            "validate": pack.validate,
            "variant": pack.variant,
            "dataset": pack.dataset,
        }
        for run, result, replica in zip(runs, finished, replicas, strict=True):
            store.finish(
                run,
                result=result,
                params=parameters | {"seed": result.seed},
                files=_pictures([result], dataset),
                model=replica.model,
                inputs=_inputs(pack),
                samples=samples,
            )
            storage.crash_point("train.after_log")
    return finished


def parent_run(pack: Pack, store: "Store") -> Run:
    """The run of a variant, over all its seeds and jobs."""
    everything = storage.digest(sorted({pack.dataset, pack.variant, pack.protocol, pack.data_digest}))
    tags = RunTags(pack.dataset, pack.variant, pack.protocol, "variant", everything, pack.data_digest)
    return store.start(tags, pack.variant, resume=True)


def conclude(packs: Iterable[Pack], found: Sequence[RunResult], params: Params, store: "Store") -> None:
    """Close the variants' runs with means and intervals over their replicas, and their curves as a figure."""
    from feedforward import statistics  # pandas-free, but SciPy takes a second

    for pack in {(pack.dataset, pack.variant): pack for pack in packs if pack.role == "replica"}.values():
        dataset = params.datasets[pack.dataset]
        runs = [
            result
            for result in found
            if (result.dataset, result.variant, result.role) == (pack.dataset, pack.variant, "replica")
        ]
        if not runs:
            continue
        summary = statistics.summarize(runs, [pack.variant])[pack.variant]
        metrics = {}
        for name, estimate in summary.items():
            figures = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
            metrics |= {f"{kind}_{name}": value for kind, value in figures.items() if value is not None}
        store.finish(
            parent_run(pack, store),
            metrics=metrics | {"seeds": float(len(runs))},
            params=resolve(params, dataset, params.variants[pack.variant]) | {"epochs": pack.epochs},
            files=_pictures(runs, dataset),
            inputs=_inputs(pack),
        )


def summarize(curves: Mapping[str, Sequence[float]], test: Mapping[str, float]) -> dict[str, float]:
    """The figures of a run: at its best epoch (lowest validation cross-entropy, from 1), at its last, and on the test."""
    figures = {"last_accuracy": curves["accuracy"][-1], "last_cross_entropy": curves["cross_entropy"][-1]}
    if "val_cross_entropy" in curves:
        held_out = curves["val_cross_entropy"]
        best = min(range(len(held_out)), key=held_out.__getitem__)
        figures |= {
            "best_epoch": float(best + 1),
            "best_val_cross_entropy": held_out[best],
            "best_val_accuracy": curves["val_accuracy"][best],
            "generalization_gap": held_out[best] - curves["cross_entropy"][best],
            "last_val_cross_entropy": held_out[-1],
            "last_val_accuracy": curves["val_accuracy"][-1],
        }
    if test:
        figures |= {"test_loss": test["cross_entropy"], "test_accuracy": test["accuracy"]}
    return figures


def _parts(pack: Pack, dataset: Dataset, whole: Split, folder: Any) -> tuple[Split, Split | None]:
    training, validation = split_training(whole, dataset)
    held_out = {None: lambda: None, "validation": lambda: validation, "test": lambda: Split.load(folder / "test")}
    return (training if pack.train == "training" else whole), held_out[pack.validate]()


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
    manifest, source = _manifest(pack.dataset), f"data/vectorized/{pack.dataset}"
    inputs = [DataInput(f"{pack.dataset}-{pack.train}", manifest["train"], "training", f"{source}/train")]
    if pack.validate == "validation":
        inputs.append(DataInput(f"{pack.dataset}-validation", manifest["train"], "validation", f"{source}/train"))
    if pack.validate == "test" or pack.role == "final":
        inputs.append(DataInput(f"{pack.dataset}-test", manifest["test"], "test", f"{source}/test"))
    return inputs


def _pictures(runs: Sequence[RunResult], dataset: Dataset) -> dict[str, bytes]:
    from feedforward import figures  # matplotlib takes a second

    return {"figures/curves.png": figures.png(figures.curves_of_run(runs, dataset.title))}


# --- compare -----------------------------------------------------------------------------------


def compare(params: Params) -> None:
    """Results of all protocols → reports/comparison, attached to each data set's experiment in the store too.

    Raises:
        DataError: the results are missing or do not belong to params.
    """
    from feedforward import comparison
    from feedforward.tracking import open_store

    found = [result for protocol in params.protocols for result in results.load(paths.trained(protocol))]
    folder = comparison.compare(found, params, params.protocols[0])
    store = open_store()
    for name in params.datasets:
        tags = RunTags(name, "all", params.protocols[0], "comparison", storage.digest(name), _manifest(name)["data_digest"])
        store.log_folder(tags, "comparison", folder)
