"""Task 5: a sweep over values of fields; the best variant is chosen on validation data and confirmed with new seeds."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from feedforward.analysis import intervals
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params, Variant, check
from feedforward.homework.outcome import Outcome, Wrong, run_check

BASELINE = "original"
STATISTIC = "best_val_cross_entropy"  # lower is better
MIN_VALUES, MIN_SEEDS = 3, 3


def with_variants(params: Params, variants: Mapping[str, Mapping[str, Any]]) -> Params:
    """A copy of `params` with only the baseline and these variants, such as `{"weak": {"dropout_rate": 0.2}}`.

    Raises:
        ParamsError: a name or a value is not valid.
    """
    values = params.model_dump()
    for dataset in values["datasets"].values():
        dataset["training"] |= {"variants": None, "lecture": None}
        dataset["training"]["final"]["variant"] = BASELINE
        dataset["claims"] = ()
    baseline = params.variants.get(BASELINE, Variant()).model_dump()
    return check({**values, "variants": {BASELINE: baseline, **variants}}, "variants")


def check_sweep(tried: Any, runs: Sequence[RunResult], chosen: Any, confirming: Sequence[RunResult]) -> Outcome:
    """Check a sweep. tried: the variants, as for `with_variants`. runs: the runs of these variants and of the baseline.

    chosen: name of the variant that is claimed to beat the baseline. confirming: the runs that support the claim.
    """
    return run_check(lambda: _check(tried, runs, chosen, confirming))


def _check(tried: Any, runs: Sequence[RunResult], chosen: Any, confirming: Sequence[RunResult]) -> str:
    if not isinstance(tried, Mapping) or any(part is ... for part in (runs, chosen, confirming)):
        raise Wrong("Fill in `tried`, `swept`, `chosen` and `confirming`.")  # the names in the notebook
    for name, value in (("swept", runs), ("confirming", confirming)):
        received = "" if isinstance(value, list | tuple) else type(value).__name__
        if not received and (others := [entry for entry in value if not isinstance(entry, RunResult)]):
            received = f"a list with {type(others[0]).__name__}"
        if received:
            raise Wrong(f"`{name}` must be a list of runs, as `ff.train` returns it; got {received}.")
    if len(tried) < MIN_VALUES:
        raise Wrong(f"A sweep needs at least {MIN_VALUES} values to show a trend; got {len(tried)}.")
    losses = _losses(runs)
    _check_runs(losses, [BASELINE, *tried], "the sweep")
    if not isinstance(chosen, str) or chosen not in tried:
        raise Wrong(f"{chosen!r} is not one of the variants that were tried: {', '.join(tried)}.")
    _check_choice(losses, list(tried), chosen)
    new_losses = _losses(confirming)
    _check_runs(new_losses, [BASELINE, chosen], "the confirmation")
    if reused := set(new_losses[chosen]) & set(losses[chosen]):
        raise Wrong(
            f"Seed {min(reused)} was used to choose the winner and again to confirm it. The best of several always"
            " looks better than it is: confirm it with seeds that were not used for the choice."
        )
    return _judge(new_losses, chosen)


def _losses(runs: Iterable[RunResult]) -> dict[str, dict[int, float]]:
    """The statistic of each replica, by variant and seed."""
    losses: dict[str, dict[int, float]] = {}
    for run in runs:
        if run.role == "replica":
            losses.setdefault(run.variant, {})[run.seed] = run.metrics[STATISTIC]
    return losses


def _check_runs(losses: Mapping[str, Mapping[int, float]], names: Sequence[str], where: str) -> None:
    if missing := [name for name in names if name not in losses]:
        raise Wrong(f"There are no runs of {missing[0]} in {where}.")
    seeds = set(losses[BASELINE])
    if mismatched := [name for name in names if set(losses[name]) != seeds]:
        raise Wrong(f"In {where}, {mismatched[0]} and {BASELINE} ran with different seeds, so they cannot be paired.")
    if len(seeds) < MIN_SEEDS:
        raise Wrong(f"In {where}, each variant must run with at least {MIN_SEEDS} seeds; got {len(seeds)}.")


def _check_choice(losses: Mapping[str, Mapping[int, float]], names: Sequence[str], chosen: str) -> None:
    means = {name: fmean(losses[name].values()) for name in names}
    if min(means, key=means.__getitem__) == chosen:
        return
    luckiest = min(names, key=lambda name: min(losses[name].values()))
    if luckiest == chosen:
        raise Wrong(f"{chosen} has the best single run. Which variant is best over all of its seeds?")
    raise Wrong(f"{chosen} does not have the lowest mean of {STATISTIC} among the variants that were tried.")


def _judge(losses: Mapping[str, Mapping[int, float]], chosen: str) -> str:
    differences = [losses[chosen][seed] - losses[BASELINE][seed] for seed in sorted(losses[chosen])]
    estimate = intervals.estimate(differences)
    if estimate is None or estimate.low is None or estimate.high is None:
        raise Wrong("The differences have no interval: too many seeds have exactly the same difference.")
    interval = f"{estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
    shown = f"{chosen} − {BASELINE}: {interval} over {len(differences)} new seeds"
    if estimate.low > 0:
        raise Wrong(f"{shown}: the baseline is better. Which trend do the values of the sweep show?")
    if estimate.high >= 0:
        raise Wrong(
            f"{shown}: the interval contains 0, so nothing is confirmed. Try other values or fields, or more seeds."
        )
    return f"{shown}: it beats the baseline."
