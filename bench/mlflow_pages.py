"""Measures how long MLflow's pages take to draw the comparison of the variants when the store has many runs.

`python -m bench.mlflow_pages` writes the runs of a study through `feedforward.tracking`, starts an MLflow server, and
opens the project's saved comparison view several times in Chromium, each time with a new profile. Then it adds the runs
of several sweeps and opens the view again, as often as before. It measures the seconds until the curves and intervals
of five variants are drawn, and the CPU seconds of the server and the browser, which depend less on other jobs on the
machine. docs/scale.md gives the results.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from bench import measure
from bench.scale import cpu_seconds, run_server
from faults.stack import Tracking
from feedforward import tracking
from feedforward.analysis.run_result import RunResult
from feedforward.core import atomic_files
from feedforward.tracking import RunTags
from feedforward.tracking.experiment_pages import bounds, link

if TYPE_CHECKING:
    from feedforward.tracking import Run, Store

DATASET = "pages"
VARIANTS = ("original", "smaller", "larger", "l2", "dropout")
EPOCHS, PARAMS, EXTRA_METRICS = 20, 20, 10
CURVES = tuple(part + name for part in ("", "val_") for name in ("loss", "accuracy", "cross_entropy"))
SWEEPS, TRIALS, TRIAL_SEEDS = 8, 11, 3
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
IS_DRAWN = """(minimum) => [...document.querySelectorAll(".js-plotly-plot")].some((plot) =>
  (plot.data ?? []).filter((line) => line.x?.length >= 20).length >= minimum && plot.querySelector("path.js-line"))"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds in the study")
    parser.add_argument("--times", type=int, default=5, help="number of times to open the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="feedforward-pages-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "params.yaml").write_text("seeds: 1\n", encoding="utf-8")
        os.environ |= {"FEEDFORWARD_ROOT": name, "FEEDFORWARD_STORE": str(folder / "mlruns")}
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        store = tracking.open_store()
        runs = write_study(store, options.seeds)
        database = f"sqlite:///{folder}/mlruns/mlflow.db"
        tracking_server = Tracking(folder / "server", database, str(folder / "a"), {}, workers=2)
        server = stack.enter_context(run_server(tracking_server))
        address = link(server.address, str(store.experiment(DATASET)), "fair")
        print(measure.machine())
        print(text(runs, [_measure_page_load(address, server) for _ in range(options.times)]), flush=True)
        runs += write_sweeps(store)
        print(text(runs, [_measure_page_load(address, server) for _ in range(options.times)]))


def text(runs: int, page_loads: Sequence[tuple[float, float, float]]) -> str:
    """One line: the median and the slowest time, and the median CPU seconds."""
    seconds, server_cpu, browser_cpu = zip(*page_loads, strict=True)
    cpu = f"CPU s: server {statistics.median(server_cpu):.2f}, browser {statistics.median(browser_cpu):.2f}"
    return f"{runs} runs: median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s; {cpu}"


# --- runs ------------------------------------------------------------------------------------


def write_study(store: "Store", seeds: int) -> int:
    """Write replicas, final runs and components (runs in which only one source of randomness varies) of five variants.

    Return the number of runs.
    """
    return sum(
        _write_family(store, variant, role, child, seeds if child != "final" else seeds // 4)
        for variant in VARIANTS
        for role, child in (("variant", "replica"), ("components", "component"), ("finals", "final"))
    )


def write_sweeps(store: "Store") -> int:
    """Write the runs of SWEEPS sweeps; return the number of runs."""
    run_count = 0
    for sweep in range(SWEEPS):
        parent = store.start(_tags("original", "sweep", sweep), f"sweep {sweep}", resume=True)
        for trial in range(TRIALS):
            run_count += _write_family(store, f"l2=1e-{sweep}-{trial}", "trial", "replica", TRIAL_SEEDS, parent, sweep)
        store.finish(parent, metrics={"trials": float(TRIALS)})
    return run_count + SWEEPS


def _write_family(
    store: "Store", variant: str, role: Any, child: Any, seeds: int, sweep_run: "Run | None" = None, sweep: int = 0
) -> int:
    """Write a parent run, with mean curves, and its child runs; return how many runs were written."""
    parent = store.start(_tags(variant, role, sweep), variant, sweep_run, resume=True)
    for seed in range(seeds):
        run = store.start(_tags(variant, child, sweep, seed), f"{variant} {child} {seed}", parent)
        store.finish(run, result=_result(variant, seed, child), params=_params(variant))
    curves = {name: _curve(name, variant, 0) for name in CURVES}
    bound_curves = {bound: curve for name, curve in curves.items() for bound in bounds(name)}
    means = {f"mean_{name}": 0.5 for name in _result(variant, 0, child).metrics}
    metrics = {**means, "seeds": float(seeds)}
    store.finish(parent, curves={**curves, **bound_curves}, metrics=metrics, params=_params(variant))
    return seeds + 1


def _tags(variant: str, role: Any, sweep: int, seed: int | None = None) -> RunTags:
    return RunTags(DATASET, variant, "fair", role, atomic_files.digest([variant, role, sweep, seed]), "0" * 64, seed)


def _params(variant: str) -> dict[str, object]:
    return {"variant": variant} | {f"parameter_{k}": k for k in range(PARAMS)}


def _result(variant: str, seed: int, role: str) -> RunResult:
    curves = {name: _curve(name, variant, seed) for name in CURVES}
    names = ("best_val_cross_entropy", "best_val_accuracy", "best_epoch", "generalization_gap")
    metrics = dict.fromkeys((*names, *(f"metric_{k}" for k in range(EXTRA_METRICS))), 0.5)
    return RunResult(DATASET, variant, seed, "fair", role, curves, metrics, atomic_files.digest(seed))


def _curve(name: str, variant: str, seed: int) -> list[float]:
    rng = np.random.default_rng(zlib.crc32(f"{name} {variant} {seed}".encode()))
    return (0.3 + 0.4 * np.exp(-np.arange(EPOCHS) / 3) + 0.01 * rng.random(EPOCHS)).tolist()


# --- pages -----------------------------------------------------------------------------------

PageLoad = tuple[float, float, float]  # seconds, CPU seconds of the server, CPU seconds of the browser


def _measure_page_load(address: str, server: Tracking) -> PageLoad:
    """Open the page in a new browser profile; measure until all curves and intervals are drawn."""
    with _browser() as browser:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        began, server_cpu, browser_cpu = time.monotonic(), cpu_seconds(server), _browser_seconds()
        page.goto(address)
        page.wait_for_function(IS_DRAWN, arg=3 * len(VARIANTS), timeout=120_000)
        seconds = time.monotonic() - began
        return seconds, cpu_seconds(server) - server_cpu, _browser_seconds() - browser_cpu


def _browser_seconds() -> float:
    """CPU seconds of this process's browsers so far."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name():
                total += sum(process.cpu_times()[:2])
    return total


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # root cannot use Chromium's sandbox
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if root else [])
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
