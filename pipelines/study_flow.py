"""Trains the runs of the study: many seeds under both protocols, and runs that vary only one source of randomness."""

from collections.abc import Callable
from pathlib import Path

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import provenance
from feedforward.experiments import plan, study
from pipelines import training_flow


def run(params: Params, wait_for_server: Callable[[], None], seeds: int, wide_seeds: int, to: Path) -> Path:
    """For all datasets with a `lecture` protocol, train the runs that the store lacks; write the study's results page.

    seeds: number of seeds for each narrow variant. wide_seeds: number of seeds for each variant too wide to share a
    pack. Returns the path of the page.
    """
    results: list[RunResult] = []
    varied: dict[str, dict[str, list[RunResult]]] = {}
    for name, dataset in params.datasets.items():
        slides = dataset.training.lecture
        if slides is None:
            continue
        wide = study.wide(params, name)
        narrow = [variant for variant in params.variants if variant not in wide]
        for variants, count in ((narrow, seeds), (wide, wide_seeds)):
            if variants:
                results += training_flow.run(params, "fair", wait_for_server, [name], variants, range(count))
            if on_slides := [variant for variant in variants if variant in slides.variants]:
                results += training_flow.run(params, "lecture", wait_for_server, [name], on_slides, range(count))
        if narrow:
            varied[name] = {
                source: training_flow.run(
                    params, "fair", wait_for_server, [name], narrow, range(seeds), roles=["replica"], varied=[source]
                )
                for source in plan.SOURCES
            }
    command = f"feedforward study --seeds {seeds} --wide-seeds {wide_seeds}"
    machine = f"{provenance.machine()}, with TensorFlow {provenance.installed_version('tensorflow')}"
    return study.write(results, varied, params, machine, command, to)
