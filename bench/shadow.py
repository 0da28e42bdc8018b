"""Compares the service with and without a shadow, in pairs: `python -m bench.shadow`, or `make bench`.

A shadow is a challenger that also answers each request, unseen by the client. Three services with the same champion run
at the same time: one with a shadow and two without; one of these two is the control, which shows how much two equal
services differ. In each round, clients on loopback send review-length texts, or images, to one service after the other,
in another order each time. The services are restarted after every few rounds, because two identical processes differ in
speed for as long as they run. Clients and services share the machine's cores. Champion and challenger are the same
final run, the latest one, registered twice in a temporary copy of the store. Writes reports/bench/shadow.json.
"""

import contextlib
import itertools
import os
import shutil
import statistics
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bench import clients, measure, serving, terminal
from bench.bench import Target
from bench.serving import Service
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError
from feedforward.promotion import candidate
from feedforward.serving import prediction
from feedforward.tracking import model_version, model_versions, open_store

CLIENTS = (4, 32)
WITHOUT_SHADOW, WITH_SHADOW, CONTROL = "without a shadow", "with a shadow", "control, without a shadow"
ROUNDS_PER_START = 3  # rounds between two restarts of the services
COST = Target("{}: {}, with / without a shadow, median over the rounds", 1.10)


def main() -> None:
    """Measure, write and print; report datasets without a final run of the current data and parameters."""
    parser = terminal.parser("shadow", __doc__, "one round of one-second measurements")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds per round and service")
    parser.add_argument("--dataset", action="append", help="a dataset of params.yaml (repeatable); default: all")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    names = options.dataset or list(load_params().datasets)
    report = measure_all(names, options.rounds, options.seconds) | {"quick": options.quick}
    if not report["rows"]:  # the reason has been printed
        return
    atomic_files.write_json(options.json, report)
    print(text(report))


