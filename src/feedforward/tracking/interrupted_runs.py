"""Runs whose process has ended without closing them, for example because it was killed."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from feedforward.tracking import queries, sessions
from feedforward.tracking.connection import Connection

if TYPE_CHECKING:
    from mlflow import MlflowClient


def close(connection: Connection, client: "MlflowClient", lost: Collection[str]) -> int:
    """Close RUNNING runs of ended processes as KILLED; return the number closed.

    lost: fingerprints that no process is training any longer; their runs are closed even if the process was on another
    machine and cannot be checked.

    Raises:
        TrackingError: the store does not answer.
    """

    def attempt(_: bool) -> int:
        closed = 0
        for run in queries.running_runs(connection):
            has_ended = sessions.has_ended(run.data.tags)
            if has_ended or (has_ended is None and run.data.tags.get("fingerprint") in lost):
                client.set_terminated(run.info.run_id, "KILLED")
                closed += 1
        return closed

    return connection.attempt("reconcile", attempt)
