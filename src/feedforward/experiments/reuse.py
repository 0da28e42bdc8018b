"""Finds the results of finished runs, so that these runs are not trained again."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from feedforward.analysis.run_result import RunResult
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import DataError, TrackingError
from feedforward.experiments import evaluation, plan
from feedforward.experiments.plan import Pack
from feedforward.models import network_files

if TYPE_CHECKING:
    from feedforward.models.numpy_network import Network
    from feedforward.tracking import Store
    from feedforward.tracking.records import LoggedRun, StoredResult


def find_finished(packs: Iterable[Pack], store: "Store") -> dict[str, RunResult]:
    """Find the stored results of the packs' runs, by fingerprint; recompute metrics whose code has changed."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for pack in packs:
        groups.setdefault((pack.dataset, pack.protocol, pack.logged_role), []).extend(pack.fingerprints)
    results: dict[str, RunResult] = {}
    digest = code_digest(plan.EVALUATION)
    for group, fingerprints in groups.items():
        for fingerprint, stored in store.find_results(*group, fingerprints).items():
            result = stored.result if stored.evaluation == digest else _evaluate_again(stored, store, digest)
            results |= {fingerprint: result} if result else {}
    return results


def _evaluate_again(stored: "StoredResult", store: "Store", digest: str) -> RunResult | None:
    """Recompute the metrics and write them to the store; return the new result, or None if it needs a missing model."""
    metrics = evaluation.summarize(stored.result.curves, stored.result.measured)
    hardest, errors = stored.result.hardest, stored.result.errors
    if stored.result.role == "final":
        try:
            network = _network(stored.run) if stored.run else None
        except (DataError, TrackingError):
            network = None
        if network is None:
            return None
        tested = evaluation.evaluate_on_test(stored.result.dataset, network)
        metrics, hardest, errors = metrics | tested.metrics, tested.hardest, tested.errors
    result = dataclasses.replace(stored.result, metrics=metrics, hardest=hardest, errors=errors)
    if stored.run:
        store.renew(stored.run, result, digest)
    return result


def _network(run: "LoggedRun") -> "Network":
    from feedforward.tracking.registry import Registry

    return network_files.read(Registry().model_files(run), run.name)
