"""Compares the pipeline with a plain Keras script: `python -m bench.bench`, or `make bench`.

Each round runs the plain script and then, for each number of seeds, `dvc repro` in a fresh workspace with new stores,
where it runs all stages except `fetch`. Both train the lecture's networks: IMDb's five variants and final model, and
MNIST's final model. Writes reports/bench/bench.json and bench.png.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import measure, terminal, workspace
from bench.measure import Usage
from feedforward.core import atomic_files, paths

# The lecture compares no variants on MNIST. The pipeline needs at least one, so it trains one more MNIST network.
LECTURE_PARAMS = {"datasets.mnist.training.variants": ["original"]}
QUICK_PARAMS = {
    f"datasets.{name}.training.{key}": 1 for name in ("mnist", "imdb") for key in ("epochs", "final.epochs")
}  # one epoch, only to check that the benchmark runs
PLAIN_SCRIPT = "plain Keras, one seed"


@dataclass(frozen=True)
class Target:
    """A target for a measured value. limit: what the value must not exceed. stretch: a more ambitious limit."""

    name: str
    limit: float
    stretch: float | None = None
    unit: str = ""

    def verdict(self, value: float) -> str:
        """The text to print next to the value."""
        if value > self.limit:
            return "NOT MET"
        return "stretch limit met" if self.stretch is not None and value <= self.stretch else "met"


TARGETS = (
    Target("wall, 1 seed", 0.20, 0.15, "× plain"),
    Target("peak memory, 1 seed", 0.15, None, "× plain"),
    Target("wall, 5 seeds", 0.50, None, "× plain"),
    Target("wall, 10 seeds", 0.85, None, "× plain"),
    Target("`dvc repro` with nothing to do", 3.0, None, "s"),
    Target("`train` and `compare` with nothing to train", 15.0, None, "s"),
    Target("`feedforward --help`", 0.3, None, "s"),
    Target("`dvc repro` after one of IMDb's variants has changed", 25.0, None, "s"),
)
CHANGE = {"variants.dropout.dropout_rate": 0.3}
SEEDS_FOR_CHANGE = 5  # the change is measured only with this number of seeds, the default of params.yaml


def main() -> None:
    """Measure and print; write after each round, so that an interrupted benchmark keeps its results."""
    options = _options()
    for report in measure_rounds(options.rounds, options.seeds, options.quick):
        atomic_files.write_json(options.json, report)
        draw(report, options.json.with_suffix(".png"))
    print(text(report))


def _options() -> argparse.Namespace:
    quick = "one round, one number of seeds, one epoch; few samples in the plain script"
    parser = terminal.parser("bench", __doc__, quick)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[1, 5, 10])
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seeds = 1, options.seeds[:1]
    return options


def measure_rounds(rounds: int, seeds: list[int], quick: bool) -> Iterator[dict[str, Any]]:
    """Yield a report after each round, with all measurements so far and their medians."""
    rows: dict[str, list[Usage]] = {PLAIN_SCRIPT: [], **{_row_name(count): [] for count in seeds}}
    seconds: dict[str, list[float]] = {target.name: [] for target in TARGETS if target.unit == "s"}
    metrics: dict[str, Any] = {}
    machine = measure.machine()
    with tempfile.TemporaryDirectory(prefix="feedforward-bench-") as name:
        folder = Path(name)
        workspace.prepare(paths.root(), folder / "base")
        for round_number in range(1, rounds + 1):
            rows[PLAIN_SCRIPT].append(_measure_plain(folder, quick, metrics))
            _print_last(round_number, PLAIN_SCRIPT, rows[PLAIN_SCRIPT])
            for count in seeds:
                rows[_row_name(count)].append(_measure_pipeline(folder, count, quick, metrics, seconds))
                _print_last(round_number, _row_name(count), rows[_row_name(count)])
            yield {
                "machine": machine,
                "rounds": round_number,
                "quick": quick,
                "names": list(rows),
                "rows": {name: [asdict(usage) for usage in usages] for name, usages in rows.items()},
                "seconds": seconds,
                "metrics": metrics,
                "summary": _summary(rows, seconds),
            }


def _row_name(seeds: int) -> str:
    return f"dvc repro, {seeds} seed{'s' if seeds > 1 else ''}"


def _measure_plain(folder: Path, quick: bool, metrics: dict[str, Any]) -> Usage:
    script = Path(__file__).with_name("plain_keras.py")
    report = folder / "plain.json"
    command = [sys.executable, script, paths.vectorized("x").parent, "--json", report, *(["--quick"] if quick else [])]
    usage = measure.run(command, folder)
    result = json.loads(report.read_text())
    metrics[PLAIN_SCRIPT] = result["metrics"]
    metrics.setdefault("seconds of the plain script's parts", []).append(result["seconds"])
    return usage


def _measure_pipeline(
    folder: Path, seeds: int, quick: bool, metrics: dict[str, Any], seconds_of: dict[str, list[float]]
) -> Usage:
    fresh = folder / "fresh"
    workspace.copy(folder / "base", fresh, {"seeds": seeds} | LECTURE_PARAMS | (QUICK_PARAMS if quick else {}))
    environment = workspace.environment(fresh)
    repro = [*workspace.DVC, "repro", "--quiet"]
    usage = measure.run(repro, fresh, environment)
    runs = json.loads((fresh / "data" / "trained" / "fair.json").read_text())["runs"]
    metrics[_row_name(seeds)] = _test_metrics(runs)
    repeat = [*repro, "--force", "--single-item", "train@fair", "compare"]  # finds all runs in the store
    show_help = [Path(sys.executable).with_name("feedforward"), "--help"]
    *names, name_of_change = seconds_of
    for name, command in zip(names, (repro, repeat, show_help), strict=True):
        seconds_of[name].append(measure.run(command, fresh, environment).wall)
    if seeds == SEEDS_FOR_CHANGE:
        workspace.change(fresh, CHANGE)
        seconds_of[name_of_change].append(measure.run(repro, fresh, environment).wall)
    shutil.rmtree(fresh)
    return usage


def _test_metrics(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean test metrics of each dataset's final models, to check that the script and the pipeline agree."""
    final = [run for run in runs if run["role"] == "final"]
    return {
        name: {
            metric: statistics.fmean(run["metrics"][metric] for run in final if run["dataset"] == name)
            for metric in ("test_loss", "test_accuracy")
        }
        for name in sorted({run["dataset"] for run in final})
    }


