"""`feedforward diff` on a real store, a real git repository and real DVC outputs."""

import io
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import own_data
import pytest
import workspaces
from git_repositories import commit, git
from rich.console import Console
from ruamel.yaml import YAML
from shell import Shell

from faults import ROOT, workspace
from feedforward import api, tracking
from feedforward.analysis import findings, run_result
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, paths
from feedforward.data import config_inference
from feedforward.diff import comparison, text
from feedforward.diff.repository import Repository
from feedforward.diff.sides import Figure, Side
from feedforward.experiments import comparison as experiment_comparison
from feedforward.promotion import candidate, evaluation
from feedforward.promotion.evaluator import Evaluator
from feedforward.reports import data_tables

NAME = "reviews"
PARAMS_START = "seeds: 2\nvariants:\n  original: {}\n  smaller: {size: small}\ndatasets: {}\n"
CLAIM = {"text": "smaller is worse", "statistic": "best_val_cross_entropy", "left": "smaller"}
COMPARISON = "reports/comparison"
LOSSES = "src/feedforward/training/losses.py"
IGNORED = "/.dvc/cache\n/.dvc/tmp\n/.dvc/site\n/data/\n/reports/\n/mlruns/\n__pycache__\n"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class TrainedRepository:
    """A repository after two training jobs. For each job: the commit with its results, and its final run of seed 0."""

    root: Path
    commits: tuple[str, str]
    runs: tuple[str, str]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, tensorflow: None
) -> Iterator[TrainedRepository]:
    """Train twice: the second time, the final model trains for fewer epochs, and a function has changed."""
    root = workspaces.add_store(tmp_path_factory.mktemp("diff"), empty_database)
    (root / ".gitignore").write_text(IGNORED)
    write_pipeline(root)
    write_code(root)
    with workspaces.inside(root):
        write_params(root)
        api.prepare(load_params(root / "params.yaml"))
        first = train(root, "first")
        for path, old, new in (("params.yaml", "epochs: 9", "epochs: 3"), (LOSSES, "return ", "return 2 * ")):
            content = (root / path).read_text()
            assert old in content
            (root / path).write_text(content.replace(old, new, 1))
        second = train(root, "second")
        yield TrainedRepository(root, (first[0], second[0]), (first[1], second[1]))


def write_params(root: Path) -> None:
    source = own_data.texts(root / "reviews.csv")
    (root / "params.yaml").write_text(PARAMS_START)
    guess = config_inference.guess(source).entry
    guess["training"] |= {"epochs": 5, "final": {"variant": "original", "epochs": 9}}
    guess["claims"] = [CLAIM | {"direction": "higher", "right": "original"}]
    config_inference.write(guess, NAME, root / "params.yaml")


