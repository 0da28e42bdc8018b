"""The study's runs: many seeds of both protocols, and the baseline in other orders of the batches."""

from collections.abc import Callable
from pathlib import Path

from feedforward import provenance, study
from feedforward.params import Params
from feedforward.results import RunResult
from pipelines import training


def run(
    params: Params, wait_for_server: Callable[[], None], seeds: int, wide_seeds: int, orders: int, to: Path
) -> Path:
    """Train what is not known yet and write the page; data sets that have a `lecture` protocol take part."""
    chosen = [name for name, dataset in params.datasets.items() if dataset.training.lecture]
    found: list[RunResult] = []
    others = {}
    for name in chosen:
        wide = study.wide(params, name)
        narrow = [variant for variant in params.variants if variant not in wide]
        for protocol in ("fair", "lecture"):
            for variants, count in ((narrow, seeds), (wide, wide_seeds)):
                if variants:
                    found += training.run(params, protocol, wait_for_server, [name], variants, range(count))
        baseline = params.datasets[name].training.final.variant
        if orders > 1 and baseline in narrow:
            others[name] = [
                _replicas(
                    training.run(
                        params.model_copy(update={"data_order_seed": order}),
                        "fair",
                        wait_for_server,
                        [name],
                        [baseline],
                    )
                )
                for order in range(1, orders + 1)
            ]
    return study.write(found, others, params, provenance.machine(), to)


def _replicas(found: list[RunResult]) -> list[RunResult]:
    return [result for result in found if result.role == "replica"]
