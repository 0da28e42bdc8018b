"""Measures each part of the pipeline and compares it with its floor: `python -m bench.parts`, or `make bench`.

Also measures what each optimization gains and what additional replicas cost. Every measurement runs in a separate
process: a function of bench.jobs, or the measured command. The floor of a part is a lower bound on its time: its
counted work, divided by this machine's rates, which are measured in the same run (for logging, a rate is assumed).
Epochs are measured on one core; stages and the plain script use all cores. Writes reports/bench/parts.json.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import floors, measure, terminal, workspace
from bench.bench import LECTURE_PARAMS, QUICK_PARAMS, Target
from bench.floors import Rates, Work
from feedforward.core import atomic_files, paths

NARROW_VARIANTS = ("original", "smaller", "l2", "dropout")  # with at most 16 units per layer
REPLICA_COUNTS = (1, 5, 10)
LOGGING_RATE = 1e9  # bytes/s, assumed: about the rate at which a solid-state disk writes
STAGES = (
    "vectorize mnist",
    "vectorize imdb",
    "validate",
    "train fair",
    "baselines mnist",
    "baselines imdb",
    "compare",
)
LIBRARIES = (
    "tensorflow",
    "mlflow",
    "great_expectations",
    "prefect",
    "prefect.server.api.server",
    "matplotlib.figure",
    "scipy.stats",
    "pandas",
)
TRICK_PACKS = (("original", 1), ("original", 10), ("larger", 1))
TRICKS = {  # name in bench.tricks → label
    "all_tail": "no dense head",
    "all_dense": "all dense",
    "tensorflow_gradient": "TensorFlow's gradient",
    "tensorflow_tail": "no compiled tail",
    "keras_rmsprop": "Keras's RMSprop",
    "step_by_step": "one graph per step",
}
ADDITIONAL_REPLICA = Target("additional replica of {}", 0.05, None, "× plain")
EPOCH_TARGETS = {  # row of the report → target for time / floor; at 1 / 0.65, the floor is 65 % of the time
    "epoch of mnist original, 1 replica": Target("{}, time / floor", 1 / 0.65, None, "× floor"),
    "epoch of imdb larger, 1 replica": Target("{}, time / floor", 1 / 0.75, None, "× floor"),
}
LOGGING = Target("log one run", 0.1, None, "s")


def main() -> None:
    """Measure, write and print."""
    options = terminal.parser("parts", __doc__, "few epochs and replicas").parse_args()
    report = measure_all(options.quick)
    atomic_files.write_json(options.json, report)
    print(text(report))


def measure_all(quick: bool) -> dict[str, Any]:
    """Take all measurements; the report includes the machine's rates."""
    machine = measure.machine()
    rates = floors.measure_rates()
    print(f"rates: {asdict(rates)}", flush=True)
    return {
        "machine": machine,
        "quick": quick,
        "rates": asdict(rates),
        "stages": _measure_stages(quick),
        "imports": _measure_imports(),
        "parts": [*_measure_data(rates), *_measure_training(rates, quick), _measure_logging(quick)],
        "tricks": _measure_tricks(quick),
        "seeds": _measure_additional_replicas(quick),
    }


def job(*arguments: object) -> dict[str, Any]:
    """Run a function of bench.jobs in a separate process; return its measurements."""
    command = [sys.executable, "-m", "bench.jobs", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])} exited with code {done.returncode}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{' '.join(command[3:])}: {result}", flush=True)
    return result


# --- where the pipeline's time goes -------------------------------------------------------------------


def _measure_stages(quick: bool) -> list[dict[str, Any]]:
    """Measure each stage that bench.bench runs, with one seed, in a fresh workspace, without DVC."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="feedforward-bench-") as name:
        folder = Path(name)
        workspace.prepare(paths.root(), folder / "base")
        fresh = folder / "fresh"
        workspace.copy(folder / "base", fresh, {"seeds": 1} | LECTURE_PARAMS | (QUICK_PARAMS if quick else {}))
        for stage in STAGES:
            command = [sys.executable, "-m", "pipelines.stages", *stage.split()]
            rows.append({"stage": stage, **asdict(measure.run(command, fresh, workspace.environment(fresh)))})
            print(rows[-1], flush=True)
    return rows


def _measure_imports() -> list[dict[str, Any]]:
    """Measure the CPU seconds of importing each library in a separate process: the minimum of three."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARIES:
            command = [sys.executable, "-c", f"import {library}"]
            measurements = [measure.run(command, Path(folder)) for _ in range(3)]
            rows.append({"library": library, "cpu": min(measurement.cpu for measurement in measurements)})
    return rows


