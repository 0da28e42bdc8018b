"""Five kinds of user data, configured only in params.yaml: from init and fetch to promote and predict."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import own_data
import pytest
import workspaces
from PIL import Image
from ruamel.yaml import YAML
from tracked_runs import stored_runs

from feedforward.analysis import run_result as result_files
from feedforward.analysis.run_result import RunResult
from feedforward.cli import app
from feedforward.config.schema import Params, load_params
from feedforward.core import paths
from feedforward.core.errors import InputError
from feedforward.data import config_inference, description, preparation
from feedforward.data.config_inference import entry
from feedforward.data.splits import Split
from feedforward.experiments import comparison, parent_runs, plan, reuse, runner
from feedforward.promotion import promote
from feedforward.serving import prediction
from feedforward.tracking import open_store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]

HEAD = """# A comment that stays
seeds: 2
variants:
  original: {}
  smaller: {size: small}  # narrow
promotion: {holdout_models: 1, class_accuracy: 0.5, minimum_r2: 0.2}
datasets: {}
"""
TASKS = {
    "clothes": "multiclass",
    "digits": "multiclass",
    "reviews": "binary",
    "diabetes": "regression",
    "traits": "multilabel",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A workspace with a params.yaml in which `init` has configured all five datasets; they train for fewer epochs."""
    root = tmp_path_factory.mktemp("own")
    folder = tmp_path_factory.mktemp("data")
    sources = {
        "clothes": own_data.idx_folder(folder / "clothes"),
        "digits": own_data.picture_folder(folder / "digits"),
        "reviews": own_data.texts(folder / "reviews.csv"),
        "diabetes": own_data.regression(folder / "diabetes.csv"),
        "traits": own_data.multilabel(folder / "traits.csv"),
    }
    (root / "params.yaml").write_text(HEAD)
    with workspaces.inside(workspaces.add_store(root, empty_database)):
        for name, path in sources.items():
            inferred = config_inference.guess(path).entry
            short = {"epochs": 12, "final": {"variant": "original", "epochs": 12}}
            inferred["training"] |= short | {"optimizer": {"name": "rmsprop", "learning_rate": 0.005}}
            config_inference.write(inferred, name, root / "params.yaml")
        yield root


@pytest.fixture(scope="module")
def params(workspace: Path) -> Params:
    return load_params(workspace / "params.yaml")


@pytest.fixture(scope="module")
def prepared(params: Params) -> Params:
    """The params, after all datasets have been fetched, vectorized and validated."""
    for name, dataset in params.datasets.items():
        preparation.fetch(name, dataset, params)
        preparation.vectorize(name, dataset)
        preparation.validate(name, dataset)
    return params


@pytest.fixture(scope="module")
def trained(prepared: Params, tensorflow: None) -> list[RunResult]:
    """The results of all runs, trained and saved as the `train` stage does."""
    store = open_store()
    packs = plan.plan(prepared, "fair")
    results = [run for pack in packs for run in runner.train_pack(pack, prepared, store)]
    parent_runs.conclude(packs, reuse.find_finished(packs, store), prepared, store)
    result_files.save(paths.trained("fair"), results, "test")
    return results


def test_init_infers_reader_and_task_and_keeps_the_rest_of_the_file(workspace: Path, params: Params) -> None:
    assert {name: dataset.task for name, dataset in params.datasets.items()} == TASKS
    kinds = [dataset.reader.kind for dataset in params.datasets.values()]
    assert kinds == ["idx", "image_folder", "labeled_text", "table", "table"]
    text = (workspace / "params.yaml").read_text()
    assert "# A comment that stays" in text
    assert "# narrow" in text
    with pytest.raises(InputError, match="already"):
        config_inference.write({}, "digits", workspace / "params.yaml")


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("seeds: 2\n", "seeds: 2\n"),
        ("seeds: 2\ndatasets: {}  # none yet\n", "seeds: 2\n"),
        (
            "datasets:\n# four\n    other: {title: a,\n      b: c}\n\n# the seeds\nseeds: 2",
            "\n\n# the seeds\nseeds: 2\n",
        ),
    ],
)
def test_init_adds_an_entry_and_keeps_all_other_lines(before: str, kept: str) -> None:
    joined = entry._insert(before, "datasets:\n  new:\n    title: t\n")
    assert kept in joined
    assert all(line in joined.splitlines() for line in before.splitlines() if "{}" not in line)
    loaded = YAML(typ="safe").load(joined)
    assert loaded["seeds"] == 2
    assert loaded["datasets"]["new"] == {"title": "t"}
    assert ("other" in loaded["datasets"]) == ("other" in before)