def write_pipeline(root: Path) -> None:
    """Write a dvc.yaml with one stage, whose outputs are compared."""
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    report_files = [f"{COMPARISON}/table.csv", f"{COMPARISON}/verdicts.json"]
    outs = [f"data/raw/{NAME}", f"data/vectorized/{NAME}", "data/trained/fair.json", *report_files]
    with (root / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": {"all": {"cmd": "true", "outs": outs}}}, file)


def write_code(root: Path) -> None:
    """Write the module in which training starts, and a module that it imports."""
    (root / "src/feedforward/training").mkdir(parents=True)
    (root / "src/feedforward/experiments").mkdir()
    for package in ("", "training/", "experiments/"):
        (root / "src/feedforward" / package / "__init__.py").touch()
    (root / LOSSES).write_text("def penalty(x):\n    return x\n")
    code = "from feedforward.training.losses import penalty\n\n\ndef train(x):\n    return penalty(x)\n"
    (root / "src/feedforward/experiments/training_run.py").write_text(code)


def train(root: Path, message: str) -> tuple[str, str]:
    """Train, then commit code and results; return (commit, ID of the final run of seed 0)."""
    params = load_params(root / "params.yaml")
    commit(root, f"{message}: code")
    results = api.train(params, [NAME])
    run_result.save(paths.trained("fair"), results, "cpu")
    judged = findings.find(results, params)
    atomic_files.write_text(root / COMPARISON / "table.csv", data_tables.summary_csv(judged))
    atomic_files.write_json(root / COMPARISON / "verdicts.json", data_tables.verdicts_json(judged))
    atomic_files.write_json(root / COMPARISON / "metrics.json", experiment_comparison.metrics(judged))
    assert workspace.run(root, *workspace.DVC, "commit", "--force", "--quiet").returncode == 0
    git(root, "add", "--force", "reports/comparison/metrics.json")
    commit_id = commit(root, f"{message}: results")
    final_run = tracking.open_store().find_runs(NAME, role="final", seed="0")[0]
    return commit_id, final_run.run_id


@pytest.fixture
def repository(trained: TrainedRepository, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> TrainedRepository:
    monkeypatch.chdir(trained.root)
    monkeypatch.setenv("COLUMNS", "200")
    return trained


def diff(shell: Shell, *arguments: str) -> dict[str, Any]:
    """Compare two results that differ, and return the JSON output."""
    assert shell.run("diff", *arguments, "--json") == 1, shell.stderr
    answer: dict[str, Any] = json.loads(shell.stdout)
    assert answer["same"] is False
    return answer


def check_final_models_differ(answer: dict[str, Any]) -> None:
    [compared] = answer["predictions"]
    assert compared["dataset"] == NAME
    assert 0 < len(compared["examples"]) <= 10
    for example in compared["examples"]:
        assert "day" in example["input"], "the text of the sample"
        assert {example["truth"], example["a"]["answer"], example["b"]["answer"]} <= set(own_data.SENTENCES)
        assert example["a"]["probabilities"] != example["b"]["probabilities"]
        assert sum(example["a"]["probabilities"].values()) == pytest.approx(1)


def test_diff_of_two_commits(repository: TrainedRepository, shell: Shell) -> None:
    answer = diff(shell, "HEAD~2", "HEAD")
    assert answer["params"] == [{"name": f"datasets.{NAME}.training.final.epochs", "a": "9", "b": "3"}]
    assert [entry["module"] for entry in answer["code"]] == ["feedforward.training.losses"]
    assert answer["code"][0] | {"name": ""} == {
        "module": "feedforward.training.losses",
        "name": "",
        "change": "changed",
        "affects": "weights",
    }
    assert (answer["data"], answer["environment"], answer["remarks"]) == ([], [], [])
    figures = {entry["name"]: entry for entry in answer["figures"]}
    loss = figures[f"{NAME} original test_loss"]
    assert loss["a"]["low"] < loss["a"]["value"] < loss["a"]["high"]
    assert not [name for name in figures if "best_val" in name], "the replicas are the same"
    check_final_models_differ(answer)


@pytest.mark.proves("Predictions for different test samples are not compared, even if their true labels are equal")
def test_predictions_for_a_redrawn_test_split_are_not_compared(
    tmp_path: Path, empty_database: Path, tensorflow: None, shell: Shell
) -> None:
    root = workspaces.add_store(tmp_path, empty_database)
    (root / ".gitignore").write_text(IGNORED)
    write_pipeline(root)
    write_code(root)
    with workspaces.inside(root):
        write_params(root)
        truths = []
        for split_seed in (0, 298):  # with these, the test splits have the same true labels, but few samples in common
            values = YAML().load(root / "params.yaml")
            values["datasets"][NAME]["reader"]["split_seed"] = split_seed
            YAML().dump(values, root / "params.yaml")
            params = load_params(root / "params.yaml")
            api.prepare(params)
            truths.append(api.load_split(NAME, "test").labels.tolist())
            train(root, str(split_seed))
        answer = diff(shell, "HEAD~2", "HEAD")
    assert truths[0] == truths[1]
    assert answer["predictions"] == []
    assert answer["remarks"] == [f"predictions of {NAME}: the models have different test samples"]


def test_equal_results_are_reported_in_one_line(repository: TrainedRepository, shell: Shell) -> None:
    git(repository.root, "tag", "--force", "v1", "HEAD~2")
    for pair in (("HEAD", "HEAD"), ("v1", repository.commits[0]), (repository.runs[1], repository.runs[1][:12])):
        assert shell.run("diff", *pair) == 0
        assert shell.stdout.startswith("same: ")
        assert len(shell.stdout.splitlines()) == 1
        assert shell.stderr == ""
    assert shell.run("diff", "v1", "HEAD~2", "--json") == 0
    assert json.loads(shell.stdout)["same"] is True


def test_diff_without_the_cache_reports_what_it_could_not_compare(repository: TrainedRepository, shell: Shell) -> None:
    cache, away = repository.root / ".dvc" / "cache", repository.root / ".dvc" / "away"
    cache.rename(away)
    try:
        answer = diff(shell, "HEAD~2", "HEAD")
    finally:
        away.rename(cache)
    assert {entry["name"] for entry in answer["figures"]} == {f"{NAME} original test_accuracy"} or not answer["figures"]
    assert answer["predictions"] == []
    for part in ("intervals", "verdicts", "predictions"):
        assert any(line.startswith(part) and "`dvc fetch" in line for line in answer["remarks"])


def test_diff_of_two_runs(repository: TrainedRepository, shell: Shell) -> None:
    answer = diff(shell, repository.runs[0][:8], repository.runs[1])
    assert answer["params"] == [{"name": "epochs", "a": "9", "b": "3"}]
    assert [entry["module"] for entry in answer["code"]] == ["feedforward.training.losses"]
    figures = {entry["name"]: entry for entry in answer["figures"]}
    assert figures["test_loss"]["a"]["low"] < figures["test_loss"]["a"]["value"]
    assert not [name for name in figures if name.startswith(("system/", "loss")) or name.endswith("_se")]
    check_final_models_differ(answer)
    assert shell.run("diff", *repository.runs) == 1
    for part in ("parameter", "code feedforward.training.losses", "Predictions for reviews", "95 % intervals"):
        assert part in shell.stdout


def test_parent_runs_have_means_with_intervals(repository: TrainedRepository, shell: Shell) -> None:
    store = tracking.open_store()
    variants = {run.tags["variant"]: run.run_id for run in store.find_runs(NAME, role="variant")}
    answer = diff(shell, variants["original"], variants["smaller"])
    assert {"variant", "hidden_units"} <= {entry["name"] for entry in answer["params"]}
    figures = {entry["name"]: entry for entry in answer["figures"]}
    loss = figures["mean_best_val_cross_entropy"]
    assert loss["b"]["low"] < loss["b"]["value"] < loss["b"]["high"]


def test_diff_of_two_model_versions(repository: TrainedRepository, shell: Shell) -> None:
    from feedforward.tracking.registry import Registry

    registry, params = Registry(), load_params(repository.root / "params.yaml")
    for number, start in enumerate(repository.runs, start=1):
        [run] = registry.runs_with_id_prefix(start)
        with Evaluator(params) as evaluator:
            calibrated = evaluation.final_calibration(evaluator, NAME, run, registry)
        version = candidate.register(params, NAME, run, registry, calibrated)
        assert version.number == number
        registry.set_alias(version, "champion")
    answer = diff(shell, f"{NAME}:1", f"{NAME}:champion")
    assert (answer["a"], answer["b"]) == (f"{NAME} version 1", f"{NAME} version 2")
    assert answer["params"] == [{"name": "epochs", "a": "9", "b": "3"}]
    check_final_models_differ(answer)
    assert shell.run("diff", f"{NAME}:2", f"{NAME}:champion") == 0
    [compared] = diff(shell, f"{NAME}:2", repository.runs[1])["predictions"]
    assert compared["different"] == 0, "only the version is calibrated: the same answers, different probabilities"
    registry.tag(version, {"decision": "promoted", "evaluation": '{"seen_accuracy": 0.75, "latency_ms": 1}'})
    answer = diff(shell, f"{NAME}:1", f"{NAME}:2")
    assert answer["promotion"] == [
        {"name": "decision", "a": "none yet", "b": "promoted"},
        {"name": "seen_accuracy", "a": None, "b": "0.75"},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "HEAD"), "nothing: no such run, model version or commit; expected a run ID"),
        (("abc", "HEAD"), "abc: no such run"),
        ((f"{NAME}:9", "HEAD"), f"{NAME}:9: no such version or alias; {NAME} has "),
        ((f"{NAME}:", "HEAD"), f"{NAME}:: no such version or alias"),
        (("HEAD~99", "HEAD"), "HEAD~99: no such run, model version or commit"),
        (("^HEAD", "^HEAD~1"), "^HEAD: no such run, model version or commit"),
        (("run:HEAD", "HEAD"), "run:HEAD: no such run"),
        (("HEAD",), "Missing argument"),
    ],
)
def test_an_unknown_or_missing_name_is_reported_in_one_line(
    repository: TrainedRepository, shell: Shell, arguments: tuple[str, ...], message: str
) -> None:
    assert shell.run("diff", *arguments) == 2
    assert message in shell.stderr
    assert len(shell.stderr.splitlines()) == 1


