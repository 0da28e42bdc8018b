"""Runs an experiment: trains and records packs of runs, and compares the results of all runs."""

import gc
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config import protocols
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths, processes, provenance
from feedforward.core.code_digest import check_unchanged, code_digest
from feedforward.core.errors import TrainingError
from feedforward.data import manifest as manifest_file
from feedforward.experiments import baseline_results, evaluation, parent_runs, plan, run_contents
from feedforward.experiments.plan import Member, Pack
from feedforward.models import network_files
from feedforward.tracking import Run, RunTags, sampling

if TYPE_CHECKING:
    from feedforward.experiments.training_run import Samples, TrainedRun
    from feedforward.tracking import Store

log = logging.getLogger(__name__)

Advance = Callable[[int, str], None]  # called with a number of steps and a note, for a progress bar


def no_progress(_steps: int, _note: str) -> None:
    """Show no progress."""


# --- train and record --------------------------------------------------------------------------


def prepare(jobs: int) -> None:
    """Import TensorFlow and set it up for `jobs` packs at a time; call it once, before the first pack.

    Small networks cannot use a second core well, so each pack gets its share of the cores, or one core if the number of
    threads affects the bits of the results.
    """
    threads = 1 if provenance.bits_depend_on_threads() else max(1, processes.cores() // jobs)
    with processes.importing(), processes.silent():  # TensorFlow writes to the file descriptor regardless of log level
        from feedforward.training import keras_backend, trainer  # noqa: F401  importing TensorFlow takes five seconds

        has_threads = keras_backend.configure(jobs, threads)
    if not has_threads and provenance.bits_depend_on_threads():
        log.warning(
            "TensorFlow was used before in this process, so its number of threads cannot be changed any more, and on"
            " this machine the last bits of results depend on it; start a new process, and train before other uses of"
            " TensorFlow or with %s=1", keras_backend.THREADS,
        )  # fmt: skip


def train_pack(
    pack: Pack,
    params: Params,
    store: "Store",
    advance: Advance = no_progress,
    parents: Mapping[str, Run] | None = None,
) -> list[RunResult]:
    """Train the members of a pack and record a run for each of them.

    parents: the parent run of each variant; by default, those from start_parents.

    Raises:
        TrainingError: the loss of a member is not finite; its run is closed as FAILED, the other runs are recorded.
        DataError: the data are not vectorized, or are damaged; no run is recorded. Or code or data were changed or
            damaged during the training; runs that are not recorded yet are closed as FAILED, because their results
            would be recorded with the wrong digests.
    """
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    _check_code()
    gc.collect()  # models and graphs form reference cycles that would keep the last pack in memory
    samples = training_run.load(pack, params.datasets[pack.dataset])  # rejects damaged data before a run is created
    parents = parent_runs.start_parents(pack, store) if parents is None else parents
    runs = [
        store.start(
            _tags(pack, member), f"{member.variant} {pack.logged_role} {pack.seed}", parents.get(member.variant)
        )
        for member in pack.members
    ]
    finished, failures = [], []
    with store.closing(*runs):

        def on_epoch(_: int, loss: float) -> None:
            advance(len(pack.members), f"{pack.name} loss {loss:.3f}")

        with sampling() as system_samples:  # system metrics; a short run has only one sample, taken at the end
            trained = training_run.train(pack, params, samples, on_epoch)
        evaluation_tags = {"evaluation_digest": _check_code()}
        atomic_files.crash_point("train.before_log")
        for run, member, outcome in zip(runs, pack.members, trained, strict=True):
            if isinstance(outcome, TrainingError):
                store.fail(run, str(outcome))
                failures.append(str(outcome))
                continue
            result = _result(pack, member, outcome, samples)
            # the evaluation on the test split has read the data again
            manifest_file.load_unchanged(pack.dataset, pack.data_digest)
            store.finish(
                run,
                result=result,
                params=run_contents.names(pack, member) | member.parameters | {"seed": pack.seed},
                tags=evaluation_tags,
                files=run_contents.pictures([result], params.datasets[pack.dataset]),
                model=outcome.model,
                network=network_files.to_files(trainer.as_arrays(outcome.model)),
                inputs=run_contents.inputs(pack),
                samples=system_samples,
            )
            finished.append(result)
            atomic_files.crash_point("train.after_log")
    if failures:
        raise TrainingError("; ".join(failures))
    return finished


def _check_code() -> str:
    """Check that code that determines results is as it was planned; return the digest of the evaluation's code.

    Raises:
        DataError: a file was changed.
    """
    evaluation_digest = code_digest(plan.EVALUATION)
    check_unchanged([*plan.WEIGHTS, *plan.EVALUATION])
    return evaluation_digest


def _result(pack: Pack, member: Member, trained: "TrainedRun", samples: "Samples") -> RunResult:
    from feedforward.training import trainer

    metrics = evaluation.summarize(trained.curves, trained.measured)
    tested = evaluation.FinalEvaluation({}, [], {})
    if pack.role == "final":
        tested = evaluation.evaluate_on_test(pack.dataset, trainer.as_arrays(trained.model))
    return RunResult(
        pack.dataset,
        member.variant,
        pack.seed,
        pack.protocol,
        pack.role,
        trained.curves,
        metrics | tested.metrics,
        trained.weights_digest,
        trained.measured,
        tested.hardest,
        _counts(pack, samples),
        trained.reliability,
        tested.errors,
    )


def _counts(pack: Pack, samples: "Samples") -> dict[str, int]:
    """The number of samples that the run used, by split; see RunResult.samples."""
    training, validation = samples
    counts = {"train": len(training)}
    if validation is not None:
        counts[pack.validate or ""] = len(validation)
    if pack.role == "final":
        counts["test"] = int(manifest_file.load(pack.dataset)["samples"]["test"])
    return counts


def _tags(pack: Pack, member: Member) -> RunTags:
    names = (pack.dataset, member.variant, pack.protocol, pack.logged_role)
    return RunTags(*names, member.fingerprint, pack.data_digest, pack.seed)


# --- compare -----------------------------------------------------------------------------------


def compare(params: Params) -> None:
    """Compare the results of all protocols; write reports/comparison and attach it to each dataset's experiment.

    Raises:
        DataError: the results are missing or do not belong to params.
        TrackingError: the store cannot be opened, or a record cannot be written.
    """
    from feedforward.experiments import comparison

    results = [result for protocol in params.protocols for result in run_result.load(paths.trained(protocol))]
    with ThreadPoolExecutor(1) as pool:  # importing MLflow takes four seconds, about as long as drawing
        future_store = pool.submit(_open_store)
        protocol = protocols.main(params)
        computed_by = run_result.fact(paths.trained(protocol), "computed_by")
        additions = comparison.gather(results, params, computed_by or provenance.computed_by())
        references = baseline_results.load(results, params, protocol)
        folder = comparison.compare(
            results, params, protocol, None, additions, own_process=True, baseline_results=references
        )
        store = future_store.result()
    for tags in _comparison_tags(params):
        store.log_folder(tags, "comparison", folder)


def log_comparison(params: Params) -> None:
    """Attach reports/comparison to each dataset's experiment, unless its current content is already attached.

    DVC restores a report from its cache without running the stage `compare`, which would attach it.

    Raises:
        TrackingError: the store cannot be opened, or a record cannot be written. DataError: the data are missing.
    """
    from feedforward.tracking import logged_folders

    folder = paths.comparison()
    if missing := [tags for tags in _comparison_tags(params) if not logged_folders.is_logged(tags, folder)]:
        store = _open_store()
        for tags in missing:
            store.log_folder(tags, "comparison", folder)


def _comparison_tags(params: Params) -> list[RunTags]:
    """The tags of the run to which the comparison is attached, for each dataset."""
    return [
        RunTags(
            name,
            "all",
            protocols.main(params),
            "comparison",
            atomic_files.digest(name),
            manifest_file.load(name)["data_digest"],
        )
        for name in params.datasets
    ]


def _open_store() -> "Store":
    from feedforward.tracking import open_store

    return open_store()
