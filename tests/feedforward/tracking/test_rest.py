"""The means and intervals of variants, requested from the REST API as MLflow's web pages request them."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from small_data import params
from synthetic_runs import SHAPES, replica_run

from feedforward.experiments import parent_runs, plan
from feedforward.tracking.experiment_pages import bounds

if TYPE_CHECKING:
    from feedforward.tracking import Store

VARIANTS = ("original", "larger", "l2", "dropout")
STATISTIC = "best_val_cross_entropy"
T_QUANTILE = 3.182446305  # 97.5 % quantile of Student's t distribution with three degrees of freedom, for four seeds


def request(port: int, path: str, **body: Any) -> dict[str, Any]:
    http_request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/{path}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(http_request, timeout=30) as response:
        content: dict[str, Any] = json.load(response)
    return content


def by_key(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


@pytest.mark.slow
def test_variant_runs_can_be_sorted_by_mean_and_have_intervals(
    small_store: "Store", tmp_path: Path, tracking_server: Callable[[Path], int]
) -> None:
    four_seeds, losses = params(seeds=4), {}
    packs = plan.plan(four_seeds, "fair", ["notes"], VARIANTS)
    by_fingerprint = {}
    for pack in packs:
        names = [member.variant for member in pack.members]
        runs = [replica_run("notes", name, pack.seed, 20, SHAPES[name]) for name in names]
        by_fingerprint |= dict(zip(pack.fingerprints, runs, strict=True))
        for run in runs if pack.role == "replica" else ():
            losses.setdefault(run.variant, []).append(run.metrics[STATISTIC])
    parent_runs.conclude(packs, by_fingerprint, four_seeds, small_store)

    port = tracking_server(tmp_path / "mlruns" / "mlflow.db")
    experiment_id = request(port, "experiments/get-by-name?experiment_name=notes")["experiment"]["experiment_id"]
    for order, best_first in (("ASC", True), ("DESC", False)):
        answer = request(
            port,
            "runs/search",
            experiment_ids=[experiment_id],
            filter="tags.`role` = 'variant' and tags.`protocol` = 'fair'",
            order_by=[f"metrics.`mean_{STATISTIC}` {order}"],
            max_results=100,
        )
        variants = [by_key(run["data"]["tags"])["variant"] for run in answer["runs"]]
        assert variants == sorted(losses, key=lambda name: np.mean(losses[name]), reverse=not best_first)
    for run in answer["runs"]:  # both answers have the same runs
        metrics, variant = by_key(run["data"]["metrics"]), by_key(run["data"]["params"])["variant"]
        mean = np.mean(losses[variant])
        half_width = T_QUANTILE * np.std(losses[variant], ddof=1) / np.sqrt(len(losses[variant]))
        assert metrics["seeds"] == 4
        low_name, high_name = bounds(STATISTIC)
        limits = {low_name: mean - half_width, high_name: mean + half_width}
        for name, value in ({f"mean_{STATISTIC}": mean} | limits).items():
            assert metrics[name] == pytest.approx(value, rel=1e-9)
        for statistic in ("best_epoch", "last_val_cross_entropy", "generalization_gap", "rise", "slope"):
            low_name, high_name = bounds(statistic)
            assert metrics[low_name] <= metrics[f"mean_{statistic}"] <= metrics[high_name]
        assert run["info"]["status"] == "FINISHED"
        assert run["info"]["run_name"].startswith(variant)
