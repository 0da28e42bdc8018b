"""Promotion and rollback over a real MLflow server with proxied artifacts."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import live_servers
import pytest
import registered
import tracked_runs
from registered import NAME
from small_data import values, write_params

from feedforward import tracking
from feedforward.config.schema import Params, load_params
from feedforward.core import paths
from feedforward.core.errors import TrackingError
from feedforward.experiments import plan, runner
from feedforward.promotion import audit_log, history, promote
from feedforward.promotion.rollback import rollback
from feedforward.serving import prediction
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow
set_alias = Registry.set_alias


def set_alias_without_an_answer(registry: Registry, version: Version, alias: str) -> None:
    set_alias(registry, version, alias)
    raise TrackingError("the answer is lost")


@pytest.mark.proves("Promotion and rollback work with an MLflow server that proxies artifacts")
def test_runs_are_promoted_and_rolled_back_over_a_tracking_server(remote_store: "Store", tensorflow: None) -> None:
    registered.write_vocabulary()
    write_params(paths.params(), values(promotion={"holdout_models": 2, "minimum_gain": 0.0}))
    params = load_params()
    for pack in plan.plan(params, "fair", [NAME], ["original", "smaller"]):
        runner.train_pack(pack, params, remote_store)
    runs = remote_store.find_runs(NAME, role="final")
    first = promote.promote(params, NAME, runs[0].run_id)
    assert (first.decision.promoted, first.champion) == (True, 1)
    second = promote.promote(params, NAME, runs[-1].run_id)
    assert second.version.number == 2
    number = registered.find_version().number
    Registry().set_alias(registered.find_version(3 - number), "champion")  # the other version, 1 or 2
    assert rollback(params, NAME, number, "tried").number == number
    assert audit_log.entries(NAME)[-1]["decision"] == "rolled_back"
    assert history.history(NAME).mismatch is None


@pytest.mark.proves("After a promotion or rollback, no prediction comes from the champion before, even offline")
def test_the_champion_before_is_not_used_while_the_server_is_down(
    params: Params, empty_database: Path, tmp_path: Path, tensorflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = tmp_path / "server", live_servers.free_port()
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with tracked_runs.server(folder, port):
        registry, store = Registry(), tracking.open_store()
        run = registered.final_run(store, params)
        for strength in (1.0, 2.0):
            version = registered.version(registry, run, strength, model=registered.real_keras_model(strength))
            assert promote.conclude(params, NAME, run, version, registry).decision.promoted
    assert prediction.champion(NAME).version.number == 2
    with tracked_runs.server(folder, port):
        assert rollback(params, NAME, None, "2 is bad").number == 1
    assert prediction.champion(NAME).version.number == 1

    with tracked_runs.server(folder, port), monkeypatch.context() as patch:
        patch.setattr(Registry, "set_alias", set_alias_without_an_answer)
        with pytest.raises(TrackingError, match="the answer is lost"):
            rollback(params, NAME, 2, "1 is bad")
    with pytest.raises(TrackingError):
        prediction.champion(NAME)
