"""Measures how time and memory grow with the amount of data: `python -m bench.growth`, or `make bench`.

The reviews are repeated 1, 4 and 16 times; for each size, vectorizing and training run in separate processes
(bench.jobs). The largest size is also vectorized on a Dask cluster, which must write the same bytes as one process.
Writes reports/bench/growth.json.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench import measure, parts, terminal
from bench.bench import Target
from feedforward.core import atomic_files

REPETITIONS = (1, 4, 16)  # how many times the reviews are repeated
WORKERS = 2  # number of workers in the Dask cluster
EXPONENT = Target("scaling exponent of {}", 1.05)
VECTORIZE_SECONDS = Target("seconds to vectorize {:,} reviews", 40, None, "s")
VECTORIZE_MEMORY = Target("peak memory of vectorize with {} times the reviews", 500, None, "MB")
CLUSTER_MEMORY = Target("peak memory of the largest cluster process with {} times the reviews", 1000, None, "MB")


def main() -> None:
    """Measure, write and print."""
    options = terminal.parser("growth", __doc__, "fewer epochs and only the two smallest sizes").parse_args()
    repetitions = REPETITIONS[:2] if options.quick else REPETITIONS
    machine, sizes = measure.machine(), _measure_growth(repetitions, options.quick)
    report = {"machine": machine, "quick": options.quick, "growth": sizes, "cluster": _measure_cluster(sizes[-1])}
    atomic_files.write_json(options.json, report)
    print(text(report))


def _measure_growth(repetitions: Sequence[int], quick: bool) -> list[dict[str, Any]]:
    """Measure the seconds and peak memory of vectorizing, and of an epoch of the `smaller` variant with evaluation."""
    rows = []
    for count in repetitions:
        vectorized = parts.job("vectorize", "imdb", count)
        epochs = 2 if quick else max(4, 64 // count)  # similar total seconds, because short ones are noisy
        seeds = cores = 1
        epoch = parts.job("epoch", "imdb", "smaller", seeds, epochs, cores, count)
        rows.append(
            {
                "times": count,
                "reviews": sum(vectorized["samples"].values()),
                "vectorize": {key: vectorized[key] for key in ("seconds", "peak", "digest")},
                "epoch": {"seconds": epoch["train"] + epoch["evaluation"], "peak": epoch["peak"]},
            }
        )
    return rows


def _measure_cluster(single_process: Mapping[str, Any]) -> dict[str, Any] | None:
    """Vectorize one size on a cluster; return None if Dask is not installed.

    single_process: the measurements of this size in a single process.

    Raises:
        SystemExit: the cluster and the single process wrote different bytes.
    """
    if importlib.util.find_spec("distributed") is None:
        return None
    result = parts.job("vectorize_on_cluster", "imdb", single_process["times"], WORKERS)
    if result["digest"] != single_process["vectorize"]["digest"]:
        raise SystemExit("the cluster and the single process wrote different bytes")
    return {key: single_process[key] for key in ("times", "reviews")} | result


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Least-squares slope of log value over log size; 1 means linear growth."""
    x, y = ([math.log(value) for value in row] for row in (sizes, values))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


# --- output ----------------------------------------------------------------------------------------


def measured_targets(report: Mapping[str, Any]) -> list[tuple[str, Target, float]]:
    """The targets and the measured values, as (name, target, value)."""
    growth, values = report["growth"], []
    sizes, largest = [row["times"] for row in growth], growth[-1]
    for part in ("vectorize", "epoch"):
        seconds = [row[part]["seconds"] for row in growth]
        values.append((EXPONENT.name.format(f"{part} time"), EXPONENT, exponent(sizes, seconds)))
    if largest["times"] == REPETITIONS[-1]:
        name = VECTORIZE_SECONDS.name.format(largest["reviews"])
        values.append((name, VECTORIZE_SECONDS, largest["vectorize"]["seconds"]))
    peak = largest["vectorize"]["peak"] / 1e6
    values.append((VECTORIZE_MEMORY.name.format(sizes[-1]), VECTORIZE_MEMORY, peak))
    if cluster := report["cluster"]:
        peak = max(cluster["peaks"].values()) / 1e6
        values.append((CLUSTER_MEMORY.name.format(cluster["times"]), CLUSTER_MEMORY, peak))
    return values


def growth_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header, a row for each size, and a row with the exponents."""
    rows = [["reviews", "vectorize, s", "peak, MB", "epoch (`smaller`), s", "peak, MB"]]
    keys = [(part, key, unit) for part in ("vectorize", "epoch") for key, unit in (("seconds", 1), ("peak", 1e6))]
    for size in report["growth"]:
        cells = [size[part][key] / unit for part, key, unit in keys]
        rows.append([f"{size['reviews']:,}", *(f"{cell:.2f}" if cell < 100 else f"{cell:.0f}" for cell in cells)])
    sizes = [size["times"] for size in report["growth"]]
    slopes = [exponent(sizes, [size[part][key] for size in report["growth"]]) for part, key, _ in keys]
    return [*rows, ["scaling exponent", *(f"{slope:.2f}" for slope in slopes)]]


def cluster_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header, and a row with the time and the peak memory of each process; if not measured, only the reason."""
    cluster = report["cluster"]
    if not cluster:
        return [["vectorized by a Dask cluster", "not measured: requirements/cluster.txt is not installed"]]
    peaks = {name: f"{peak / 1e6:.0f}" for name, peak in cluster["peaks"].items()}
    header = ["reviews, vectorized by a Dask cluster", "s", *(f"{name} peak MB" for name in peaks)]
    return [header, [f"{cluster['reviews']:,}", f"{cluster['seconds']:.1f}", *peaks.values()]]


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target."""
    return parts.verdicts_table(measured_targets(report))


def text(report: Mapping[str, Any]) -> str:
    """All tables, for a terminal."""
    return terminal.text(report, growth_table(report), cluster_table(report), targets_table(report))


if __name__ == "__main__":
    main()
