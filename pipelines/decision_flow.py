"""Trains more seeds until every claim about a dataset is decided or the budget is used up.

Finished runs are kept, so a job that was killed continues where it stopped.
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

    Only runs that undecided claims compare are trained. Seeds are used in ascending order, and none is dropped because
    of its result, so each verdict stays valid. show(seeds, verdicts) is called after each evaluation.

    Returns:
        The verdicts, the reason why training ended, and the folder that holds both.
    """
    ends, step = time.monotonic() + budget, max(1, processes.cores())
    results: dict[tuple[str, str, int], RunResult] = {}
    verdicts: list[Verdict] = []
    n = min(seeds, max(2, params.seeds))
    while True:
        wanted = decision.needed(params, dataset, verdicts)
        trained = training_flow.run(
            params, decision.PROTOCOL, wait_for_server, [dataset], wanted.variants, range(n), roles=wanted.roles
        )
        results |= {(run.variant, run.role, run.seed): run for run in trained}
        verdicts = decision.judge(results.values(), params, dataset)
        show(n, verdicts)
        if reason := _reason(verdicts, n, seeds, ends):
            return verdicts, reason, decision.write(verdicts, params, dataset, reason)
        n = min(seeds, n + step)


def _reason(verdicts: Sequence[Verdict], n: int, seeds: int, ends: float) -> str:
    """Why training ends here; empty if it continues."""
    left = sum(not verdict.decided for verdict in verdicts)
    if not left:
        return f"All {len(verdicts)} claims are decided after {n} seeds."
    if n >= seeds:
        return f"{left} of {len(verdicts)} claims are undecided after {n} seeds, the requested maximum."
    return (
        f"{left} of {len(verdicts)} claims are undecided after {n} seeds: the time budget is used up."
        if time.monotonic() > ends
        else ""
    )
