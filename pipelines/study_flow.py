"""Trains the runs of the study: many seeds under both protocols, and runs that vary only one source of randomness."""

import shlex
from collections.abc import Callable
from pathlib import Path

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import provenance
from feedforward.experiments import plan, study
from pipelines import training_flow


def run(params: Params, wait_for_server: Callable[[], None], seeds: int, wide_seeds: int, to: Path) -> Path:
    """For all datasets with a `lecture` protocol, train those runs that are not in the store; write the results page.

    seeds: number of seeds for each narrow variant. wide_seeds: number of seeds for each variant that is too wide to
    share a pack. Returns the path of the page.

    Raises:
        ParamsError: no dataset has a `lecture` protocol.
    """
    results: list[RunResult] = []
    by_source: dict[str, dict[str, list[RunResult]]] = {}
    for name in study.datasets(params):
        wide_variants = study.wide_variants(params, name)
        narrow_variants = [variant for variant in params.variants if variant not in wide_variants]
        for variants, count in ((narrow_variants, seeds), (wide_variants, wide_seeds)):
            for protocol in ("fair", "lecture") if variants else ():
                results += training_flow.run(params, protocol, wait_for_server, [name], variants, range(count))
        if narrow_variants:
            by_source[name] = {
                source: training_flow.run(
                    params,
                    "fair",
                    wait_for_server,
                    [name],
                    narrow_variants,
                    range(seeds),
                    roles=["replica"],
                    varied=[source],
                )
                for source in plan.SOURCES
            }
    command = f"feedforward study --seeds {seeds} --wide-seeds {wide_seeds}"
    command += "" if to == Path("docs") else f" --to {shlex.quote(str(to))}"
    machine = f"{provenance.machine()}, with TensorFlow {provenance.installed_version('tensorflow')}"
    return study.write(results, by_source, params, machine, command, to)
