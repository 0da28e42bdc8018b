"""Failed, interrupted and killed runs are closed, with the reason."""

import contextlib
import dataclasses
import math
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tracked_runs import (
    DIGEST,
    all_runs,
    history,
    result,
    run_python,
    tags,
)

from feedforward.core.errors import TrainingError
from feedforward.tracking import records

if TYPE_CHECKING:
    from feedforward.tracking import Store


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_metric_fails_the_run(store: "Store", value: float) -> None:
    not_finite = dataclasses.replace(result(), curves={"loss": [0.5, value, 0.1]})
    run = store.start(tags(), "original seed 0")
    with pytest.raises(TrainingError, match=r"original seed 0: loss must be finite, got -?(nan|inf) at epoch 2"):
        store.finish(run, result=not_finite)
    (stored_run,) = all_runs()
    assert stored_run.info.status == "FAILED"
    assert stored_run.data.metrics == {}
    assert "must be finite" in stored_run.data.tags["error"]
    assert store.find_results("words", "fair", "replica", [DIGEST]) == {}


def test_an_infinite_metric_of_a_parent_run_is_rejected(store: "Store") -> None:
    with pytest.raises(TrainingError, match="mean_loss must be finite, got inf;"):
        store.finish(store.start(tags("variant", None), "original"), metrics={"mean_loss": math.inf})


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no memory\nleft"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_an_exception_closes_unfinished_runs(store: "Store", error: BaseException, status: str) -> None:
    finished, unfinished = store.start(tags(seed=0), "a"), store.start(tags(seed=1), "b")
    with contextlib.suppress(type(error)), store.closing(finished, unfinished):
        store.finish(finished, result=result())
        raise error
    by_seed = {run.data.tags["seed"]: run for run in all_runs()}
    assert by_seed["0"].info.status == "FINISHED"
    assert by_seed["1"].info.status == status
    assert by_seed["1"].data.tags["error"] == ("no memory" if str(error) else "KeyboardInterrupt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "status"), [("log.before_rename", "KILLED"), ("log.before_close", "FINISHED")], ids=["record", "close"]
)
def test_a_kill_while_logging_loses_only_an_incomplete_record(
    store: "Store", workspace: Path, point: str, status: str
) -> None:
    """If the record is incomplete, the run is lost and reported as such; once it is complete, nothing is lost."""
    done = run_python(workspace, "log(tracking.open_store(), params={'epochs': 20})", FAULT=point)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store.reconcile()
    (run,) = all_runs()
    assert run.info.status == status
    assert bool(store.find_results("words", "fair", "replica", [f"{0:064x}"])) == (status == "FINISHED")
    assert history(run.info.run_id, "loss") == (
        list(enumerate(result().curves["loss"], 1)) if status == "FINISHED" else []
    )
    assert list(records.spool().glob("*")) == []
