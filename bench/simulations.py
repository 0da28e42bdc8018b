"""Checks intervals and verdicts: synthetic experiments with known effects go through the code that makes the report.

    python -m bench.simulations            # the results quoted in docs/comparison.md; takes several minutes
    python -m bench.simulations --quick

Each experiment draws a dataset: a loss for each sample and variant. Each seed draws a validation split (a random part
of the samples) and an effect of the batch order, and each of its runs an effect of the initial weights. A run's lowest
validation loss is the mean loss over the split plus both effects. Therefore, the true means are known, both over all
seeds on the same data and over new data.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from feedforward.analysis import claims, comparisons, intervals, statistics
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Claim, Params, load_params
from feedforward.models import metrics, sampling_errors
from feedforward.models.metrics import Labels
from feedforward.models.numpy_network import Array, Layer, Network

STATISTIC = "best_val_cross_entropy"
TRAIN, VALIDATION = 300, 200  # samples
SAMPLE_SD, VARIANT_SD, ORDER_SD, WEIGHTS_SD = 0.6, 0.1, 0.02, 0.02
EMPTY = Layer(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), "sigmoid")  # only its activation is used
VARIANTS = {"original": 0.30, "smaller": 0.32, "larger": 0.30, "dropout": 0.28}  # true means over new data


@dataclass(frozen=True)
class Experiment:
    """Runs on one synthetic dataset. truth: for each variant, the true mean over all seeds on this dataset."""

    runs: list[RunResult]
    truth: dict[str, float]


def run(variant: str, seed: int, loss: float) -> RunResult:
    """The result of a replica, with only its lowest validation loss and its numbers of samples."""
    samples = {"train": TRAIN, "validation": VALIDATION}
    return RunResult("mnist", variant, seed, "fair", "replica", {}, {STATISTIC: loss}, "0" * 64, samples=samples)


def experiment(rng: np.random.Generator, seeds: int) -> Experiment:
    """Draw a dataset, with `seeds` runs of every variant on it; the variants of a seed share split and order."""
    shared = rng.normal(0, SAMPLE_SD, TRAIN + VALIDATION)
    losses = {v: mean + shared + rng.normal(0, VARIANT_SD, len(shared)) for v, mean in VARIANTS.items()}
    runs = []
    for seed in range(seeds):
        split, order = rng.permutation(len(shared))[:VALIDATION], rng.normal(0, ORDER_SD)
        for variant, loss in losses.items():
            runs.append(run(variant, seed, float(loss[split].mean() + order + rng.normal(0, WEIGHTS_SD))))
    return Experiment(runs, {variant: float(loss.mean()) for variant, loss in losses.items()})


def coverage(experiments: int, seeds: int, start: int = 0) -> dict[str, float]:
    """Share of intervals that cover the truth: means and paired differences, for this data and for new data."""
    covered: dict[str, list[bool]] = {
        f"{kind}, {data}": [] for data in ("this data", "new data") for kind in ("mean", "difference")
    }
    for index in range(experiments):
        case = experiment(np.random.default_rng([start, index, seeds]), seeds)
        entries = [("mean", e, case.truth[v], VARIANTS[v]) for v, e in _means(case)]
        pairs = [(variant, "original") for variant in VARIANTS if variant != "original"]
        for d in comparisons.differences(case.runs, pairs, STATISTIC):
            new = VARIANTS[d.left] - VARIANTS[d.right]
            entries.append(("difference", d.estimate, case.truth[d.left] - case.truth[d.right], new))
        for kind, estimate, truth, new_truth in entries:
            covered[f"{kind}, this data"].append(estimate.low <= truth <= estimate.high)
            covered[f"{kind}, new data"].append(estimate.new_low <= new_truth <= estimate.new_high)
    return {name: float(np.mean(hits)) for name, hits in covered.items()}


def _means(case: Experiment) -> Iterator[tuple[str, statistics.Estimate]]:
    for variant, estimates in statistics.summarize(case.runs, VARIANTS).items():
        yield variant, estimates[STATISTIC]


# --- verdicts checked after every seed ------------------------------------------------


def with_claims(number: int) -> Params:
    """Params with one dataset and `number` claims; each compares another variant with `original`, without margins."""
    params = load_params()
    dataset = params.datasets["mnist"]
    variant = params.variants["original"]
    claim = {"text": "t", "statistic": STATISTIC, "right": "original", "direction": "lower"}
    all_claims = tuple(Claim.model_validate(claim | {"left": f"v{i}"}) for i in range(number))
    variants = {"original": variant} | {f"v{i}": variant for i in range(number)}
    datasets = {"mnist": dataset.model_copy(update={"claims": all_claims, "margins": {}})}
    return params.model_copy(update={"datasets": datasets, "variants": variants})


def verdicts(rng: np.random.Generator, effects: Sequence[float], seeds: int, params: Params) -> list[claims.Verdict]:
    """Verdicts after `seeds` seeds. effects: true differences, in standard deviations of the paired differences."""
    seed_effects = rng.normal(0, 1, seeds)
    runs = [run("original", seed, float(seed_effects[seed])) for seed in range(seeds)]
    for i, effect in enumerate(effects):
        differences = rng.normal(effect, 1, seeds)
        runs += [run(f"v{i}", seed, float(seed_effects[seed] + differences[seed])) for seed in range(seeds)]
    return claims.judge(runs, params)


def false_verdicts(experiments: int, number: int = 9, seeds: int = 100, start: int = 1) -> float:
    """Share of datasets on which any claim is decided at any number of seeds up to `seeds`, although no effect exists.

    Each interval is intersected with those at fewer seeds, so a claim that is ever decided is also decided at the end.
    """
    params = with_claims(number)
    false_count = 0
    for index in range(experiments):
        rng = np.random.default_rng([start, index])
        false_count += any(verdict.decided for verdict in verdicts(rng, [0.0] * number, seeds, params))
    return false_count / experiments


def seeds_needed(effect: float, experiments: int, number: int, start: int = 2) -> tuple[float, int]:
    """Mean number of seeds until a claim with this effect is decided, and the number of seeds that a t test needs.

    There are `number` claims, so both use the significance level 5 % / `number`; the t test has 80 % power. No more
    seeds are drawn than eight times those of the t test plus ten; a claim that is still undecided counts with them.
    """
    params, fixed = with_claims(number), fixed_size(effect, 0.05 / number)
    counts = []
    for index in range(experiments):
        rng = np.random.default_rng([start, index, round(100 * effect)])
        effects = [effect] + [0.0] * (number - 1)
        history = verdicts(rng, effects, 8 * fixed + 10, params)[0].history
        decided = [i.n for i in history if comparisons.sign(i)]
        counts.append(decided[0] if decided else 8 * fixed + 10)
    return float(np.mean(counts)), fixed


def fixed_size(effect: float, level: float, power: float = 0.8) -> int:
    """The number of pairs at which a paired t test at `level` finds `effect` with `power` (noncentral t)."""
    for n in range(2, 10_000):
        t = special.stdtrit(n - 1, 1 - level / 2)
        if special.nctdtr(n - 1, effect * math.sqrt(n), t) <= 1 - power:
            return n
    raise ValueError(f"effect {effect}: needs 10,000 seeds or more")


def too_good(samples: int, distance: float, sharpness: float, experiments: int, start: int = 3) -> tuple[float, float]:
    """Share of intervals of a test loss that end below the true loss: as they are, and without additional samples.

    Two classes have normal distributions that are `distance` apart. The model's logits are the true ones times
    `sharpness`, so that it is overconfident above 1.
    """
    rng, network = np.random.default_rng(start), Network(1.0, (EMPTY,))

    def draw(size: int) -> tuple[Array, Labels]:
        labels = rng.integers(0, 2, size).astype(np.uint8)
        logits = sharpness * distance * (distance * (labels - 0.5) + rng.normal(size=size))
        return logits[:, None].astype(np.float32), labels

    truth, counts = metrics.losses(network, *draw(1_000_000)).mean(), np.zeros(2)
    for _ in range(experiments):
        logits, labels = draw(samples)
        losses = metrics.losses(network, logits, labels)
        errors = (
            sampling_errors.of_loss(losses, network, logits, labels),
            float(losses.std(ddof=1)) / math.sqrt(samples),
        )
        highs = [intervals.over_samples(float(losses.mean()), error, degrees=samples - 1)[1] for error in errors]
        counts += [high < truth for high in highs]
    return counts[0] / experiments, counts[1] / experiments


def too_good_errors(samples: int, power: int, experiments: int, start: int = 4) -> float:
    """Share of intervals of a regression's mean absolute (power 1) or square (2) error that end below the true mean.

    The errors follow a t distribution with three degrees of freedom.
    """
    rng = np.random.default_rng(start)
    truth, high = {1: 2 * math.sqrt(3) / math.pi, 2: 3.0}[power], 0
    for _ in range(experiments):
        costs = np.abs(rng.standard_t(3, samples)) ** power
        error = sampling_errors.of_mean(costs)
        high += intervals.over_samples(float(costs.mean()), error, degrees=samples - 1)[1] < truth
    return high / experiments


def main() -> None:
    """Print the results quoted in docs/comparison.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    divisor = 10 if parser.parse_args().quick else 1
    print("| 95 % intervals that cover the truth | 5 seeds | 10 seeds | 20 seeds |\n| --- | --- | --- | --- |")
    columns = [coverage(2000 // divisor, seeds) for seeds in (5, 10, 20)]
    for name in columns[0]:
        print(f"| {name} | {' | '.join(f'{100 * column[name]:.1f} %' for column in columns)} |")
    print("\n| claims | datasets with a false verdict at any of 2 to 100 seeds |\n| --- | --- |")
    for number in (1, 9):
        print(f"| {number} | {100 * false_verdicts(2000 // divisor, number):.1f} % |", flush=True)
    print("\n| claims | effect (sd) | seeds, mean | t test, 80 % power | ratio |\n| --- | --- | --- | --- | --- |")
    for number in (1, 9):
        for effect in (0.3, 0.5, 0.8, 1.2, 2.0, 3.0):
            mean, fixed = seeds_needed(effect, 400 // divisor, number)
            print(f"| {number} | {effect:g} | {mean:.1f} | {fixed} | {mean / fixed:.2f} |", flush=True)
    print("\n| test samples | accuracy | sharpness | intervals below the true loss | without additional samples |")
    print("| --- | --- | --- | --- | --- |")
    for samples in (50, 100, 300, 1000):
        for distance, sharpness in ((2, 1), (3, 1), (4, 1), (4, 2), (5, 1)):
            shares = (f"{100 * share:.1f} %" for share in too_good(samples, distance, sharpness, 2000 // divisor))
            print(f"| {samples} | {special.ndtr(distance / 2):.3f} | {sharpness} | {' | '.join(shares)} |", flush=True)
    print("\n| test samples | intervals below the true mean absolute error | mean square error |\n| --- | --- | --- |")
    for samples in (50, 200, 1000):
        shares = (f"{100 * too_good_errors(samples, power, 2000 // divisor):.1f} %" for power in (1, 2))
        print(f"| {samples} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