def test_notes_of_variants_state_the_units_of_losses_and_scores(trained: list[RunResult]) -> None:
    notes = {
        name: stored_runs(name, role="variant")[0].data.tags["mlflow.note.content"] for name in ("digits", "diabetes")
    }
    assert "Losses are in nats, epochs count from 1, accuracies are shares." in notes["digits"]
    assert "Losses are mean squared errors in units of the target's variance" in notes["diabetes"]
    assert "absolute errors are in the target's unit" in notes["diabetes"]


def test_first_fetch_records_digests(prepared: Params) -> None:
    recorded = json.loads((paths.raw("diabetes") / "digests.json").read_text())
    assert len(recorded["diabetes.csv"]["sha256"]) == 64


def test_derived_expectations_are_written_and_met(prepared: Params) -> None:
    for name, dataset in prepared.datasets.items():
        written = YAML(typ="safe").load((paths.validation(name) / "expectations.yaml").read_text())
        plain = YAML(typ="safe").load(paths.params().read_text())
        plain["datasets"][name]["expectations"] = written
        with_expectations = Params.model_validate_json(json.dumps(plain)).datasets[name]
        assert with_expectations.expectations is not None
        assert with_expectations.title == dataset.title
        assert json.loads((paths.validation(name) / "summary.json").read_text())["success"]


def test_tables_are_standardized_with_training_rows_only(prepared: Params) -> None:
    train, test = (Split.load(paths.vectorized("diabetes") / part) for part in ("train", "test"))
    assert len(test) == pytest.approx(88, abs=20)  # about a fifth of 442, by a hash of each row
    assert np.asarray(train.features)[:, :9].mean() == pytest.approx(0, abs=1e-6)  # the numeric columns
    assert np.asarray(train.labels).std() == pytest.approx(1, abs=1e-5)
    assert abs(np.asarray(test.features)[:, :9].mean()) > 1e-3


def test_all_datasets_are_trained_and_compared(prepared: Params, trained: list[RunResult]) -> None:
    runner.compare(prepared)
    metrics = json.loads((paths.comparison() / "summary.json").read_text())
    assert set(metrics) == set(TASKS)
    final = {name: metrics[name]["original"] for name in TASKS}
    assert final["clothes"]["test_accuracy"] > 0.9
    assert final["digits"]["test_accuracy"] > 0.9
    assert final["reviews"]["test_auc"] > 0.9
    assert final["traits"]["test_f1"] > 0.8
    assert final["diabetes"]["test_r2"] > 0.25
    assert 30 < final["diabetes"]["test_mae"] < 60  # in the unit of the target column, whose standard deviation is 77
    assert "test_accuracy" not in final["diabetes"]
    page = (paths.comparison() / "index.html").read_text()
    assert all(dataset.title in page for dataset in prepared.datasets.values())
    assert "mae" in (paths.comparison() / "curves" / "diabetes.csv").read_text().splitlines()[0]
    comparison.render_table(trained, prepared)


