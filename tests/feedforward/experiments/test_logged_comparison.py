"""The comparison in MLflow: written to reports, logged to a real store, attached again after DVC has restored it."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_data import params
from synthetic_runs import synthetic_runs
from tracked_runs import client, stored_runs

from feedforward.analysis import run_result
from feedforward.core import paths
from feedforward.experiments import runner

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.usefixtures("tensorflow")


def files(run: Any) -> set[str]:
    return {entry.path for entry in client().list_artifacts(run.info.run_id)}


@pytest.mark.slow
def test_comparison_is_written_to_reports_and_logged_to_the_store(small_store: "Store") -> None:
    chosen = params()
    facts = {"computed_by": {"libraries": {"keras": "elsewhere"}}}
    run_result.save(paths.trained("fair"), synthetic_runs(chosen, range(3)), "cpu", facts=facts)
    runner.compare(chosen)
    assert (paths.comparison() / "table.md").exists()
    assert "keras elsewhere" in (paths.comparison() / "index.html").read_text()
    for dataset in chosen.datasets:
        (run,) = stored_runs(dataset, role="comparison")
        assert {"table.md", "metrics.json", "figures", "index.html"} <= files(run)


@pytest.mark.proves("The order in which params.yaml lists the protocols changes nothing in the comparison")
@pytest.mark.slow
def test_the_fair_protocol_comes_first_in_whatever_order_params_lists_them(small_store: "Store") -> None:
    for protocol in ("fair", "lecture"):
        run_result.save(paths.trained(protocol), synthetic_runs(params(), range(2), protocol), "cpu")
    texts = []
    for protocols in (["fair", "lecture"], ["lecture", "fair"]):
        runner.compare(params(protocols=protocols))
        texts.append([(paths.comparison() / name).read_text() for name in ("metrics.json", "index.html")])
    assert texts[0] == texts[1]
    assert "Protocols “fair” and “lecture”" in texts[0][1]


@pytest.mark.slow
def test_a_comparison_that_dvc_restored_is_attached_again(small_store: "Store", tmp_path: Path) -> None:
    chosen = params()
    run_result.save(paths.trained("fair"), synthetic_runs(chosen, range(3)), "cpu")
    runner.compare(chosen)
    shutil.copytree(paths.comparison(), tmp_path / "dvc-cache")
    run_result.save(paths.trained("fair"), synthetic_runs(chosen, range(2)), "cpu")
    runner.compare(chosen)
    shutil.rmtree(paths.comparison())
    shutil.copytree(tmp_path / "dvc-cache", paths.comparison())
    (paths.comparison() / ".gitignore").write_text("/figures\n")  # DVC writes it next to the files that it restores

    def attached() -> list[str]:
        (run,) = stored_runs("notes", role="comparison")
        return [Path(client().download_artifacts(run.info.run_id, "metrics.json")).read_text(), run.info.end_time]

    current = (paths.comparison() / "metrics.json").read_text()
    assert attached()[0] != current
    runner.log_comparison(chosen)
    assert attached()[0] == current
    before = attached()
    runner.log_comparison(chosen)
    assert attached() == before  # nothing was sent
