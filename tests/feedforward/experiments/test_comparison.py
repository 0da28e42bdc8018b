"""The output of `compare`: complete, reproducible, and consistent with the results."""

import csv
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small_data import params_with
from synthetic_predictions import complete
from synthetic_runs import synthetic_runs

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params, load_params
from feedforward.core.errors import DataError
from feedforward.experiments import comparison

pytestmark = pytest.mark.slow  # because they write whole reports with all figures


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params()


@pytest.fixture(scope="module")
def results(params: Params) -> list[RunResult]:
    return synthetic_runs(params, range(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, results: list[RunResult], params: Params) -> Path:
    return comparison.compare(results, params, folder=tmp_path_factory.mktemp("reports") / "comparison")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def printed_table(results: list[RunResult], params: Params, width: int = 80) -> str:
    output = io.StringIO()
    Console(width=width, file=output).print(comparison.render_table(results, params))
    return output.getvalue()


def test_rerunning_the_comparison_writes_identical_files(
    folder: Path, results: list[RunResult], params: Params, tmp_path: Path
) -> None:
    second = comparison.compare(list(reversed(results)), params, folder=tmp_path / "again")
    assert digests(second) == digests(folder)


def test_every_dataset_has_the_lecture_figures_and_the_additional_figures(folder: Path, params: Params) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    for name, dataset in params.datasets.items():
        base = dataset.training.final.variant
        expected_figures = {"loss", "accuracy", "final", "validation-loss", "differences"}
        expected_figures |= {f"{base}-and-{variant}" for variant in params.variants if variant != base}
        assert {f"{name}-{figure}" for figure in expected_figures} <= names


def test_table_csv_has_the_mean_and_interval_over_seeds(folder: Path, results: list[RunResult], params: Params) -> None:
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    name, variant = next(iter(params.datasets)), next(iter(params.variants))
    losses = [
        run.metrics["best_val_cross_entropy"]
        for run in results
        if (run.dataset, run.variant, run.role) == (name, variant, "replica")
    ]
    key = {"dataset": name, "variant": variant, "statistic": "best_val_cross_entropy", "n": "3"}
    [row] = [row for row in rows if key.items() <= row.items()]
    assert float(row["mean"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(row["low"]) < float(row["mean"]) < float(row["high"])


def test_metrics_include_the_final_models_test_metrics_and_no_nan(folder: Path, params: Params) -> None:
    def reject(constant: str) -> None:
        raise AssertionError(constant)

    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=reject)
    for name, dataset in params.datasets.items():
        assert metrics[name][dataset.training.final.variant]["test_accuracy"] > 0.8
        assert set(metrics[name]) == set(params.variants)


def test_curves_are_in_long_format_with_one_row_per_run_and_epoch(folder: Path, params: Params) -> None:
    for name, dataset in params.datasets.items():
        with (folder / "curves" / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(params.variants) * 3 * dataset.training.epochs  # three seeds
        assert {int(row["epoch"]) for row in rows} == set(range(1, dataset.training.epochs + 1))
        assert all(float(row["val_cross_entropy"]) > 0 for row in rows)


def test_verdicts_are_the_same_in_markdown_and_json(folder: Path, params: Params) -> None:
    verdicts = json.loads((folder / "verdicts.json").read_text())
    text = (folder / "verdicts.md").read_text()
    assert len(verdicts) == sum(len(dataset.claims) for dataset in params.datasets.values())
    for verdict in verdicts:
        assert f"| {verdict['claim']['text']} | **{verdict['outcome']}** at n = 3 |" in text


def test_there_are_no_intervals_with_only_one_seed(params: Params) -> None:
    one_seed = synthetic_runs(params, [0])
    text = printed_table(one_seed, params)
    assert "±" not in text
    assert "needs at least 1 more" in " ".join(text.split())
    findings = comparison.find(one_seed, params)
    summaries = [by_statistic for entry in findings for by_statistic in entry.summary.values()]
    assert all(estimate.low is None for by_statistic in summaries for estimate in by_statistic.values())
    assert {verdict.outcome for entry in findings for verdict in entry.verdicts} == {"undecided"}


def test_terminal_table_fits_80_columns_without_truncation(results: list[RunResult], params: Params) -> None:
    text = printed_table(results, params)
    assert "…" not in text
    assert text.count("minimum") == len(params.datasets)  # once per dataset: the last word of its last column's heading
    assert max(map(len, text.splitlines())) <= 80
    for name in (*params.datasets, *params.variants):
        assert name in text


def test_only_trained_variants_are_compared(results: list[RunResult], params: Params, tmp_path: Path) -> None:
    name, variant = list(params.datasets)[-1], list(params.variants)[-1]
    selected = [run for run in results if run.dataset == name and run.variant == variant]
    [findings] = comparison.find(selected, params)
    assert (findings.name, findings.variants, findings.differences) == (name, [variant], [])
    written = comparison.compare(selected, params, folder=tmp_path / "report")
    assert {path.stem for path in (written / "figures").glob("*.png")} == {f"{name}-validation-loss"}


def test_both_protocols_are_shown_if_both_were_run(
    results: list[RunResult], params: Params, folder: Path, tmp_path: Path
) -> None:
    assert "Protocols “fair” and" not in (folder / "index.html").read_text()
    lecture_runs = [run for run in synthetic_runs(params, range(3), "lecture") if run.role == "replica"]
    page = (comparison.compare([*results, *lecture_runs], params, folder=tmp_path / "both") / "index.html").read_text()
    section = page[page.index("Protocols “fair” and “lecture”") :]
    for name, dataset in params.datasets.items():
        assert f"<h3>{name}</h3>" in section
        on_test = dataset.training.lecture.validated_on_test if dataset.training.lecture else ()
        assert section.count("validates on test") >= len(on_test)
    assert "A test set that was used to choose a model no longer measures" in " ".join(section.split())
    assert digests(tmp_path / "both").keys() == digests(folder).keys()  # no file about the other protocol


def test_report_on_the_lecture_protocol_does_not_say_that_the_split_varies(params: Params, tmp_path: Path) -> None:
    runs = [run for run in synthetic_runs(params, range(3), "lecture") if run.role == "replica"]
    written = comparison.compare(runs, params, "lecture", tmp_path / "slides")
    console = Console(width=500, file=io.StringIO(), record=True)
    console.print(comparison.render_table(runs, params, "lecture"))
    texts = [(written / name).read_text() for name in ("index.html", "table.md")] + [console.export_text()]
    for text in texts:
        assert "(weights and batch order vary)" in " ".join(text.split())
        assert "split vary" not in " ".join(text.split())


def test_intervals_of_final_models_do_not_say_that_the_split_varies(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    final = page[page.index("The final model, ") :]
    assert "(weights and batch order vary)" in final[: final.index("</p>")]


@pytest.mark.proves("Reports name the share of the training samples that a final model was trained on")
def test_report_on_a_share_of_the_samples_does_not_say_that_all_were_used(tmp_path: Path) -> None:
    params = params_with("datasets/notes/training/train_share", 0.25)
    results = complete(synthetic_runs(params, range(3)), {"tones": 3, "notes": 2})
    page = (comparison.compare(results, params, folder=tmp_path / "share") / "index.html").read_text()
    tones, notes = page[page.index("The final model, ") :].split("The final model, ")[1:]
    for text, samples, varied in (
        (tones, "all training samples", "weights and batch order"),
        (notes, "25 % of the training samples, drawn by the seed", "weights, batch order and training samples"),
    ):
        assert text.count(f"trained on {samples} with 3 seeds") == 2  # the test metrics and the errors
        assert text.count(f"({varied} vary)") >= 2
        assert f"({varied} vary)" in text[: text.index("</p>")]
    assert "all training samples" not in notes


@pytest.mark.proves("No report shows an unfilled placeholder")
def test_texts_of_the_report_have_no_placeholders(folder: Path) -> None:
    texts = [path.read_text() for path in folder.rglob("*") if path.suffix in (".md", ".html", ".csv", ".svg")]
    assert len(texts) > 5
    for text in texts:
        assert not re.search("[{}]", re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL))


def test_results_that_do_not_fit_the_params_or_protocol_are_rejected(results: list[RunResult], params: Params) -> None:
    fewer = params.model_copy(update={"variants": dict(list(params.variants.items())[:1])})
    with pytest.raises(DataError, match=r"run `dvc repro train`$"):
        comparison.find(results, fewer)
    with pytest.raises(DataError, match=r"no run of protocol lecture, .* `training.lecture` of a dataset"):
        comparison.find(results, params, "lecture")


def test_a_failed_comparison_keeps_the_previous_report(folder: Path, params: Params) -> None:
    before = digests(folder)
    with pytest.raises(DataError):
        comparison.compare([], params, folder=folder)
    assert digests(folder) == before


@pytest.mark.proves("A commit does not change the report")
def test_page_names_libraries_but_no_commit(params: Params) -> None:
    """The DVC stage does not depend on the commit, so its output must not either."""
    origin = comparison.gather([], params, {"libraries": {"numpy": "1.0", "keras": "3.0"}}).origin
    assert origin["libraries"] == "numpy 1.0, keras 3.0"
    assert not [name for name in origin if name != "libraries" and not name.startswith("data of ")]
