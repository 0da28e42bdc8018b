"""Store: start, finish and find runs. Ended runs are recorded, then sent, so none is lost if the store is down."""

import contextlib
import dataclasses
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout

from feedforward.analysis.run_result import RunResult
from feedforward.core import atomic_files, locks, paths, provenance
from feedforward.core.errors import DataError, TrackingError, TrainingError
from feedforward.core.redaction import redact
from feedforward.tracking import (
    database,
    interrupted_runs,
    logged_folders,
    model_folder,
    names,
    queries,
    records,
    sessions,
)
from feedforward.tracking import sync as sending
from feedforward.tracking.connection import Connection
from feedforward.tracking.records import (
    Content,
    DataInput,
    LoggedRun,
    Record,
    Run,
    RunTags,
    Sample,
    StoredResult,
    SyncResult,
)


class Store:
    """A tracking store. All methods may be called from several threads at the same time.

    If the store fails, one warning is logged, further records wait in the spool, and training continues.
    """

    def __init__(self, uri: str) -> None:
        self._connection = Connection(uri)
        self._client = self._connection.client
        self._git = provenance.git_state(paths.root())
        self._experiments: dict[str, str] = {}
        self._run_ids: dict[str, str] = {}
        self._open_runs: dict[str, Run] = {}
        self._new_runs: set[str] = set()  # runs to which nothing has been added since they were created

    # --- write -------------------------------------------------------------------------------

    def start(self, tags: RunTags, name: str, parent: Run | None = None, resume: bool = False) -> Run:
        """Create a run that is RUNNING until `finish` or `fail`.

        resume: continue the run with the same tags if there is one, so that a variant keeps one parent run across
        jobs. Without `resume`, each attempt is a separate run.
        """
        if not resume:
            return self._start(records.new_run(tags, name, parent, records.new_id(), self._git), search=False)
        identity = records.lasting_id(tags)
        with self._locked(identity):  # two threads that search for the run at the same time would both create one
            if identity in self._open_runs:
                return self._open_runs[identity]
            return self._start(records.new_run(tags, name, parent, identity, self._git), search=True)

    def _start(self, run: Run, search: bool) -> Run:
        with contextlib.suppress(TrackingError):
            self._connection.attempt(f"start {run.name}", lambda is_retry: self._open(run, search=is_retry or search))
        self._open_runs[run.id] = run
        return run

    @contextlib.contextmanager
    def closing(self, *runs: Run) -> Iterator[None]:
        """If the block raises, close the runs that are still open: as FAILED, or as KILLED on Ctrl-C."""
        try:
            yield
        except BaseException as error:
            for run in runs:
                if run.id in self._open_runs:
                    with contextlib.suppress(TrackingError):
                        self.fail(run, str(error) or type(error).__name__, killed=not isinstance(error, Exception))
            raise

    def finish(
        self,
        run: Run,
        *,
        result: RunResult | None = None,
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Sequence[float]] | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, Content] | None = None,
        model: Any = None,
        network: Mapping[str, bytes] | None = None,
        inputs: Sequence[DataInput] = (),
        samples: Sequence[Sample] = (),
    ) -> None:
        """Record the run, send it and close it as FINISHED; a record that cannot be sent waits in the spool.

        result: logged as curves (step = epoch), metrics and `result.json`. curves: additional curves, by name. files:
        artifact path → text, bytes, a path or a matplotlib figure. model: a keras.Model with one input and one
        output. network: files logged with the model, by name. samples: from `sampling`.

        Raises:
            TrainingError: a value is not finite; the run is closed as FAILED.
            TrackingError: the record cannot be written.
        """
        ended = records.now()
        try:
            points = records.points(run.name, result, metrics or {}, samples, ended, curves or {})
        except TrainingError as error:
            with contextlib.suppress(TrackingError):
                self.fail(run, str(error))
            raise
        new_tags, contents = dict(tags or {}), dict(files or {})
        if result:
            fields = dataclasses.asdict(result)
            new_tags |= {"weights_digest": result.weights_digest, "result_digest": atomic_files.digest(fields)}
            contents[records.RESULT] = atomic_files.canonical_json(fields, indent=2)
        safe_params, safe_tags = records.redact_all(run, params or {}, new_tags)
        safe_inputs = [dataclasses.replace(entry, source=redact(entry.source)) for entry in inputs]
        record = Record(run, "FINISHED", ended, safe_tags, safe_params, points, safe_inputs)
        self._write_and_send(record, contents, model, network or {})

    def fail(self, run: Run, reason: str, killed: bool = False) -> None:
        """Close the run as FAILED (or KILLED), with the reason in the `error` tag.

        Raises:
            TrackingError: the record cannot be written.
        """
        _, tags = records.redact_all(run, {}, {"error": reason.splitlines()[0] if reason else "unknown"})
        record = Record(run, "KILLED" if killed else "FAILED", records.now(), tags, {}, [], [])
        with contextlib.suppress(DataError):  # the record waits until the folder of the artifacts is back
            self._write_and_send(record, {}, None, {})

    @contextlib.contextmanager
    def closing_when_interrupted(self) -> Iterator[None]:
        """If the block ends with Ctrl-C, close as KILLED all runs that are still open."""
        try:
            yield
        except KeyboardInterrupt:
            self.kill_open()
            raise

    def kill_open(self) -> None:
        """Close as KILLED all runs that this store has started but not finished, because the job is interrupted."""
        for run in list(self._open_runs.values()):
            with contextlib.suppress(TrackingError):
                self.fail(run, "interrupted", killed=True)

    def log_folder(self, tags: RunTags, name: str, folder: Path, metrics: Mapping[str, float] | None = None) -> None:
        """Log all files in `folder` as one run; another call with the same tags updates it. See `logged_folders`.

        Raises:
            TrackingError: the record cannot be written.
        """
        run, digest = self.start(tags, name, resume=True), logged_folders.content_digest(folder)
        self.finish(run, metrics=metrics, tags={logged_folders.DIGEST: digest}, files=logged_folders.files(folder))

    def renew(self, run: LoggedRun, result: RunResult, evaluation: str) -> None:
        """Update the metrics of a finished run to those in `result`, recomputed from the run's curves and model.

        The result is written under a separate name before the tags refer to it, so a job killed in between changes
        nothing. If the store does not answer, the run keeps its old metrics, and a later job recomputes them.

        evaluation: digest of the code that computed the metrics.

        Raises:
            TrainingError: a metric is not finite.
        """
        points = records.points(run.name, result, {}, [], records.now())
        digest = queries.result_digest(result)
        file = f"results/{digest}.json"
        tags = {"result_digest": digest, "result_file": file, "evaluation_digest": evaluation}

        def write(_: bool) -> None:
            text = atomic_files.canonical_json(dataclasses.asdict(result), indent=2)
            self._client.log_text(run.run_id, text, file)
            sending.log_metrics(self._client, run.run_id, [point for point in points if point[3] == 0], tags)

        with contextlib.suppress(TrackingError):
            self._connection.attempt(f"renew {run.name}", write)

    # --- repair ------------------------------------------------------------------------------

    def sync(self) -> SyncResult:
        """Send the records in the spool, parents first; a rejected record does not block the others."""
        self._connection.reset()
        sent, problems = 0, []
        for folder, record in records.waiting_records():
            try:
                with self._locked(record.run.id, wait=False):
                    if (folder / "record.json").exists():
                        self._send(folder, Record.load(folder))
                        sent += 1
            except Timeout:
                continue  # the process that wrote the record is sending it
            except (TrackingError, DataError) as error:
                problems.append(str(error))
                if self._connection.is_down:
                    break
        self._remove_partial_records()
        return SyncResult(sent, len(list(records.waiting_records())), problems)

    def reconcile(self, lost: Collection[str] = ()) -> int:
        """Send waiting records, then `close_interrupted`."""
        self.sync()
        return self.close_interrupted(lost)

    def close_interrupted(self, lost: Collection[str] = ()) -> int:
        """Close RUNNING runs of ended processes as KILLED; return the number closed.

        lost: fingerprints that no process is training any longer; their runs are closed even if the process was on
        another machine and cannot be checked.
        """
        sessions.remove_old_locks()
        with contextlib.suppress(TrackingError):
            return interrupted_runs.close(self._connection, self._client, lost)
        return 0

    # --- find --------------------------------------------------------------------------------

    def find_results(
        self, dataset: str, protocol: str, role: str, fingerprints: Collection[str]
    ) -> dict[str, StoredResult]:
        """Find results of finished runs, exactly as logged, by fingerprint; damaged or incomplete results are omitted.

        Includes records in the spool; if the store does not answer, only these and the results read before are found.

        Raises:
            DataError: the folder of the artifacts is that of another checkout, and does not exist.
        """
        tags = {"dataset": dataset, "protocol": protocol, "role": role}
        results = queries.results_in_spool(dataset, tags)
        missing = set(fingerprints) - results.keys()
        results |= queries.results_in_store(self._connection, dataset, tags, missing) if missing else {}
        return {key: result for key, result in results.items() if key in fingerprints}

    def find_runs(self, dataset: str, status: str | None = "FINISHED", **tags: str) -> list[LoggedRun]:
        """The runs of a dataset with this status (None: any) and these tags, the latest first.

        Raises:
            TrackingError: the store does not answer.
        """
        return queries.runs(self._connection, dataset, status, tags)

    def experiment(self, dataset: str) -> str | None:
        """Return the ID of a dataset's experiment, after setting the tags of its pages; None if there is no active one.

        Raises:
            TrackingError: the store does not answer.
        """

        def look_up(_: bool) -> str | None:
            name = names.experiment(dataset)
            experiment = self._client.get_experiment_by_name(name)
            return self._experiment(name) if experiment and experiment.lifecycle_stage == "active" else None

        return self._connection.attempt("looking up experiments", look_up)

    # --- records and requests ------------------------------------------------------------------

    def _write_and_send(
        self, record: Record, files: Mapping[str, Content], model: Any, network: Mapping[str, bytes]
    ) -> None:
        folder = records.spool() / record.run.id
        self._open_runs.pop(record.run.id, None)
        with self._locked(record.run.id):
            try:
                with atomic_files.writing_folder(folder, "log") as temporary:
                    if model is not None:
                        model_folder.save_keras(model, temporary / "model")
                        model_folder.add_files(temporary / "model", network)
                    records.write(temporary, record, files)
            except OSError as error:
                raise TrackingError(f"{folder}: cannot be written ({error.strerror or error}); run again") from None
            with contextlib.suppress(TrackingError):
                self._send(folder, record)

    def _send(self, folder: Path, record: Record) -> None:
        def deliver(is_retry: bool) -> None:
            run_id = self._open(record.run, search=is_retry, reopen=False)
            is_new = not is_retry and record.run.id in self._new_runs
            self._new_runs.discard(record.run.id)
            stored = None if is_new else sending.fetch(self._client, run_id, record.points)
            if stored and stored.has_other_curves(record.points):
                run_id, stored = sending.replace(self._client, stored.run, record), None
                self._run_ids[record.run.id] = run_id
            sending.send(self._client, self._experiment(record.run.experiment), run_id, folder, record, stored)

        self._connection.attempt(f"send {record.run.name}", deliver)
        sent_folder = folder.with_name(folder.name + atomic_files.TEMPORARY_SUFFIX)
        folder.replace(sent_folder)  # atomic, so that a half-removed folder is never mistaken for a record
        shutil.rmtree(sent_folder)

    def _open(self, run: Run, search: bool, reopen: bool = True) -> str:
        """Return MLflow's ID of a run; create the run if it does not exist. reopen: set an existing run to RUNNING."""
        if not search and run.id in self._run_ids:
            return self._run_ids[run.id]
        experiment = self._experiment(run.experiment)
        stored = sending.find(self._client, experiment, run.id) if search or not reopen else None
        if stored is None:
            parent_id = self._open(run.parent, search=False, reopen=False) if run.parent else None
            run_id = sending.create(self._client, experiment, run, parent_id)
            self._new_runs.add(run.id)
        else:
            run_id = str(stored.info.run_id)
            if reopen:
                sending.reopen(self._client, stored, run)
        self._run_ids[run.id] = run_id
        return run_id

    def _experiment(self, name: str) -> str:
        # No lock: threads must wait for a frozen store concurrently, not one after the other.
        if name not in self._experiments:
            location = None if self._connection.is_server else (database.artifact_root() / name).as_uri()
            self._experiments[name] = sending.experiment_id(self._client, name, location)
        return self._experiments[name]

    @contextlib.contextmanager
    def _locked(self, record_id: str, wait: bool = True) -> Iterator[None]:
        """Lock a record, so that no other process or thread sends it at the same time.

        Raises:
            Timeout: the record is locked, and `wait` is false. Busy: it stays locked.
        """
        spool = records.spool()
        spool.mkdir(parents=True, exist_ok=True)
        lock = spool / f"{record_id}.lock"
        with locks.holding(lock, locks.LONG) if wait else locks.private(lock, timeout=0):
            yield
            if not (spool / record_id).exists():  # the record was sent, so nothing locks it again
                lock.unlink(missing_ok=True)

    def _remove_partial_records(self) -> None:
        """Remove incomplete records of processes that were killed."""
        for partial in records.spool().glob(f"*{atomic_files.TEMPORARY_SUFFIX}"):
            with (
                contextlib.suppress(Timeout),
                self._locked(partial.name.removesuffix(atomic_files.TEMPORARY_SUFFIX), wait=False),
            ):
                shutil.rmtree(partial, ignore_errors=True)
