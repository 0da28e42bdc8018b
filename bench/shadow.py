"""Compares the service with and without a shadow, in pairs: `python -m bench.shadow`, or `make bench`.

A shadow is a challenger that also answers each request, unseen by the client. Two services with the same champion run
at the same time. In each pair of measurements, clients on loopback send review-length texts, or images, first to one
service and then to the other; the order is reversed in every second pair. Clients and services share the machine's
cores. LoadedVersion and challenger are the same final run, the latest one, registered twice in a temporary copy of the
store. Writes reports/bench/shadow.json.
"""

import contextlib
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
WITHOUT_SHADOW, WITH_SHADOW = "without", "with"
COST = Target("{}: {}, with / without a shadow, median of the pairs", 1.10)


def main() -> None:
    """Measure, write, print; report datasets without a finished final run."""
    parser = terminal.parser("shadow", __doc__, "one pair of one second")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds per pair and service")
    parser.add_argument("--dataset", action="append", help="a dataset of params.yaml (repeatable); default: all")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.seconds = 1, 1.0
    names = options.dataset or list(load_params().datasets)
    report = measure_all(names, options.pairs, options.seconds) | {"quick": options.quick}
    if not report["rows"]:  # the reason has been printed
        return
    atomic_files.write_json(options.json, report)
    print(text(report))


def measure_all(names: Sequence[str], pairs: int, seconds: float) -> dict[str, Any]:
    """Measure both services for each dataset, kind of sample and number of clients."""
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
                rows |= _measure_dataset(folder, dataset, pairs, seconds)
    return {"machine": machine, "pairs": pairs, "program": clients.program(), "rows": rows}


def _measure_dataset(folder: Path, name: str, pairs: int, seconds: float) -> dict[str, Any]:
    batches = serving.samples(prediction.champion(name))
    rows, path = {}, f"/predict/{name}"
    with (
        _run_service(folder / WITHOUT_SHADOW, None) as plain,
        _run_service(folder / WITH_SHADOW, "challenger") as with_shadow,
    ):
        services = {WITHOUT_SHADOW: plain, WITH_SHADOW: with_shadow}
        for kind, batch in batches.items():
            bodies = [{"samples": [sample]} for sample in batch]
            for count in CLIENTS:
                measured: dict[str, list[Any]] = {key: [] for key in services}
                before = _counts(with_shadow.port)
                for pair in range(pairs):
                    for key in services if pair % 2 == 0 else reversed(services):
                        service = services[key]  # its CPU time excludes the shadow's process
                        measurement = clients.measure([service.process], service.port, path, bodies, seconds, count)
                        measured[key].append(asdict(measurement))
                        print(f"{kind}, {count} clients, {key} a shadow: {measured[key][-1]}", flush=True)
                after = _counts(with_shadow.port)
                shadow = {key: after[key] - before[key] for key in after}
                rows[f"{kind}, {count} clients"] = {"measurements": measured, "shadow": shadow}
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
    """Register the latest final run as champion, and once more as an evaluated challenger.

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
    registry.tag(challenger, {model_version.METRICS: "{}", model_version.HOLDOUT_MODELS: "[]"})
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
    """The numbers of requests answered by the service, compared by the shadow, and dropped by it."""
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


def ratios(row: Mapping[str, Any], key: str) -> list[float]:
    """For each pair, the value with a shadow divided by the value without. key: `p50`, `p99` or `cpu`."""
    pairs = zip(row["measurements"][WITH_SHADOW], row["measurements"][WITHOUT_SHADOW], strict=True)
    return [with_shadow[key] / without[key] for with_shadow, without in pairs]


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each kind of sample, number of clients and service."""
    rows = [["", "requests/s", "p50 ms", "p99 ms", "CPU µs per request", "answered", "compared", "dropped"]]
    for name, row in report["rows"].items():
        for service, measured in row["measurements"].items():
            keys = ("rate", "p50", "p99", "cpu")
            rate, p50, p99, cpu = (statistics.median(each[key] for each in measured) for key in keys)
            counts = [f"{row['shadow'][key]:.0f}" if service == WITH_SHADOW else "" for key in row["shadow"]]
            cells = [f"{name}, {service} a shadow", f"{rate:.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.0f}"]
            rows.append([*cells, *counts])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target, with the range over the pairs."""
    rows = [["target", "limit", "measured", ""]]
    for name, row in report["rows"].items():
        for key in ("p50", "p99", "cpu"):
            pair_ratios = ratios(row, key)
            value = statistics.median(pair_ratios)
            measured = f"{value:.3f} ({min(pair_ratios):.2f}-{max(pair_ratios):.2f})"
            rows.append([COST.name.format(name, key), f"{COST.limit:g}", measured, COST.verdict(value)])
    return rows


def text(report: Mapping[str, Any]) -> str:
    """Both tables, for a terminal."""
    return terminal.text(report, table(report), targets_table(report))


if __name__ == "__main__":
    main()
