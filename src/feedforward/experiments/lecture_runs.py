"""The runs for the lecture page: of the variants, and stored runs with other sizes, L2 penalties or dropout rates.

A run is used if its data, parameters and protocol are those that a new run would have. Runs with the current code,
libraries and kind of CPU are preferred; the page says how many of its runs were made with others.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from feedforward.analysis.findings import find
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params, Variant
from feedforward.core.errors import DataError
from feedforward.data import manifest as manifest_file
from feedforward.experiments import parent_runs, plan, reuse, search_space
from feedforward.experiments.plan import Pack
from feedforward.experiments.sweep import FIRST_FRESH_SEED
from feedforward.reports.lecture_page import FIELDS, Story

if TYPE_CHECKING:
    from feedforward.tracking import Store
    from feedforward.tracking.records import LoggedRun

PROTOCOL = "fair"
# (role, seed, parameters) → fingerprints, the latest first
FingerprintIndex = Mapping[tuple[str, str, frozenset[tuple[str, str]]], Sequence[str]]


def collect(params: Params, name: str, store: "Store") -> Story:
    """Collect what the page shows about a dataset, from the runs in the store.

    Raises:
        DataError: the data are not vectorized, or there is no run of the baseline, which is the final model's variant
            or, if it is not among the compared variants, the first of these.
        ParamsError: no such dataset.
        TrackingError: the store does not answer.
    """
    dataset = params.dataset(name)
    compared, final = dataset.training.variants or tuple(params.variants), dataset.training.final.variant
    baseline = final if final in compared else compared[0]
    baseline_text = _text(params.variants[baseline])
    runs = _stored_runs(name, store)
    seeds = sorted({int(run.tags["seed"]) for run in runs}) or [0]
    combinations, index = _combinations(params, name, runs), _index_by_parameters(runs)
    results_of_variants, _ = _results(plan.plan(params, PROTOCOL, [name], seeds=seeds), index, store)
    packs = plan.plan(_with_variants(params, name, combinations), PROTOCOL, [name], seeds=seeds)
    replicas, others = _results([pack for pack in packs if pack.role == "replica"], index, store)
    trained_names = {run.variant for run in replicas}
    if baseline_text not in trained_names:
        raise DataError(
            f"{name}: the store has no finished run of {baseline} with these data and parameters;"
            f" run `feedforward train {name}`"
        )
    [findings] = find(results_of_variants, params.model_copy(update={"datasets": {name: dataset}}), PROTOCOL)
    points = {
        text: tuple(search_space.shown(getattr(variant, field)) for field in FIELDS)
        for text, variant in combinations.items()
        if text in trained_names
    }
    variant_names = {_text(params.variants[variant]): variant for variant in reversed(findings.variants)}
    return Story(findings, points, variant_names, baseline_text, replicas, others)


def _stored_runs(name: str, store: "Store") -> list["LoggedRun"]:
    """The finished replicas and final runs on the current data, the latest first.

    Runs that confirm a sweep are left out: only the sweep's best trials have such runs, so combinations would differ in
    their seeds.
    """
    digest = manifest_file.load(name)["data_digest"]
    return [
        run
        for role in ("replica", "final")
        for run in store.find_runs(name, role=role, protocol=PROTOCOL)
        if run.tags.get("data_digest") == digest and int(run.tags["seed"]) < FIRST_FRESH_SEED
    ]


def _index_by_parameters(runs: Iterable["LoggedRun"]) -> FingerprintIndex:
    index: dict[tuple[str, str, frozenset[tuple[str, str]]], list[str]] = {}
    for run in runs:
        parameters = {key: value for key, value in run.params.items() if key not in ("dataset", "variant", "seed")}
        key = (run.tags["role"], run.tags["seed"], frozenset(parameters.items()))
        index.setdefault(key, []).append(run.tags["fingerprint"])
    return index


def _combinations(params: Params, name: str, runs: Iterable["LoggedRun"]) -> dict[str, Variant]:
    """Combinations of size, L2 and dropout by name: those of the variants, and those of runs in the store."""
    sizes = {tuple(units): size for size, units in params.datasets[name].network.sizes.items()}
    variants = list(params.variants.values())
    for run in runs:
        units = tuple(json.loads(run.params.get("hidden_units", "[]")))
        if units in sizes:
            values = {key: float(run.params[key]) for key in ("l2", "dropout_rate")}
            variants.append(Variant(size=sizes[units], **values))
    return {_text(variant): variant for variant in variants}


def _text(variant: Variant) -> str:
    return search_space.text({field: getattr(variant, field) for field in FIELDS})


def _with_variants(params: Params, name: str, variants: Mapping[str, Variant]) -> Params:
    """The params reduced to this dataset, with these variants, all of which are compared on it."""
    dataset = params.datasets[name]
    training = dataset.training.model_copy(update={"variants": None})
    datasets = {name: dataset.model_copy(update={"training": training})}
    return params.model_copy(update={"variants": variants, "datasets": datasets})


def _results(packs: Iterable[Pack], index: FingerprintIndex, store: "Store") -> tuple[list[RunResult], int]:
    """The results of the planned runs that the store has, and the number of those without the planned fingerprint."""
    stored, others = [], 0
    for pack in packs:
        members = []
        for member in pack.members:
            parameters = frozenset((key, str(value)) for key, value in member.parameters.items())
            fingerprints = index.get((pack.role, str(pack.seed), parameters), ())
            if member.fingerprint in fingerprints:
                members.append(member)
            elif fingerprints:
                members.append(dataclasses.replace(member, fingerprint=fingerprints[0]))
                others += 1
        if members:
            stored.append(dataclasses.replace(pack, members=tuple(members)))
    return parent_runs.results_of(stored, reuse.find_finished(stored, store)), others
