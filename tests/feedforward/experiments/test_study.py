"""The page of the study, tested with synthetic runs, and its flow, tested on small data."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_data import params_with, values, write_params
from synthetic_runs import SHAPES, replica_run, synthetic_runs

from feedforward.analysis.findings import find
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params, load_params
from feedforward.core.errors import ParamsError
from feedforward.experiments import decision, plan, study
from feedforward.tracking import open_store
from pipelines import study_flow

COMMAND = "feedforward study --seeds 6"


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params()


@pytest.fixture(scope="module")
def folder(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = next(name for name, dataset in params.datasets.items() if dataset.claims[1:])
    lecture = params.datasets[name].training.lecture
    assert lecture is not None
    lecture_runs = [
        run
        for run in synthetic_runs(params, range(6), "lecture")
        if run.dataset == name and run.variant in lecture.variants and run.role == "replica"
    ]
    shape = SHAPES["original"]
    varied = {name: {source: [replica_run(name, "original", s, 6, shape) for s in range(3)] for source in plan.SOURCES}}
    folder = tmp_path_factory.mktemp("docs")
    study.write([*_fair_runs(params), *lecture_runs], varied, params, "two cores", COMMAND, folder)
    return folder


def _fair_runs(params: Params) -> list[RunResult]:
    """Return fair runs: three seeds of `larger`, six of each other variant."""
    return [run for run in synthetic_runs(params, range(6)) if run.variant != "larger" or run.seed < 3]


@pytest.mark.slow
def test_study_page_states_seeds_command_and_machine(folder: Path, params: Params) -> None:
    page = (folder / "study.md").read_text()
    assert f"    {COMMAND}\n" in page
    assert "on a machine with two cores;" in page
    assert re.search(r"trained with 6 seeds \(.*larger with 3", page)
    sources = "the validation split, the order of the batches, the initial weights and the dropout masks"
    assert f"A seed determines {sources}" in page


@pytest.mark.slow
def test_study_page_has_no_unfilled_placeholders(folder: Path) -> None:
    assert not re.search("[{}]", (folder / "study.md").read_text())


@pytest.mark.slow
def test_study_page_names_the_share_of_the_training_samples(tmp_path: Path) -> None:
    params = params_with("datasets/notes/training/train_share", 0.25)
    runs = [run for protocol in ("fair", "lecture") for run in synthetic_runs(params, range(2), protocol)]
    study.write(runs, {}, params, "two cores", COMMAND, tmp_path)
    page = (tmp_path / "study.md").read_text()
    samples = "25 % of the training samples, drawn by the seed"
    assert page.count("`original`, trained on all training samples with 2 seeds") == 1  # tones
    assert page.count(f"`original`, trained on {samples} with 2 seeds") == 1
    assert page.count(f"Trained on {samples} and validated on the test samples: l2") == 1


@pytest.mark.slow
def test_variants_and_datasets_without_fair_runs_are_compared_with_nothing(tmp_path: Path) -> None:
    """`training.variants` selects the variants of protocol `fair`, `training.lecture.variants` those of `lecture`."""
    params = with_other_variants_on_the_slides()
    lecture = [run for run in synthetic_runs(params, range(2), "lecture") if run.variant in ("original", "l2")]
    fair = [run for run in synthetic_runs(params, range(2)) if (run.dataset, run.variant) == ("notes", "original")]
    study.write([*fair, *lecture], {}, params, "two cores", COMMAND, tmp_path)
    section = (tmp_path / "study.md").read_text().partition("## Protocol `lecture`")[2]
    tones, notes = section.partition("### tones")[2].split("### notes")
    assert re.findall(r"^\| (\w+, \w+) \|", notes, re.MULTILINE) == [
        "original, fair",
        "original, lecture",
        "l2, lecture",
    ]
    assert re.findall(r"^\| (\w+, \w+) \|", tones, re.MULTILINE) == ["original, lecture", "l2, lecture"]
    assert "| early | undecided | **" in notes
    assert "| early | – | **" in tones


def with_other_variants_on_the_slides() -> Params:
    """Return small params in which the slides show `l2`, but `fair` does not train it."""
    plain = values()
    claim = {"text": "early", "statistic": "best_epoch", "left": "original", "direction": "lower", "value": 10}
    for dataset in plain["datasets"].values():
        dataset["claims"] = [claim]
        dataset["training"] |= {"variants": ["original"], "lecture": {"variants": ["original", "l2"]}}
    return Params.model_validate_json(json.dumps(plain))


def test_study_without_a_lecture_names_the_missing_section() -> None:
    plain = values()
    for dataset in plain["datasets"].values():
        del dataset["training"]["lecture"]
    with pytest.raises(ParamsError, match=r"none has the section `training.lecture`"):
        study_flow.run(Params.model_validate_json(json.dumps(plain)), lambda: None, 2, 2, Path("docs"))


@pytest.mark.slow
def test_each_claim_has_verdicts_for_this_data_and_for_new_data(folder: Path, params: Params) -> None:
    findings = find(_fair_runs(params), params)
    verdicts = [verdict for of_dataset in findings for verdict in of_dataset.verdicts]
    page = (folder / "study.md").read_text()
    summary, _, details = page.partition("## In short")[2].partition("\n## ")
    assert "| claim from the slides | verdict (this data) | for new data | observed | seeds needed |" in details
    for verdict in verdicts:
        assert verdict.claim.text in summary
        outcomes = f"| {verdict.claim.text} | **{verdict.outcome}** (n = {verdict.n}) | {verdict.new_data or '–'} |"
        assert outcomes in details
    assert any(verdict.new_data for verdict in verdicts)


@pytest.mark.usefixtures("small")
def test_last_decision_has_a_section_with_a_figure(tmp_path: Path) -> None:
    plain = values()
    claim = {"text": "a", "statistic": "best_epoch", "left": "l2", "direction": "lower", "right": "original"}
    plain["datasets"]["notes"]["claims"] = [claim]
    params = Params.model_validate_json(json.dumps(plain))
    assert study._decision(params, "notes", tmp_path) == []
    runs = [replica_run("notes", name, seed, 6, SHAPES["original"]) for name in ("l2", "original") for seed in (0, 1)]
    folder = decision.write(decision.judge(runs, params, "notes"), params, "notes", "It ended.")
    (folder / "verdicts.md").write_text(
        "# Notes\n\n| claim |\n| --- |\n| a |\n\nTime is up.\n\n![intervals](intervals.png)\n"
    )
    (folder / "intervals.png").write_bytes(b"\x89PNG")
    text = "".join(study._decision(params, "notes", tmp_path))
    assert text.startswith("### notes\n\n| claim |\n| --- |\n| a |\n\nTime is up.\n\n![")
    assert text.endswith("(images/study-notes-decision.png)\n\n")
    assert (tmp_path / "study-notes-decision.png").read_bytes() == b"\x89PNG"


@pytest.mark.slow
def test_study_figures_exist_and_tables_have_rows(folder: Path) -> None:
    page = (folder / "study.md").read_text()
    images = re.findall(r"!\[([^]]+)\]\(([^)]+)\)", page)
    assert len(images) >= 4
    assert all(text and (folder / path).read_bytes().startswith(b"\x89PNG") for text, path in images)
    for header in re.finditer(r"^\| ---.*\n", page, re.MULTILINE):
        assert page[header.end()] == "|"


@pytest.mark.slow
def test_section_about_the_lecture_protocol_compares_both_protocols(folder: Path, params: Params) -> None:
    section = (folder / "study.md").read_text().partition("## Protocol `lecture`")[2]
    assert "| l2, fair |" in section
    assert "| l2, lecture |" in section
    assert "Validated on the fixed split from the slides: original, smaller, larger" in section


@pytest.mark.slow
def test_components_of_variance_have_a_figure_and_a_table(folder: Path) -> None:
    section = (folder / "study.md").read_text().partition("## What varies, and by how much")[2]
    assert "-components.png)" in section
    assert "| variant | statistic | split alone | order alone | weights alone | all |" in section
    row = next(line for line in section.splitlines() if line.startswith("| original | lowest validation loss"))
    cells = [cell.strip() for cell in row.strip("|").split("|")][2:]
    assert len(cells) == 4
    assert all(re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\] \(n = \d\)", cell) for cell in cells)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("small_store", "prefect_server")
def test_study_trains_each_run_once_and_nothing_when_repeated(tmp_path: Path) -> None:
    plain = values(pack_units=64)
    del plain["variants"]["smaller"], plain["datasets"]["tones"]
    slides = {"variants": ["original", "l2", "dropout"], "validated_on_test": ["l2"]}
    plain["datasets"]["notes"]["training"] |= {"variants": ["original", "larger", "l2"], "lecture": slides}
    write_params(tmp_path / "params.yaml", plain)

    words = "study --seeds 3 --wide-seeds 2 --to 'my pages'"

    def study_page() -> str:
        command = [sys.executable, "-m", "feedforward.cli", *shlex.split(words)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "my pages" / "study.md").read_text()

    page = study_page()
    assert f"    feedforward {words}\n" in page  # so that the command does not write to another folder
    store = open_store()
    replicas = [run for role in ("replica", "component") for run in store.find_runs("notes", role=role)]
    trained = Counter((run.tags["protocol"], run.tags["variant"], run.params.get("varied")) for run in replicas)
    expected = {("fair", variant, None): 3 for variant in ("original", "l2")} | {("fair", "larger", None): 2}
    expected |= {("lecture", variant, None): 3 for variant in ("original", "l2", "dropout")}
    expected |= {("fair", v, source): 3 for v in ("original", "l2") for source in plan.SOURCES}
    assert trained == expected
    assert len(store.find_runs("notes", role="final")) == 3
    parents = [run for role in ("variant", "components") for run in store.find_runs("notes", role=role)]
    assert {run.params.get("varied") for run in store.find_runs("notes", role="replica")} == {None}
    assert len(parents) == len(expected)
    for parent in parents:
        children = [run for run in replicas if run.tags["mlflow.parentRunId"] == parent.run_id]
        assert {run.params.get("varied") for run in children} == {parent.params.get("varied")}
        losses = [run.metrics["best_val_cross_entropy"] for run in children]
        assert parent.metrics["mean_best_val_cross_entropy"] == pytest.approx(np.mean(losses))
        assert parent.metrics["seeds"] == len(children)

    assert study_page() == page
    all_replicas = [run for role in ("replica", "component") for run in store.find_runs("notes", None, role=role)]
    assert len(all_replicas) == len(replicas)


def test_a_variant_that_needs_more_than_half_a_pack_is_wide(params: Params) -> None:
    for name, dataset in params.datasets.items():
        wide = study.wide_variants(params, name)
        for variant, settings in params.variants.items():
            first_layer_units = dataset.network.sizes[settings.size][0]
            assert (variant in wide) == (2 * first_layer_units > params.pack_units)