def test_error_for_a_commit_and_a_run_names_a_commit_to_compare_with(
    repository: TrainedRepository, shell: Shell
) -> None:
    assert shell.run("diff", "HEAD", repository.runs[0]) == 2
    name = shell.stderr.split("name ")[-1].split(",")[0]
    assert git(repository.root, "rev-parse", "HEAD~3").startswith(name)
    assert shell.run("diff", "HEAD~2", name) == 1


def test_code_is_not_compared_without_git(
    repository: TrainedRepository, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert shell.run("diff", *repository.runs[:2]) in (0, 1)
    assert "code: git is not installed, or this folder is not in a git repository" in shell.stdout
    assert "git fetch" not in shell.stdout


def test_names_of_parameters_are_not_cut_off_in_a_narrow_terminal(tmp_path: Path) -> None:
    names = [f"datasets.toy.training.optimizer.{name}" for name in ("learning_rate", "learning_decay")]
    sides = [Side(side, params=dict.fromkeys(names, f"{side} {'x' * 40}")) for side in "ab"]
    output = io.StringIO()
    Console(width=80, file=output).print(text.show(comparison.compare(*sides, Repository(tmp_path))))
    assert "…" not in output.getvalue()


def test_diff_shows_changed_verdicts_and_unknown_commits(tmp_path: Path) -> None:
    a = Side("a", figures={"x": Figure(1.0, 0.5, 1.5)}, verdicts={"claim": "undecided", "other": "supported"})
    b = Side("b", figures={"x": Figure(1.0, 0.5, 1.5)}, verdicts={"claim": "supported", "other": "supported"})
    compared = comparison.compare(a, b, Repository(tmp_path))
    assert [(change.name, change.a, change.b) for change in compared.verdicts] == [("claim", "undecided", "supported")]
    assert compared.figures == []
    assert compared.remarks == ["code: the commit of a is unknown", "code: the commit of b is unknown"]
    assert text.show(compared)
