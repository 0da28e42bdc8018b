"""The `baselines` stage of DVC: results of simple models on the samples and splits of the variants, without Keras.

A seed draws the same validation split as it does for the variants, so intervals over seeds and paired differences also
exist for baselines. A setting (such as the L2 penalty) is chosen on the validation split, as is the best epoch of a
variant. One model of each kind is fitted on all training samples and tested once, like final models.
"""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import threadpoolctl

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, Params
from feedforward.core import processes, progress
from feedforward.data import manifest as manifest_file
from feedforward.data import validation_split
from feedforward.data.splits import MultiHot, Split, Subset
from feedforward.experiments import baseline_results, evaluation
from feedforward.experiments.baseline_models import Baseline, baselines, problem
from feedforward.models import metrics
from feedforward.models.numpy_network import Network


@dataclass(frozen=True)
class _Data:
    """A vectorized dataset. split: all training samples. unit: scales absolute errors to the target's unit."""

    name: str
    dataset: Dataset
    split: Split
    unit: float

    @property
    def baselines(self) -> list[Baseline]:
        return baselines(self.dataset, isinstance(self.split.features, MultiHot))


def stage(params: Params, name: str) -> None:
    """Write the results of all baselines of a dataset, in the same format as those of training."""
    baseline_results.save(name, params.dataset(name), measure(params, name))


def measure(params: Params, name: str) -> list[RunResult]:
    """One result per baseline and seed on the validation split, and one per baseline on the test split.

    Raises:
        DataError: the data are not vectorized.
    """
    dataset, split = params.dataset(name), manifest_file.load_split(name, "train")
    unit = manifest_file.load(name).get("target", {}).get("scale", 1.0)
    data = _Data(name, dataset, split, unit)
    # with one thread, the bits of the results are the same on any number of cores
    title, one_thread = f"baselines ({name})", functools.partial(threadpoolctl.threadpool_limits, 1)
    with one_thread(), progress.bar(title, params.seeds + 1) as advance:

        def validate_seed(seed: int) -> dict[str, list[RunResult]]:
            by_baseline = _validate(data, seed)
            advance(1, f"seed {seed}")
            return by_baseline

        with ThreadPoolExecutor(processes.cores(), initializer=one_thread) as pool:
            final = pool.submit(_fit_on_all_samples, data)  # takes longest, so it starts first
            by_seed = list(pool.map(validate_seed, range(params.seeds)))
            tested = _test(data, by_seed, *final.result())
        advance(1, "test")
    return [min(results, key=_criterion) for by_baseline in by_seed for results in by_baseline.values()] + tested


def _validate(data: _Data, seed: int) -> dict[str, list[RunResult]]:
    """For each baseline, the result of each of its settings on this seed's validation split."""
    training, validation = (part.to_split() for part in validation_split.draw(data.split, data.dataset, seed))
    training_data, counts = problem(training, data.dataset), {"train": len(training), "validation": len(validation)}
    return {
        baseline.name: [
            _result(data, baseline, seed, "replica", _measure(data, baseline, network, validation), network, counts)
            for network in baseline.fit(training_data)
        ]
        for baseline in data.baselines
    }


def _measure(data: _Data, baseline: Baseline, network: Network, validation: Split) -> dict[str, float]:
    logits = network.logits(validation.features)
    score, scores = metrics.scores(network, logits, validation.labels)
    values = {f"best_val_{score}": float(np.mean(scores)) * (data.unit if score == "mae" else 1.0)}
    if baseline.has_loss:
        values["best_val_cross_entropy"] = float(np.mean(metrics.losses(network, logits, validation.labels)))
    return values


def _fit_on_all_samples(data: _Data) -> tuple[dict[str, list[Network]], int]:
    """For each baseline, the network of each of its settings; and the number of training samples."""
    all_samples = validation_split.draw_share(Subset(data.split), data.dataset, seed=0).to_split()
    training_data = problem(all_samples, data.dataset)
    return {baseline.name: list(baseline.fit(training_data)) for baseline in data.baselines}, len(all_samples)


def _test(
    data: _Data,
    by_seed: Sequence[Mapping[str, Sequence[RunResult]]],
    networks: Mapping[str, Sequence[Network]],
    samples: int,
) -> list[RunResult]:
    """The result of each baseline on the test split, with the setting that is best on average over the seeds."""
    results = []
    for baseline in data.baselines:
        by_setting = zip(*(by_baseline[baseline.name] for by_baseline in by_seed), strict=True)
        totals = [sum(map(_criterion, runs)) for runs in by_setting]
        network = networks[baseline.name][totals.index(min(totals))]
        test_metrics = evaluation.evaluate_on_test(data.name, network).metrics
        test_metrics = {key: value for key, value in test_metrics.items() if baseline.has_loss or "loss" not in key}
        counts = {"train": samples, "test": int(manifest_file.load(data.name)["samples"]["test"])}
        results.append(_result(data, baseline, 0, "final", test_metrics, network, counts))
    return results


def _criterion(result: RunResult) -> float:
    """What the chosen setting minimizes: the validation loss or, for a baseline without a loss, the share of errors."""
    return result.metrics.get("best_val_cross_entropy", 1 - result.metrics.get("best_val_accuracy", 0.0))


def _result(
    data: _Data,
    baseline: Baseline,
    seed: int,
    role: str,
    values: dict[str, float],
    network: Network,
    counts: dict[str, int],
) -> RunResult:
    weights = network.weights_digest()
    return RunResult(
        data.name, baseline.name, seed, baseline_results.PROTOCOL, role, {}, values, weights, samples=counts
    )
