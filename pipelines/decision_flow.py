"""Trains more seeds until every claim about a dataset is decided or the budget is used up.

Finished runs are kept, so a killed job continues where it stopped when it is started again.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from feedforward.analysis.claims import Verdict
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import processes
from feedforward.experiments import decision
from pipelines import training_flow

Show = Callable[[int, Sequence[Verdict]], None]


def run(
    params: Params, dataset: str, wait_for_server: Callable[[], None], seeds: int, budget: float, show: Show
) -> tuple[list[Verdict], str, Path]:
    """Train until all claims are decided, `seeds` seeds are trained, or `budget` seconds have passed.

    Only runs that an undecided claim compares are trained. Seeds are used in ascending order, and no seed is dropped
    because of its result, so each verdict stays valid. show(seeds, verdicts) is called after each evaluation.

    Returns:
        The verdicts, the reason why training ended, and the folder to which both were written.
    """
    deadline, step = time.monotonic() + budget, max(1, processes.cores())
    results: dict[tuple[str, str, int], RunResult] = {}
    verdicts: list[Verdict] = []
    n = min(seeds, max(2, params.seeds))
    while True:
        needed = decision.needed(params, dataset, verdicts)
        trained = training_flow.run(
            params, decision.PROTOCOL, wait_for_server, [dataset], needed.variants, range(n), roles=needed.roles
        )
        results |= {(run.variant, run.role, run.seed): run for run in trained}
        verdicts = decision.judge(results.values(), params, dataset)
        show(n, verdicts)
        if reason := _reason(verdicts, n, seeds, deadline):
            return verdicts, reason, decision.write(verdicts, params, dataset, reason)
        n = min(seeds, n + step)


def _reason(verdicts: Sequence[Verdict], n: int, seeds: int, deadline: float) -> str:
    """The reason why training ends now; empty if it continues."""
    undecided = sum(not verdict.decided for verdict in verdicts)
    if not undecided:
        return f"All {len(verdicts)} claims are decided after {n} seeds."
    if n >= seeds:
        return f"{undecided} of {len(verdicts)} claims are undecided after {n} seeds, the requested maximum."
    return (
        f"{undecided} of {len(verdicts)} claims are undecided after {n} seeds: the time budget is used up."
        if time.monotonic() > deadline
        else ""
    )