# --- parts ---------------------------------------------------------------------------------------


def row(name: str, seconds: float, work: Work, flops: float, bandwidth: float) -> dict[str, Any]:
    """A row of the report: a part and its floor."""
    floor = work.seconds(flops, bandwidth)
    return {"name": name, "seconds": seconds, **asdict(work), "floor": floor, "share": floor / seconds}


def _measure_data(rates: Rates) -> list[dict[str, Any]]:
    rows = []
    for name in ("mnist", "imdb"):
        result = job("vectorize", name)
        rows.append(row(f"vectorize {name}", result["seconds"], Work(0, result["bytes"]), rates.flops, rates.bandwidth))
    for name in ("mnist", "imdb"):
        result = job("validate", name)
        label = f"validate {name} (plus {result['import']:.1f} s to import Great Expectations)"
        rows.append(row(label, result["seconds"], Work(0, result["bytes"]), rates.flops, rates.bandwidth))
    return rows


def _measure_training(rates: Rates, quick: bool) -> list[dict[str, Any]]:
    epochs, rows = 2 if quick else 5, []
    sizes = REPLICA_COUNTS[:1] if quick else REPLICA_COUNTS
    packs = [("imdb", variant, seeds) for variant in NARROW_VARIANTS for seeds in sizes]
    for name, variant, seeds in [*packs, ("imdb", "larger", 1), ("mnist", "original", 1)]:
        result = job("epoch", name, variant, seeds, epochs)
        label = f"{name} {variant}, {seeds} replica{'s' if seeds > 1 else ''}"
        for part, key in (("epoch", "train"), ("evaluation", "evaluation")):
            work = Work(**result[f"{key}_work"])
            rows.append(row(f"{part} of {label}", result[key], work, rates.flops, rates.bandwidth))
    return rows


def _measure_logging(quick: bool) -> dict[str, Any]:
    result = job("log", "imdb", "original", 3 if quick else 30)
    first = f"the mean includes the first run, which took {result['first']:.1f} s"
    name = f"{LOGGING.name}: curves, plot, model ({first}; opening the store took {result['open']:.1f} s)"
    return row(name, result["seconds"], Work(0, result["bytes"]), 1.0, LOGGING_RATE)


# --- optimizations --------------------------------------------------------------------------------------


def _measure_tricks(quick: bool) -> list[dict[str, Any]]:
    """Measure the seconds per epoch on one core, with all optimizations and with each switched off (bench.tricks)."""
    rows = []
    epochs, cores, times = 3, 1, 1
    for variant, seeds in TRICK_PACKS[:1] if quick else TRICK_PACKS:
        settings = ("epoch", "imdb", variant, seeds, epochs, cores, times)
        seconds = {name: job(*settings, name)["train"] for name in ("", *TRICKS)}
        rows.append({"name": f"{variant}, {seeds} replica{'s' if seeds > 1 else ''}", "seconds": seconds})
    return rows


# --- additional replicas -------------------------------------------------------------------------


def _measure_additional_replicas(quick: bool) -> list[dict[str, Any]]:
    """Measure the cost of one more replica of each narrow variant on one core, and the plain script on all cores."""
    variants = NARROW_VARIANTS[:1] if quick else NARROW_VARIANTS
    plain = _plain_seconds(variants, quick)
    rows = []
    for variant in variants:
        epochs = 1 if quick else 20
        few, many = REPLICA_COUNTS[0], REPLICA_COUNTS[-1]
        total = {seeds: job("epoch", "imdb", variant, seeds, epochs)["whole"] for seeds in (few, many)}
        additional = (total[many] - total[few]) / (many - few)
        seconds = {"plain": plain[variant], "one": total[few], "ten": total[many], "additional": additional}
        rows.append({"variant": variant, **seconds, "ratio": additional / plain[variant]})
    return rows