SAMPLES = {
    "reviews": "a lovely friendly place",
    "diabetes": {"age": 50, "sex": "one", "bmi": 35.0, "bp": 100, "s1": 200, "s2": 120, "s3": 40, "s4": 5, "s5": 5.2,
                 "s6": None},
    "traits": {f"pixel_{k}": 3 for k in range(64)},
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_champions_predict_raw_samples(
    prepared: Params, trained: list[RunResult], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = promote.promote(prepared, name)
    assert outcome.decision.promoted, outcome.decision.reason
    champion = prediction.champion(name)
    sample: object = SAMPLES.get(name)
    if sample is None:  # the file of a test image
        label, pixels = description.describe(name, prepared.datasets[name]).examples[0]
        Image.fromarray(np.asarray(pixels)).save(tmp_path / "sample.png")
        sample = (tmp_path / "sample.png").read_bytes()
    [answer] = prediction.answers(champion.served, [champion.served.encoder.check(sample, "sample")])
    if name == "diabetes":
        assert 150 < answer["value"] < 350
    elif name == "traits":
        assert set(answer["probabilities"]) == {"label_even", "label_loop", "label_high"}
    elif name == "reviews":
        assert answer["label"] == "praise"
    else:
        assert answer["label"] == label
    if name in ("diabetes", "traits"):
        table = tmp_path / "rows.jsonl"
        table.write_text(json.dumps(sample) + "\n" + json.dumps(sample) + "\n")
        app.app(["predict", name, "--file", str(table)], standalone_mode=False)
        assert len(capsys.readouterr().out.splitlines()) == 3  # a header and two rows
    app.app(["describe", name], standalone_mode=False)
    assert prepared.datasets[name].title in capsys.readouterr().out


def test_five_documented_commands_work_on_a_users_data(
    prepared: Params, trained: list[RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run them one by one on images of digits, except `run`, whose work the fixtures have done."""
    commands = {}
    for page in ("README.md", "docs/datasets.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        block = text[text.index("$ feedforward init ~/flowers") :].split("```", 1)[0]
        commands[page] = [line.removeprefix("$ ") for line in block.splitlines()]
    assert commands["README.md"] == commands["docs/datasets.md"]
    assert len(commands["README.md"]) == 5
    images = own_data.picture_folder(tmp_path / "flowers")
    (tmp_path / "params.yaml").write_text(HEAD)
    for command in commands["README.md"]:
        subcommand, *arguments = command.removeprefix("feedforward ").split()
        with monkeypatch.context() as patch:
            if subcommand == "init":
                patch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
                arguments = [str(images)]
            replacements = {"flowers": "digits", "rose.png": str(next(images.glob("*/*.png")))}
            if subcommand != "run":
                words = [subcommand, *(replacements.get(argument, argument) for argument in arguments)]
                app.app(words, standalone_mode=False)
    assert load_params(tmp_path / "params.yaml").datasets["flowers"].reader.kind == "image_folder"


@pytest.mark.proves("The reference lists the metrics that runs have, and no others")
@pytest.mark.usefixtures("trained")
def test_the_reference_lists_exactly_the_metrics_of_the_runs_in_the_store() -> None:
    store = open_store()
    runs = [
        run
        for name in TASKS
        for role in ("replica", "final", "variant", "finals")
        for run in store.find_runs(name, role=role)
    ]
    recorded = {metric for run in runs for metric in run.metrics}
    table = (
        (ROOT / "docs" / "reference.md")
        .read_text()
        .partition("| metric | meaning |\n|---|---|\n")[2]
        .partition("\n\n")[0]
    )
    rows = [row for row in table.splitlines() if "| of a " not in row]  # of a sweep or of a confirmation
    names = {name for row in rows for name in re.findall("`([^`]+)`", row.split(" | ")[0])}
    patterns = [re.escape(name).replace("…", ".+") for name in names if name != "val_"]
    curves = re.findall("`([^`]+)`", rows[0].split(", and with `val_` | ")[0])
    patterns += [f"val_{name}" for name in curves]
    assert [metric for metric in sorted(recorded) if not re.fullmatch("|".join(patterns), metric)] == []
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, metric) for metric in recorded)] == []