def _summary(rows: dict[str, list[Usage]], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and ratios to the plain script: the ratio of the medians, and the range of ratios over the rounds."""
    summary: dict[str, Any] = {}
    for name, usages in rows.items():
        summary[name] = {}
        for resource in ("wall", "cpu", "peak"):
            values, plain = ([getattr(usage, resource) for usage in row] for row in (usages, rows[PLAIN_SCRIPT]))
            ratios = [a / b for a, b in zip(values, plain, strict=True)]
            summary[name][resource] = {
                "median": statistics.median(values),
                "ratio": statistics.median(values) / statistics.median(plain),
                "ratios": [min(ratios), max(ratios)],
            }
    return summary | {name: statistics.median(times) for name, times in seconds.items() if times}


def measured_targets(summary: dict[str, Any]) -> list[tuple[Target, float]]:
    """The targets for which a value was measured, each with its value."""
    values = []
    for target in TARGETS:
        quantity, _, count = target.name.partition(", ")
        row = summary.get(_row_name(int(count.split()[0]))) if count else None
        if target.unit == "s" and target.name in summary:
            values.append((target, summary[target.name]))
        elif row:
            values.append((target, row["peak" if "memory" in quantity else "wall"]["ratio"]))
    return values


# --- output ------------------------------------------------------------------------------------------


def table(report: dict[str, Any]) -> list[list[str]]:
    """A header, a row for the plain script, and a row for each number of seeds."""
    cells = [["", "wall s", "ratio", "CPU s", "ratio", "peak GB", "ratio"]]
    for name in report["names"]:
        row = report["summary"][name]
        cells.append(
            [
                name,
                f"{row['wall']['median']:.1f}",
                _ratio(row["wall"]),
                f"{row['cpu']['median']:.1f}",
                _ratio(row["cpu"]),
                f"{row['peak']['median'] / 1e9:.2f}",
                _ratio(row["peak"]),
            ]
        )
    return cells


def targets_table(report: dict[str, Any]) -> list[list[str]]:
    """A header and a row for each target."""
    rows = [["target", "limit", "measured", ""]]
    for target, value in measured_targets(report["summary"]):
        stretch = f" (stretch {target.stretch:.2f})" if target.stretch is not None else ""
        rows.append([target.name, f"{target.limit:.2f} {target.unit}{stretch}", f"{value:.2f}", target.verdict(value)])
    return rows


def _ratio(resource: dict[str, Any]) -> str:
    """The ratio and, after several rounds, its range."""
    low, high = resource["ratios"]
    return f"{resource['ratio']:.2f}" + (f" ({low:.2f}-{high:.2f})" if low < high else "")


def text(report: dict[str, Any]) -> str:
    """Both tables, for a terminal."""
    return terminal.text(report, table(report), targets_table(report))


def draw(report: dict[str, Any], path: Path) -> None:
    """Wall time and peak memory of each row as bars, with the ratio to the plain script."""
    from matplotlib.figure import Figure

    names = report["names"]
    figure = Figure(figsize=(9, 0.55 * len(names) + 1.3), dpi=120, layout="constrained")
    figure.suptitle("Training the lecture's networks: plain Keras script, and the whole pipeline", fontsize=11)
    for column, (key, label, unit) in enumerate(
        (("wall", "wall time, s", 1), ("peak", "peak memory, GB", 1e9)), start=1
    ):
        axes = figure.add_subplot(1, 2, column)
        rows = [report["summary"][name][key] for name in names]
        values = [row["median"] / unit for row in rows]
        axes.barh(range(len(names)), values, color=["#59636e"] + ["#0065a8"] * (len(names) - 1), height=0.62)
        for y, (value, row) in enumerate(zip(values, rows, strict=True)):
            axes.text(value, y, f" {value:.3g}  (× {row['ratio']:.2f})", va="center", fontsize=9)
        axes.set_xlim(0, 1.45 * max(values))
        axes.set_yticks(range(len(names)), names if column == 1 else [""] * len(names), fontsize=9.5)
        axes.invert_yaxis()
        axes.set_xlabel(label, fontsize=9.5)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _print_last(round_number: int, name: str, usages: list[Usage]) -> None:
    usage = usages[-1]
    costs = f"{usage.wall:.1f} s, {usage.cpu:.1f} CPU s, {usage.peak / 1e9:.2f} GB"
    print(f"round {round_number}, {name}: {costs}", flush=True)


if __name__ == "__main__":
    main()
