"""Promotion and rollback over a real MLflow server with proxied artifacts."""

from typing import TYPE_CHECKING

import pytest
import registered
from registered import NAME
from small_data import values, write_params

from feedforward.config.schema import load_params
from feedforward.core import paths
from feedforward.experiments import plan, runner
from feedforward.promotion import audit_log, history, promote
from feedforward.promotion.rollback import rollback
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


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