def measure_all(names: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Measure the services for each dataset, kind of sample and number of clients."""
    machine, rows = measure.machine(), {}
    with tempfile.TemporaryDirectory(prefix="feedforward-shadow-") as name:
        folder = Path(name)
        _copy_store(folder / "mlruns")
        with _using_store(folder / "mlruns"):
            for dataset in names:
                try:
                    _register(dataset)
                except DataError as error:
                    print(error, flush=True)
                    continue
                rows |= _measure_dataset(folder, dataset, rounds, seconds)
    return {"machine": machine, "rounds": rounds, "program": clients.program(), "rows": rows}


def _measure_dataset(folder: Path, name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """The measurements of all rounds for each kind of sample and number of clients, and the counts of the shadow."""
    batches, path = serving.samples(prediction.champion(name)), f"/predict/{name}"
    keys = [WITHOUT_SHADOW, WITH_SHADOW, CONTROL]
    orders = list(itertools.permutations(keys))
    rows: dict[str, Any] = {}
    for kind, count in itertools.product(batches, CLIENTS):
        counts = dict.fromkeys(("answered", "compared", "dropped"), 0.0)
        rows[f"{kind}, {count} clients"] = {"measurements": {key: [] for key in keys}, "shadow": counts}
    for start in range(0, rounds, ROUNDS_PER_START):
        with (
            _run_service(folder / "without", None) as without,
            _run_service(folder / "with", "challenger") as with_shadow,
            _run_service(folder / "control", None) as control,
        ):
            services = dict(zip(keys, (without, with_shadow, control), strict=True))
            for (kind, batch), count in itertools.product(batches.items(), CLIENTS):
                bodies, row = [{"samples": [sample]} for sample in batch], rows[f"{kind}, {count} clients"]
                before = _counts(with_shadow.port)
                for number in range(start, min(start + ROUNDS_PER_START, rounds)):
                    for key in orders[number % len(orders)]:
                        service = services[key]
                        # CPU time is that of the service's own process, without the shadow's
                        measurement = clients.measure([service.process], service.port, path, bodies, seconds, count)
                        row["measurements"][key].append(asdict(measurement))
                        print(f"{kind}, {count} clients, {key}: {row['measurements'][key][-1]}", flush=True)
                for key, value in _counts(with_shadow.port).items():
                    row["shadow"][key] += value - before[key]
    return rows


# --- services ------------------------------------------------------------------------------------


def _copy_store(target: Path) -> None:
    """Copy the store; files other than the database become hard links if the file system supports them."""

    def link(source: str, destination: str) -> None:
        try:
            if Path(source).name.startswith("mlflow.db"):
                raise OSError
            os.link(source, destination)
        except OSError:
            shutil.copy2(source, destination)

    shutil.copytree(paths.store(), target, copy_function=link)


@contextlib.contextmanager
def _using_store(folder: Path) -> Iterator[None]:
    os.environ["FEEDFORWARD_STORE"] = str(folder)
    try:
        open_store()  # corrects the locations of artifacts
        yield
    finally:
        del os.environ["FEEDFORWARD_STORE"]


def _register(name: str) -> None:
    """Register the latest final run as champion, and again as a challenger that is marked as evaluated and kept.

    Raises:
        DataError: there is no run with the current data and parameters.
    """
    from feedforward.tracking.registry import Registry

    params, registry = load_params(), Registry()
    run = candidate.choose(params, name, registry, None)
    # no calibration metrics: the temperature does not affect latency
    champion = candidate.register(params, name, run, registry, {})
    served = model_versions.folder(champion, model_version.SERVED)
    tags = {model_version.DIGEST: champion.tags[model_version.DIGEST], "variants": "{}"}
    challenger = registry.register(name, run.run_id, {model_version.SERVED: served}, tags)
    registry.tag(challenger, {model_version.METRICS: "{}", model_version.HOLDOUT_MODELS: "[]", "decision": "kept"})
    registry.set_alias(champion, model_version.CHAMPION)
    registry.set_alias(challenger, model_version.CHALLENGER)


@contextlib.contextmanager
def _run_service(folder: Path, shadow: str | None) -> Iterator[Service]:
    """Run a service with this checkout's params.yaml, except for `serving.shadow`."""
    yaml = YAML()
    values = yaml.load(paths.params())
    values.setdefault("serving", {})["shadow"] = shadow
    folder.mkdir(exist_ok=True)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    with serving.feedforward_server(FEEDFORWARD_ROOT=str(folder)) as service:
        yield service


def _counts(port: int) -> dict[str, float]:
    """The numbers of requests that the service answered, that the shadow compared, and that were not sent to it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    names = {
        'feedforward_requests_total{path="predict",status="200"}': "answered",
        "feedforward_shadow_requests{": "compared",
        "feedforward_shadow_dropped_total{": "dropped",
    }
    counts = dict.fromkeys(names.values(), 0.0)
    for line in lines:
        for start, key in names.items():
            if line.startswith(start):
                counts[key] += float(line.rpartition(" ")[2])
    return counts


# --- output --------------------------------------------------------------------------------------


def ratios(row: Mapping[str, Any], key: str, service: str = WITH_SHADOW) -> list[float]:
    """For each round, a service's value divided by that of the service without a shadow. key: `p50`, `p99` or `cpu`."""
    pairs = zip(row["measurements"][service], row["measurements"][WITHOUT_SHADOW], strict=True)
    return [measured[key] / without[key] for measured, without in pairs]


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each kind of sample, number of clients and service."""
    rows = [["", "requests/s", "p50 ms", "p99 ms", "CPU µs per request", "answered", "compared", "dropped"]]
    for name, row in report["rows"].items():
        for service, measured in row["measurements"].items():
            keys = ("rate", "p50", "p99", "cpu")
            rate, p50, p99, cpu = (statistics.median(each[key] for each in measured) for key in keys)
            counts = [f"{row['shadow'][key]:.0f}" if service == WITH_SHADOW else "" for key in row["shadow"]]
            cells = [f"{name}, {service}", f"{rate:.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.0f}"]
            rows.append([*cells, *counts])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target, with ranges over the rounds, and the ratios of the control."""
    rows = [["target", "limit", "measured", "", "control / without"]]
    for name, row in report["rows"].items():
        for key in ("p50", "p99", "cpu"):
            measured, control = ratios(row, key), ratios(row, key, CONTROL)
            verdict = COST.verdict(statistics.median(measured))
            rows.append([COST.name.format(name, key), f"{COST.limit:g}", _shown(measured), verdict, _shown(control)])
    return rows


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.2f}-{max(values):.2f})"


def text(report: Mapping[str, Any]) -> str:
    """Both tables, for a terminal."""
    return terminal.text(report, table(report), targets_table(report))


if __name__ == "__main__":
    main()
