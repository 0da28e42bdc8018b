"""The benchmarks count operations correctly, measure process trees, and apply their targets; no time is asserted."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import (
    bench,
    clients,
    floors,
    growth,
    interference,
    measure,
    page,
    parts,
    scale,
    serving,
    shadow,
    table,
    workspace,
)
from bench.floors import Work
from feedforward.config.schema import load_params
from feedforward.data.splits import MultiHot, Split, Subset

ROOT = Path(__file__).resolve().parents[2]


def images(samples: int, columns: int = 784) -> Split:
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (samples, columns), np.uint8), rng.integers(0, 10, samples, np.uint8))


def reviews(rows: list[list[int]], columns: int = 10000) -> Split:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    indices = np.array([index for row in rows for index in row], np.uint16)
    return Split(MultiHot(indptr, indices, columns), np.arange(len(rows), dtype=np.uint8) % 2)


# --- the plain script ------------------------------------------------------------------------------


@pytest.mark.slow
def test_plain_script_trains_all_networks_of_the_lecture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        rows = [sorted(rng.choice(10000, 20, replace=False).tolist()) for _ in range(60)]
        reviews(rows).save(tmp_path / "imdb" / split)
        images(60).save(tmp_path / "mnist" / split)
    script = ROOT / "bench" / "plain_keras.py"
    command = [sys.executable, script, tmp_path, "--quick", "--json", tmp_path / "plain.json"]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads((tmp_path / "plain.json").read_text())
    assert set(report["seconds"]) == {"mnist", "vectorize", "original", "smaller", "larger", "l2", "dropout", "final"}
    for part in ("mnist", "final"):
        assert 0 <= report["metrics"][part]["test_accuracy"] <= 1
    # the labels are random, so the loss stays near ln 2, plus the penalty
    assert report["metrics"]["original"]["val_loss"] == pytest.approx(np.log(2), abs=0.1)
    assert report["metrics"]["l2"]["val_loss"] > report["metrics"]["original"]["val_loss"]


# --- optimizations ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", parts.TRICKS)
def test_weights_are_nearly_equal_without_each_optimization(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import tricks
    from feedforward.experiments import runner
    from feedforward.training import batches, sparse_layer, trainer

    runner.prepare(1)
    params, rng = load_params(), np.random.default_rng(0)
    data = reviews([sorted(rng.choice(10000, 20, replace=False).tolist()) for _ in range(600)])

    def trained_weights() -> list[list[np.ndarray]]:
        variants = {name: params.variants[name] for name in ("l2", "original")}
        order = np.random.default_rng(3)
        replicas = trainer.fit(params.datasets["imdb"], variants, Subset(data), None, 0, order, 2)
        return [replica.model.get_weights() for replica in replicas]

    expected = trained_weights()
    patched = (sparse_layer, trainer, batches.Batches, sparse_layer.VariableTail)
    for module in patched:
        for attribute, value in [*vars(module).items()]:
            if not attribute.startswith("__"):
                monkeypatch.setattr(module, attribute, value)  # restores the attribute after the test
    names_before = [{*vars(module)} for module in patched]
    tricks.SWITCHES[name]()
    assert names_before == [{*vars(module)} for module in patched], "a new attribute would have no effect"
    for expected_weights, weights in zip(expected, trained_weights(), strict=True):
        for expected_array, array in zip(expected_weights, weights, strict=True):
            np.testing.assert_allclose(array, expected_array, atol=1e-5)


# --- lower bounds ------------------------------------------------------------------------------------------


def test_operations_of_dense_layers_are_counted() -> None:
    # 10 rows, layers 784-8-3, 2 steps. Per row and kernel entry: 2 operations forward; backward 2 in the first layer,
    # 4 in the second. RMSprop: 8 operations per weight and step.
    split, weights = images(10), 784 * 8 + 8 + 8 * 3 + 3
    work = floors.epoch_work(split, [8, 3], 5, 1)
    assert work.operations == 10 * (784 * 8 * 4 + 8 * 3 * 6) + 8 * weights * 2
    assert floors.evaluation_work(split, [8, 3], 1).operations == 10 * (784 * 8 + 8 * 3) * 2


def test_multi_hot_rows_count_a_dense_head_and_the_ones_of_the_tail() -> None:
    split = reviews([[1, 600, 700], [1, 2], [511, 512]])  # three ones in the tail, which begins at column 512
    assert floors.evaluation_work(split, [4, 1], 1).operations == 3 * (512 * 4 + 4) * 2 + 3 * 4


def test_packed_replicas_share_only_the_features() -> None:
    split = images(10)
    one, ten = (floors.epoch_work(split, [8, 3], 5, replicas) for replicas in (1, 10))
    features = split.features.nbytes + split.labels.nbytes
    assert ten.operations == 10 * one.operations
    assert ten.bytes - features == 10 * (one.bytes - features)


def test_floor_is_the_longer_of_compute_and_memory_time() -> None:
    assert (Work(10, 4) * 2).seconds(flops=10, bandwidth=1) == 8
    assert (Work(10, 4) + Work(10, 0)).seconds(flops=1, bandwidth=1) == 20


@pytest.mark.slow
def test_rates_of_this_machine_are_plausible() -> None:
    rates = floors._measure_in_process(threads=1)
    assert 1e8 < rates["flops"] < 1e13
    assert 1e8 < rates["bandwidth"] < 1e13


# --- measuring ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_measurement_includes_child_processes(tmp_path: Path) -> None:
    child = "import time; block = bytearray(150_000_000); time.sleep(1.5)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); sum(range(3_000_000))"
    measured = measure.run([sys.executable, "-c", code], tmp_path)
    assert 1.5 < measured.wall < 30
    assert 0.02 < measured.cpu < measured.wall
    assert 150e6 < measured.peak < 400e6


def test_failed_command_raises_with_its_exit_code_and_output(tmp_path: Path) -> None:
    with pytest.raises(measure.CommandFailed, match=r"exited with code 3:\n.*no such thing"):
        measure.run([sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"], tmp_path)


def test_machine_description_contains_no_host_name_or_path() -> None:
    import platform

    text = json.dumps(measure.machine())
    assert platform.node() not in text
    assert str(ROOT) not in text
    assert measure.machine()["cores"] >= 1


# --- judging -----------------------------------------------------------------------------------------


def report(plain: float, walls: dict[int, float]) -> dict:
    """Return a report. plain: seconds of the plain script. walls: seconds of `dvc repro`, by the number of seeds."""
    rows = {bench.PLAIN_SCRIPT: [measure.Usage(plain, plain, 8 * 10**9)]}
    rows |= {bench._row_name(seeds): [measure.Usage(wall, wall, 10**9)] for seeds, wall in walls.items()}
    return {"summary": bench._summary(rows, {"`feedforward --help`": [0.4, 0.6, 0.45]}), "names": list(rows)}


def test_targets_are_ratios_to_the_plain_script() -> None:
    verdicts = {
        target.name: (value, target.verdict(value))
        for target, value in bench.measured_targets(report(100, {1: 31, 10: 84})["summary"])
    }
    assert verdicts == {
        "wall, 1 seed": (0.31, "NOT MET"),
        "peak memory, 1 seed": (0.125, "met"),
        "wall, 10 seeds": (0.84, "met"),
        "`feedforward --help`": (0.45, "NOT MET"),
    }


def test_changes_to_params_are_valid(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    workspace.change(tmp_path, bench.LECTURE_PARAMS | bench.QUICK_PARAMS)
    params = load_params(tmp_path / "params.yaml")
    assert params.datasets["mnist"].training.variants == ("original",)
    assert params.datasets["imdb"].training.epochs == 1


def test_tables_keep_the_order_of_rows_and_have_equal_columns() -> None:
    rows = bench.table(report(100, {1: 25, 5: 70}))
    assert [row[0] for row in rows[1:]] == [bench.PLAIN_SCRIPT, "dvc repro, 1 seed", "dvc repro, 5 seeds"]
    lines = page.markdown(rows).splitlines()
    assert {line.count("|") for line in lines} == {len(rows[0]) + 1}


def test_exponent_is_the_slope_of_the_logarithms() -> None:
    assert growth.exponent([1, 4, 16], [3, 12, 48]) == pytest.approx(1)
    assert growth.exponent([1, 4, 16], [5, 5, 5]) == pytest.approx(0)
    assert growth.exponent([1, 4, 16], [1, 16, 256]) == pytest.approx(2)


def test_page_shows_time_and_memory_of_a_large_table_and_whether_they_grow_linearly() -> None:
    sizes = [
        {
            "rows": rows,
            "bytes": 170 * rows,
            "init": {"wall": rows / 50_000, "cpu": 1.0, "peak": 10**8},
            "run": {"wall": rows / 2_000, "cpu": rows / 1_000, "peak": 2_000 * rows},
        }
        for rows in table.ROWS
    ]
    report = {"machine": measure.machine(), "quick": False, "sizes": sizes}
    text = page.page({"table": report})
    assert "| 1,000,000 | 170 | 20 | 8.3 | 1000 | 2000 |" in text
    assert "| scaling exponent of CPU time | 1.05 | 1.00 | met |" in text


def test_growth_targets_cover_time_and_memory_of_the_largest_size() -> None:
    def size(times: int, seconds: float) -> dict:
        vectorize = {"seconds": seconds, "peak": 3e8 + times, "digest": "0"}
        return {
            "times": times,
            "reviews": times * 50_000,
            "vectorize": vectorize,
            "epoch": {"seconds": times / 10, "peak": 9e8},
        }

    sizes = [size(times, 3 * times) for times in growth.REPETITIONS]
    report = {"machine": measure.machine(), "quick": False, "growth": sizes, "cluster": None}
    assert growth.targets_table(report)[1:] == [
        ["scaling exponent of vectorize time", "1.05", "1", "met"],
        ["scaling exponent of epoch time", "1.05", "1", "met"],
        ["seconds to vectorize 800,000 reviews", "40 s", "48", "NOT MET"],
        ["peak memory of vectorize with 16 times the reviews", "500 MB", "300", "met"],
    ]
    assert "| 800,000 | 48.00 | 300 | 1.60 | 900 |" in page.page({"growth": report})


def test_epochs_are_judged_by_their_share_of_the_floor() -> None:
    rows = [
        parts.row(name, seconds, Work(100, 0), flops=100, bandwidth=1)
        for name, seconds in zip(parts.EPOCH_TARGETS, (1.5, 1.4), strict=True)
    ]
    measured = parts.measured_targets({"seeds": [], "parts": rows})
    verdicts = [(value, target.verdict(value)) for _, target, value in measured]
    assert verdicts == [(pytest.approx(1.5), "met"), (pytest.approx(1.4), "NOT MET")]


# --- serving (tests/feedforward/serving/test_mlflow_flavor.py uses real servers) --------------------------------


def test_quantile_is_a_measured_time() -> None:
    times = [float(k) for k in range(1, 201)]
    assert [clients.quantile(times, share) for share in (0.005, 0.5, 0.99, 1)] == [1, 100, 198, 200]
    assert clients.quantile([3.0], 0.99) == 3


def test_serving_targets_use_medians_of_throughput_and_p99() -> None:
    def measurements(*rates: float) -> list[dict[str, float]]:
        return [{"rate": r, "p50": 1000 / r, "p99": 5000 / r, "requests": 100, "cpu": 150.0} for r in rates]

    service, mlflow = measurements(900, 1000, 1900), measurements(240, 250, 100)
    rows = {"reviews": {serving.FEEDFORWARD: service, serving.MLFLOW: mlflow}}
    services = [{"ready": 1.25, "memory": 140.0}, {"ready": 1.0, "memory": 160.0}]
    report = {"machine": measure.machine(), "rounds": 3, "clients": 32, "program": "wrk 4", "quick": False}
    report |= {"rows": rows, "texts": ["reviews"], "services": services}
    assert serving.targets_table(report)[1:] == [
        ["reviews: throughput, mlflow / feedforward (lower is better)", "0.2", "0.24", "NOT MET"],
        ["reviews: p99 latency, feedforward / mlflow (lower is better)", "1", "0.24", "met"],
        ["reviews: ms per request (inverse of the throughput)", "0.2", "1", "NOT MET"],
        ["reviews: p99 latency in ms", "12", "5", "met"],
        ["seconds until the service is ready", "1.5", "1.25", "met"],
        ["resident memory of the service after all requests, in MB", "150", "160", "NOT MET"],
    ]
    assert "| reviews, feedforward serve | 1000 | 1.0 | 5.0 | 150 |" in page.page({"serving": report})


def test_a_large_request_is_judged_by_the_slowest_short_answer_of_the_median_round() -> None:
    rounds = [{"seconds": 1.0, "idle": 0.5, "slowest": slowest} for slowest in (20.0, 60.0, 90.0)]
    report = {"machine": measure.machine(), "rounds": 3, "rows": {"many texts": rounds}, "quick": False}
    assert interference.targets_table(report)[1] == [
        "many texts: slowest answer to a short text, ms", "50", "60.0", "NOT MET",
    ]  # fmt: skip
    assert "| many texts | 1.00 | 0.5 | 60.0 |" in page.page({"interference": report})


# --- scale -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_simulated_workers_lose_no_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.scale", "--quick", "--json", tmp_path / "scale.json"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    report = json.loads((tmp_path / "scale.json").read_text())
    runs = report["runs"][scale.SQLITE]
    assert [row["workers"] for row in runs] == [1, 4]
    assert all(row["rate"] > 0 and row["cpu"] > 0 and row["lost"] == 0 for row in runs)
    assert report["artifact_bytes"] > scale.MODEL
    assert "| sqlite | 4 |" in page.page({"scale": report})


def test_remote_bytes_are_read_from_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    outs = {
        "fetch@a": [("data/raw/a", 5), ("data/collected/a.jsonl", 1)],
        "vectorize@a": [("data/vectorized/a", 7)],
        "train@fair": [("data/trained/fair.json", 11)],
        "compare": [("reports/comparison/index.html", 13)],
    }
    stages = {stage: {"outs": [{"path": path, "size": size} for path, size in files]} for stage, files in outs.items()}
    lock.write_text(json.dumps({"stages": stages}))
    assert scale.remote_bytes(lock) == {"a": 13, "trained": 11}


# --- shadow ------------------------------------------------------------------------------------------------------


def test_shadow_targets_use_the_ratios_of_rounds_and_show_those_of_the_control() -> None:
    def measurements(*p50: float) -> list[dict[str, float]]:
        return [{"rate": 1000.0, "p50": value, "p99": 4 * value, "cpu": 100.0} for value in p50]

    row = {
        "measurements": {
            shadow.WITHOUT_SHADOW: measurements(1, 2, 4),
            shadow.WITH_SHADOW: measurements(1, 2.1, 6),
            shadow.CONTROL: measurements(1, 1.8, 4.4),
        },
        "shadow": {"answered": 9.0, "compared": 7.0, "dropped": 2.0},
    }
    report = {"rows": {"reviews": row}, "rounds": 3, "program": "wrk 4", "machine": measure.machine(), "quick": False}
    assert shadow.ratios(row, "p50") == [1, 1.05, 1.5]
    assert shadow.targets_table(report)[1] == [
        "reviews: p50, with / without a shadow, median over the rounds", "1.1", "1.050 (1.00-1.50)", "met",
        "1.000 (0.90-1.10)",
    ]  # fmt: skip
    text = page.page({"shadow": report})
    assert "| reviews, with a shadow | 1000 | 2.10 | 8.40 | 100 | 9 | 7 | 2 |" in text
    assert page.page({}, former=text) == text


def test_the_page_keeps_sections_about_reports_that_are_not_there() -> None:
    former = (Path(__file__).parents[2] / "docs" / "performance-measured.md").read_text(encoding="utf-8")
    assert page.page({}, former) == former
