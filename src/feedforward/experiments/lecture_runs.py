"""The runs for the lecture's page: the variants, and all combinations of size, L2 and dropout in the store.

A combination counts if its runs are those that training it now would reuse: same data, code, libraries, kind of CPU.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from feedforward.analysis.findings import find
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params, Variant
from feedforward.core.errors import DataError
from feedforward.data import manifest as manifest_file
from feedforward.experiments import parent_runs, plan, runner, search_space
from feedforward.experiments.plan import Pack
from feedforward.reports.lecture_page import FIELDS, Story

if TYPE_CHECKING:
    from feedforward.tracking import Store
    from feedforward.tracking.records import LoggedRun

PROTOCOL = "fair"


def collect(params: Params, name: str, store: "Store") -> Story:
    """The story of a dataset, from the runs in the store.

    Raises:
        DataError: there is no run of a variant.
        ParamsError: no such dataset.
        TrackingError: the store does not answer.
    """
    dataset, digest = params.dataset(name), manifest_file.load(name)["data_digest"]
    logged = [
        run
        for role in ("replica", "final")
        for run in store.find_runs(name, role=role, protocol=PROTOCOL)
        if run.tags.get("data_digest") == digest
    ]
    seeds = sorted({int(run.tags["seed"]) for run in logged})
    combinations = _combinations(params, name, logged)
    every = params.model_copy(
        update={
            "variants": combinations,
            "datasets": {
                name: dataset.model_copy(update={"training": dataset.training.model_copy(update={"variants": None})})
            },
        }
    )
    known = {run.tags["fingerprint"] for run in logged}
    variants = _results(plan.plan(params, PROTOCOL, [name], seeds=seeds) if seeds else [], known, store)
    combined = _results(plan.plan(every, PROTOCOL, [name], seeds=seeds) if seeds else [], known, store)
    base = _text(params.variants[dataset.training.final.variant])
    trained = {run.variant for run in combined if run.role == "replica"}
    if base not in trained:
        raise DataError(
            f"{name}: the store has no finished run of {dataset.training.final.variant} with these data, code and "
            f"parameters; run `feedforward train {name}`"
        )
    only = params.model_copy(update={"datasets": {name: dataset}})
    [findings] = find(variants, only, PROTOCOL)
    points = {
        text: tuple(search_space.shown(getattr(variant, field)) for field in FIELDS)
        for text, variant in combinations.items()
        if text in trained
    }
    variants_by_text = {
        _text(variant): key for key, variant in reversed(params.variants.items()) if key in findings.variants
    }
    return Story(findings, points, variants_by_text, base, [run for run in combined if run.role == "replica"])


def _combinations(params: Params, name: str, logged: Iterable["LoggedRun"]) -> dict[str, Variant]:
    """Combinations of size, L2 and dropout by name: those of the variants, and those of runs in the store."""
    sizes = {tuple(units): size for size, units in params.datasets[name].network.sizes.items()}
    variants = list(params.variants.values())
    for run in logged:
        units = tuple(json.loads(run.params.get("hidden_units", "[]")))
        if units in sizes:
            values = {key: float(run.params[key]) for key in ("l2", "dropout_rate")}
            variants.append(Variant(size=sizes[units], **values))
    return {_text(variant): variant for variant in variants}


def _text(variant: Variant) -> str:
    return search_space.text({field: getattr(variant, field) for field in FIELDS})


def _results(packs: Sequence[Pack], known: set[str], store: "Store") -> list[RunResult]:
    """The results of the planned runs that the store has."""
    wanted = [pack.without(set(pack.fingerprints) - known) for pack in packs]
    wanted = [pack for pack in wanted if pack.members]
    return parent_runs.results_of(wanted, runner.find_known(wanted, store))
