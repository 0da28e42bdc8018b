"""Raw files, vectorized data and validations that do not belong together are not combined."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import own_tables
import pytest
import registered
import workspaces
from shell import Shell

import feedforward as ff
from feedforward.config.schema import Expectations, Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, ValidationFailed
from feedforward.data import consistency, preparation
from feedforward.experiments import misclassified, plan
from feedforward.promotion import promote
from pipelines import training_flow

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

NOT_VALID = (
    r"^notes: its data have not passed validation .*; run `feedforward run` \(in Python: `ff.prepare\(params\)`\)$"
)
NOT_VECTORIZED = "data/raw/own: its files differ from those that were vectorized; run `feedforward run`"


@pytest.fixture
def prepared(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The params of a prepared table, whose file was fetched again with other rows afterwards."""
    workspaces.create(tmp_path, monkeypatch)
    columns = {"rooms": own_tables.ROOMS, "size": own_tables.SIZES, "label": own_tables.LABELS}
    _, params = own_tables.initialize(own_tables.table(tmp_path / "a.csv", **columns))
    ff.prepare(params)
    consistency.require_valid("own", params.datasets["own"])
    assert ff.raw_samples(params, "own", [0])
    own_tables.table(tmp_path / "a.csv", **{key: cells[::-1] * 2 for key, cells in columns.items()})
    preparation.fetch_again("own", params.datasets["own"], params)
    return params


@pytest.mark.proves("After files were fetched again, raw samples are not shown with the labels of the earlier files")
def test_files_that_were_fetched_again_are_refused_until_they_are_vectorized(prepared: Params, shell: Shell) -> None:
    hardest: list[dict[str, Any]] = [{"row": 0, "truth": 0, "answer": 1, "probability": 0.9, "columns": []}]
    uses: list[Callable[[], object]] = [
        lambda: ff.raw_samples(prepared, "own", [0]),
        lambda: misclassified.show("own", prepared.datasets["own"], hardest),
        lambda: ff.train(prepared),
        lambda: consistency.require_valid("own", prepared.datasets["own"]),
    ]
    for use in uses:
        with pytest.raises(DataError, match=NOT_VECTORIZED):
            use()
    assert shell.run("describe", "own") == 1
    assert NOT_VECTORIZED in shell.stderr
    ff.prepare(prepared)
    assert shell.run("describe", "own") == 0
    for use in (uses[0], uses[1], uses[3]):  # all but the training, which takes a long time
        use()


def test_a_manifest_that_does_not_name_the_files_is_refused(prepared: Params) -> None:
    path = paths.vectorized("own") / "manifest.json"
    manifest = atomic_files.read_json(path)
    del manifest["files"]
    atomic_files.write_json(path, manifest)
    with pytest.raises(DataError, match=NOT_VECTORIZED):
        ff.raw_samples(prepared, "own", [0])


def test_data_that_fail_validation_with_the_current_expectations_are_refused(prepared: Params) -> None:
    ff.prepare(prepared)
    dataset = prepared.datasets["own"]
    few, all_values = (1, 2), (-99, 99)
    bounds = Expectations(
        train_samples=few, test_samples=few, nonzero_features=(0, 9), value=all_values, raw_length=(1, 99),
        duplicates=0, overlap=0,
    )  # fmt: skip
    strict = dataset.model_copy(update={"expectations": bounds})
    with pytest.raises(DataError, match="own: its data have not passed validation with the current expectations"):
        consistency.require_valid("own", strict)
    with pytest.raises(ValidationFailed):
        preparation.validate("own", strict)
    with pytest.raises(DataError, match="own: its data have not passed validation"):
        consistency.require_valid("own", strict)
    consistency.require_valid("own", dataset)


@pytest.mark.proves("Data that have not passed validation are neither trained on nor promoted")
@pytest.mark.parametrize("content", [None, "{", "[]", '{"success": true}', "changed"])
def test_data_without_a_successful_validation_are_neither_trained_on_nor_promoted(
    small: Params, small_store: "Store", content: str | None
) -> None:
    run = registered.final_run(small_store, small)
    path = paths.validation("notes") / "summary.json"
    if content is None:
        path.unlink()
    elif content == "changed":
        atomic_files.write_json(path, atomic_files.read_json(path) | {"data_digest": "0" * 64})
    else:
        path.write_text(content)
    jobs = [training_flow.Job(pack, small) for pack in plan.plan(small, "fair", ["notes"])]
    uses: list[Callable[[], object]] = [
        lambda: ff.train(small, ["notes"]),
        lambda: training_flow.run_jobs(jobs, "sweep", lambda: None, small_store),
        lambda: promote.promote(small, "notes"),
    ]
    for use in uses:
        with pytest.raises(DataError, match=NOT_VALID):
            use()
    assert small_store.find_runs("notes") == [run]
