"""The section of the comparison page about baselines and published results."""

import dataclasses

import pytest
from synthetic_runs import synthetic_runs

from feedforward.analysis.findings import Findings, find
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params, load_params
from feedforward.reports import baseline_section, comparison_page, data_tables, scale_chart, tables
from feedforward.reports.comparison_page import Additions
from feedforward.reports.scale_chart import Mark


def baseline(runs: list[RunResult], name: str, accuracy: float) -> list[RunResult]:
    """Return results of a baseline on IMDb whose loss exceeds that of `original` by about 0.01."""
    results = [
        dataclasses.replace(
            run,
            variant=name,
            curves={},
            metrics={"best_val_cross_entropy": run.metrics["best_val_cross_entropy"] + 0.01 + run.seed / 1e4},
        )
        for run in runs
        if (run.dataset, run.variant, run.role) == ("imdb", "original", "replica")
    ]
    metrics = {"test_accuracy": accuracy, "test_accuracy_se": 0.002}
    return [*results, dataclasses.replace(results[0], role="final", metrics=metrics)]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params()


@pytest.fixture(scope="module")
def findings(params: Params) -> list[Findings]:
    runs = synthetic_runs(params, range(6))
    baselines = [*baseline(runs, "majority <class>", 0.5), *baseline(runs, "logistic regression", 0.88)]
    return find(runs, params, baseline_results=baselines)


def test_page_shows_baselines_in_charts_tables_and_differences(findings: list[Findings]) -> None:
    references = {entry.name: baseline_section.references(entry) for entry in findings}
    page = comparison_page.render(findings, Additions(references=references))
    imdb = page[page.index('<section id="imdb"') :]
    assert imdb.count('<line class="level"') == 4  # two baselines, each in the wide and the narrow chart
    assert '<th scope="row">logistic regression</th><td class="number">6</td>' in imdb
    section = imdb[imdb.index("Baselines and published results") : imdb.index("Verdicts on the lecture")]
    assert "◂ 0.5000" in section
    assert "<title>logistic regression, baseline: 0.8800 [0.8761, 0.8839]</title>" in section
    assert "<title>NB-SVM, bigrams (Wang and Manning 2012): 0.9122 [0.9087, 0.9157]</title>" in section
    assert "majority &lt;class&gt;" in section
    assert section.count(" better</span>") == 2
    assert "look for a leak" not in page


def test_tables_list_the_baselines_with_the_variants(findings: list[Findings]) -> None:
    rows = data_tables.summary_csv(findings).splitlines()
    assert "imdb,logistic regression,test_accuracy,1,0.88," in "\n".join(rows)
    assert "imdb,best_val_cross_entropy,original,logistic regression,6," in data_tables.differences_csv(findings)
    assert "\n| logistic regression | 6 | " in tables.summary_markdown(findings)


def test_page_without_baselines_shows_published_results(params: Params) -> None:
    mnist, _ = find(synthetic_runs(params, range(2)), params)
    assert baseline_section.references(mnist) == []
    section = baseline_section.section(mnist)
    assert "Srivastava et al. 2014" in section
    assert "<table" not in section
    without_literature = dataclasses.replace(mnist, dataset=mnist.dataset.model_copy(update={"literature": ()}))
    assert baseline_section.section(without_literature) == ""


def test_results_above_the_best_published_one_are_flagged(params: Params) -> None:
    runs = [
        dataclasses.replace(run, metrics={**run.metrics, "test_accuracy": 0.999}) if run.role == "final" else run
        for run in synthetic_runs(params, range(3))
    ]
    for dataset_findings in find(runs, params):
        assert "original: test accuracy 0.9990 is better than the best published result" in baseline_section.section(
            dataset_findings
        )


def test_all_values_are_drawn_if_there_are_no_published_results() -> None:
    marks = [Mark("original", "variant", 0.98, None, None), Mark("constant", "baseline", 0.1, 0.09, 0.11)]
    assert scale_chart.chart(marks, "test accuracy", 3, wide=True).count("<circle") == 2


def test_a_baseline_far_outside_the_range_is_named_at_the_edge() -> None:
    marks = [
        Mark("original", "variant", 0.98, 0.979, 0.981),
        Mark("a paper", "published", 0.99, 0.988, 0.992),
        Mark("near", "baseline", 0.97, 0.968, 0.972),
        Mark("far", "baseline", 0.1, 0.09, 0.11),
    ]
    for wide in (True, False):
        chart = scale_chart.chart(marks, "test accuracy", 3, wide)
        assert chart.count("<circle") == 3
        assert "◂ 0.100" in chart
