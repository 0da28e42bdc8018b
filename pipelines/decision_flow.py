"""Trains more seeds until every claim about a dataset is decided or the budget is used up.

Finished runs are kept, so a killed job picks up where it left off when it is started again.
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
    params: Params, dataset: str, wait_for_server: Callable[[], None], max_seeds: int, budget: float, show: Show
) -> tuple[list[Verdict], str, Path]:
    """Train until all claims are decided, `max_seeds` seeds are trained, or another round would exceed the budget.

    Claims that further seeds would not decide are left undecided, with the reason.

    The first round trains the seeds of params.yaml, at least two; later rounds add as many as there are cores. A round
    is expected to take as long as the one before it. The first round is no guide, because it also imports TensorFlow
    and reads the store, so the second one starts unless the budget is already used up.

    Only runs that an undecided claim needs are trained. Seeds are used in ascending order, and no seed is dropped
    because of its result, so each verdict stays valid.

    budget: in seconds. show: called after each evaluation with the number of seeds so far and the verdicts.

    Returns:
        The verdicts, the reason why training ended, and the folder to which both were written.
    """
    deadline, step = time.monotonic() + budget, max(1, processes.cores())
    results: dict[tuple[str, str, int], RunResult] = {}
    verdicts: list[Verdict] = []
    n, is_first = min(max_seeds, max(2, params.seeds)), True
    while True:
        round_start = time.monotonic()
        needed = decision.find_needed(params, dataset, verdicts)
        trained = training_flow.run(
            params, decision.PROTOCOL, wait_for_server, [dataset], needed.variants, range(n), roles=needed.roles
        )
        results |= {(run.variant, run.role, run.seed): run for run in trained}
        verdicts = decision.judge(results.values(), params, dataset)
        show(n, verdicts)
        latest_start = deadline if is_first else deadline - (time.monotonic() - round_start)
        if reason := _reason(verdicts, n, max_seeds, latest_start):
            return verdicts, reason, decision.write(verdicts, params, dataset, reason)
        n, is_first = min(max_seeds, n + step), False


def _reason(verdicts: Sequence[Verdict], n: int, max_seeds: int, latest_start: float) -> str:
    """The reason why training ends now; empty if it continues.

    latest_start: the time on the monotonic clock after which another round would exceed the budget.
    """
    undecided = [verdict for verdict in verdicts if not verdict.decided]
    if not undecided:
        return f"{len(verdicts)} of {len(verdicts)} claims are decided after {n} seeds."
    still = f"{len(undecided)} of {len(verdicts)} claims are undecided after {n} seeds"
    obstacles = [f"{verdict.claim.text}: {verdict.obstacle}" for verdict in undecided if verdict.obstacle]
    hopeless = f" Further seeds would not decide: {'. '.join(obstacles)}." if obstacles else ""
    if len(obstacles) == len(undecided):
        return f"{still}.{hopeless}"
    if n >= max_seeds:
        return f"{still}, the maximum set by --seeds.{hopeless}"
    if time.monotonic() > latest_start:
        return (
            f"{still}; another round would exceed the budget. "
            f"To continue from here, run the command again: the budget then counts anew.{hopeless}"
        )
    return ""