def _plain_seconds(variants: Sequence[str], quick: bool) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "plain.json"
        script, data = Path(__file__).with_name("plain_keras.py"), paths.vectorized("x").parent
        command = [sys.executable, script, data, "--only", ",".join(variants), "--json", report]
        measure.run([*command, *(["--quick"] if quick else [])], Path(folder))
        seconds: dict[str, float] = json.loads(report.read_text())["seconds"]
    return seconds


# --- output ----------------------------------------------------------------------------------------


def measured_targets(report: Mapping[str, Any]) -> list[tuple[str, Target, float]]:
    """The targets and the measured values, as (name, target, value)."""
    target = ADDITIONAL_REPLICA
    values = [(target.name.format(entry["variant"]), target, entry["ratio"]) for entry in report["seeds"]]
    for part in report["parts"]:
        if epoch_target := EPOCH_TARGETS.get(part["name"]):
            values.append((epoch_target.name.format(part["name"]), epoch_target, 1 / part["share"]))
        if part["name"].startswith(LOGGING.name):
            values.append((LOGGING.name, LOGGING, part["seconds"]))
    return values


def stages_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each stage, with one seed."""
    rows = [["stage", "wall s", "CPU s", "peak MB"]]
    for stage in report["stages"]:
        rows.append([stage["stage"], f"{stage['wall']:.1f}", f"{stage['cpu']:.1f}", f"{stage['peak'] / 1e6:.0f}"])
    return rows


def imports_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each library."""
    return [["library imported", "CPU s"], *([entry["library"], f"{entry['cpu']:.1f}"] for entry in report["imports"])]


def parts_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each part."""
    rows = [["part", "s", "GFLOP", "GB", "floor s", "floor / time"]]
    for part in report["parts"]:
        cells = [f"{part['seconds']:.3f}", f"{part['operations'] / 1e9:.2f}", f"{part['bytes'] / 1e9:.3f}"]
        rows.append([part["name"], *cells, f"{part['floor']:.4f}", f"{part['share']:.0%}"])
    return rows


def tricks_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each pack: seconds per epoch, and the slowdown with each optimization switched off.

    TensorFlow's gradient and Keras's RMSprop also switch off the compiled tail, which cannot work with them.
    """
    rows = [["epoch of", "s", *TRICKS.values()]]
    for pack in report["tricks"]:
        seconds = pack["seconds"]
        rows.append([pack["name"], f"{seconds['']:.3f}", *(f"× {seconds[name] / seconds['']:.1f}" for name in TRICKS)])
    return rows


def seeds_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each narrow variant: seconds, of the replicas on one core, of the script on all cores."""
    rows = [
        [
            "variant",
            "plain, one seed",
            "one replica",
            f"{REPLICA_COUNTS[-1]} replicas",
            "per additional replica",
            "additional / plain",
        ]
    ]
    for entry in report["seeds"]:
        cells = [f"{entry[key]:.2f}" for key in ("plain", "one", "ten", "additional")]
        rows.append([entry["variant"], *cells, f"{entry['ratio']:.3f}"])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target."""
    return verdicts_table(measured_targets(report))


def verdicts_table(values: Sequence[tuple[str, Target, float]]) -> list[list[str]]:
    """A header and a row for each (name, target, value)."""
    rows = [["target", "limit", "measured", ""]]
    for name, target, value in values:
        rows.append([name, f"{_short(target.limit)} {target.unit}".strip(), _short(value), target.verdict(value)])
    return rows


def _short(value: float) -> str:
    """Three significant digits, but no exponent for a large number."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def text(report: Mapping[str, Any]) -> str:
    """All tables, for a terminal."""
    tables = (stages_table, imports_table, parts_table, tricks_table, seeds_table, targets_table)
    return terminal.text(report, *(table(report) for table in tables))


if __name__ == "__main__":
    main()
