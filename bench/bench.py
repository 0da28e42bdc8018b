"""Compares the whole job with a plain Keras script: `python -m bench.bench`, or `make bench`.

Alternates between the plain script and `dvc repro`, in fresh processes. `dvc repro` runs from vectorize to compare in a
fresh workspace with new stores, once for each number of seeds. Both train the lecture's networks: IMDb's five variants
and final model, and MNIST's final model. Writes reports/bench/bench.json and bench.png.
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
from bench.measure import Measured
from feedforward.core import atomic_files, paths

# The lecture compares no variants on MNIST. The pipeline needs a variant, so it trains one more MNIST network.
LECTURE = {"datasets.mnist.training.variants": ["original"]}
QUICK = {
    f"datasets.{name}.training.{key}": 1 for name in ("mnist", "imdb") for key in ("epochs", "final.epochs")
}  # one epoch, only to check that the benchmark runs
PLAIN = "plain Keras, one seed"


@dataclass(frozen=True)
class Target:
    """A target for a value. limit: what the value must not exceed. stretch: a more ambitious limit."""

    name: str
    limit: float
    stretch: float | None = None
    unit: str = ""

    def verdict(self, value: float) -> str:
        """The text to print next to the value."""
        if value > self.limit:
            return "NOT MET"
        return "both met" if self.stretch is not None and value <= self.stretch else "met"


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
CHANGED = {"variants.dropout.dropout_rate": 0.3}
CHANGED_SEEDS = 5  # the number of seeds with which a change is measured; the same as in params.yaml


def main() -> None:
    """Measure and print; write after each round, so that an interrupted benchmark keeps its results."""
    options = _options()
    for report in measure_rounds(options.rounds, options.seeds, options.quick):
        atomic_files.write_json(options.json, report)
        draw(report, options.json.with_suffix(".png"))
    print(text(report))


def _options() -> argparse.Namespace:
    parser = terminal.parser("bench", __doc__, "one round, one epoch, few samples")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[1, 5, 10])
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seeds = 1, options.seeds[:1]
    return options


def measure_rounds(rounds: int, seeds: list[int], quick: bool) -> Iterator[dict[str, Any]]:
    """After each round, yield a report of all measurements so far, with their medians."""
    rows: dict[str, list[Measured]] = {PLAIN: [], **{_row(number): [] for number in seeds}}
    seconds: dict[str, list[float]] = {target.name: [] for target in TARGETS if target.unit == "s"}
    metrics: dict[str, Any] = {}
    machine = measure.machine()
    with tempfile.TemporaryDirectory(prefix="feedforward-bench-") as name:
        folder = Path(name)
        workspace.prepare(paths.root(), folder / "base")
        for number in range(1, rounds + 1):
            rows[PLAIN].append(_plain(folder, quick, metrics))
            _say(number, PLAIN, rows[PLAIN])
            for count in seeds:
                rows[_row(count)].append(_pipeline(folder, count, quick, metrics, seconds))
                _say(number, _row(count), rows[_row(count)])
            yield {
                "machine": machine,
                "rounds": number,
                "quick": quick,
                "names": list(rows),
                "rows": {name: [asdict(measurement) for measurement in measured] for name, measured in rows.items()},
                "seconds": seconds,
                "metrics": metrics,
                "summary": _summary(rows, seconds),
            }


def _row(seeds: int) -> str:
    return f"dvc repro, {seeds} seed{'s' if seeds > 1 else ''}"


def _plain(folder: Path, quick: bool, metrics: dict[str, Any]) -> Measured:
    script = Path(__file__).with_name("plain_keras.py")
    report = folder / "plain.json"
    command = [sys.executable, script, paths.vectorized("x").parent, "--json", report, *(["--quick"] if quick else [])]
    measured = measure.run(command, folder)
    result = json.loads(report.read_text())
    metrics[PLAIN] = result["metrics"]
    metrics.setdefault("seconds of the plain script's parts", []).append(result["seconds"])
    return measured


def _pipeline(
    folder: Path, seeds: int, quick: bool, metrics: dict[str, Any], seconds_of: dict[str, list[float]]
) -> Measured:
    fresh = folder / "fresh"
    workspace.copy(folder / "base", fresh, {"seeds": seeds} | LECTURE | (QUICK if quick else {}))
    environment = workspace.environment(fresh)
    repro = [*workspace.DVC, "repro", "--quiet"]
    measured = measure.run(repro, fresh, environment)
    runs = json.loads((fresh / "data" / "trained" / "fair.json").read_text())["runs"]
    metrics[_row(seeds)] = _tested(runs)
    known = [*repro, "--force", "--single-item", "train@fair", "compare"]
    feedforward = [Path(sys.executable).with_name("feedforward"), "--help"]
    *unchanged, changed = seconds_of
    for name, command in zip(unchanged, (repro, known, feedforward), strict=True):
        seconds_of[name].append(measure.run(command, fresh, environment).wall)
    if seeds == CHANGED_SEEDS:
        workspace.change(fresh, CHANGED)
        seconds_of[changed].append(measure.run(repro, fresh, environment).wall)
    shutil.rmtree(fresh)
    return measured


def _tested(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean test metrics of the final models by dataset, to check that the script and the pipeline agree."""
    final = [run for run in runs if run["role"] == "final"]
    return {
        name: {
            metric: statistics.fmean(run["metrics"][metric] for run in final if run["dataset"] == name)
            for metric in ("test_loss", "test_accuracy")
        }
        for name in sorted({run["dataset"] for run in final})
    }


def _summary(rows: dict[str, list[Measured]], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and ratios to the plain script: the ratio of the medians, and the range of ratios over the rounds."""
    summary: dict[str, Any] = {}
    for name, measured in rows.items():
        summary[name] = {}
        for resource in ("wall", "cpu", "peak"):
            ours, plain = ([getattr(measurement, resource) for measurement in row] for row in (measured, rows[PLAIN]))
            ratios = [a / b for a, b in zip(ours, plain, strict=True)]
            summary[name][resource] = {
                "median": statistics.median(ours),
                "ratio": statistics.median(ours) / statistics.median(plain),
                "ratios": [min(ratios), max(ratios)],
            }
    return summary | {name: statistics.median(values) for name, values in seconds.items() if values}


def judged(summary: dict[str, Any]) -> list[tuple[Target, float]]:
    """Each target for which a value was measured, with this value."""
    values = []
    for target in TARGETS:
        quantity, _, count = target.name.partition(", ")
        row = summary.get(_row(int(count.split()[0]))) if count else None
        if target.unit == "s" and target.name in summary:
            values.append((target, summary[target.name]))
        elif row:
            values.append((target, row["peak" if "memory" in quantity else "wall"]["ratio"]))
    return values


# --- output ------------------------------------------------------------------------------------------


def table(report: dict[str, Any]) -> list[list[str]]:
    """A header and a row for each measurement."""
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
    for target, value in judged(report["summary"]):
        stretch = f" (stretch {target.stretch:.2f})" if target.stretch is not None else ""
        rows.append([target.name, f"{target.limit:.2f} {target.unit}{stretch}", f"{value:.2f}", target.verdict(value)])
    return rows


def _ratio(resource: dict[str, Any]) -> str:
    low, high = resource["ratios"]
    return f"{resource['ratio']:.2f} ({low:.2f}-{high:.2f})"


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


def _say(number: int, name: str, measured: list[Measured]) -> None:
    last = measured[-1]
    print(f"round {number}, {name}: {last.wall:.1f} s, {last.cpu:.1f} CPU s, {last.peak / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
