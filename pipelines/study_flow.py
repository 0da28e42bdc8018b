"""The study's runs: many seeds of both protocols, and the baseline in other orders of the batches."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import provenance
from feedforward.experiments import study
from pipelines import training_flow


def run(
    params: Params, wait_for_server: Callable[[], None], seeds: int, wide_seeds: int, orders: int, to: Path
) -> Path:
    """Train what is not known yet and write the page; data sets that have a `lecture` protocol take part."""
    found: list[RunResult] = []
    others: dict[str, list[list[RunResult]]] = {}
    for name, dataset in params.datasets.items():
        slides = dataset.training.lecture
        if slides is None:
            continue
        wide = study.wide(params, name)
        for variants, count in (([v for v in params.variants if v not in wide], seeds), (wide, wide_seeds)):
            if variants:
                fair = training_flow.run(params, "fair", wait_for_server, [name], variants, range(count))
                found += fair + _alike(fair, set(slides.variants) - set(slides.validated_on_test))
            if on_test := [variant for variant in variants if variant in slides.validated_on_test]:
                found += training_flow.run(params, "lecture", wait_for_server, [name], on_test, range(count))
        baseline = dataset.training.final.variant
        if orders > 1 and baseline not in wide:
            others[name] = [
                training_flow.run(
                    params.model_copy(update={"data_order_seed": params.data_order_seed + order}),
                    "fair",
                    wait_for_server,
                    [name],
                    [baseline],
                    roles=["replica"],
                )
                for order in range(1, orders + 1)
            ]
    command = f"feedforward study --seeds {seeds} --wide-seeds {wide_seeds} --orders {orders}"
    machine = f"{provenance.machine()}, with TensorFlow {provenance.installed_version('tensorflow')}"
    return study.write(found, others, params, machine, command, to)


def _alike(fair: list[RunResult], variants: set[str]) -> list[RunResult]:
    """The replicas of variants that learn the same by both protocols: on the slides too, no other samples are used."""
    return [replace(run, protocol="lecture") for run in fair if run.role == "replica" and run.variant in variants]
