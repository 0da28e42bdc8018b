"""Deciding claims: which runs are still needed, which files are written, and the command on small data after a kill."""

import dataclasses
import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from shell import Shell
from small_data import params as small_params
from small_data import values, write_params
from synthetic_runs import Shape, final_run, replica_run

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths, processes
from feedforward.core.errors import ParamsError
from feedforward.experiments import decision
from feedforward.reports import terminal
from feedforward.tracking import open_store
from pipelines import decision_flow

LOSS = "best_val_cross_entropy"
CLAIMS: list[dict[str, Any]] = [
    {"text": "l2 is lower", "statistic": LOSS, "left": "l2", "direction": "lower", "right": "original"},
    {"text": "larger is lower", "statistic": LOSS, "left": "larger", "direction": "lower", "right": "original"},
    {
        "text": "loss is .2",
        "statistic": "test_loss",
        "left": "original",
        "direction": "equal",
        "value": 0.2,
        "tolerance": 0.1,
    },
]


def with_claims(*claims: dict[str, Any]) -> Params:
    plain = values()
    plain["datasets"]["notes"]["claims"] = list(claims)
    return Params.model_validate_json(json.dumps(plain))


def write_decision(params: Params) -> Path:
    """Write the verdicts from two seeds, and return the folder."""
    runs = [
        replica_run("notes", name, seed, 8, Shape(0.4, 1.0, 0.001)) for name in ("l2", "original") for seed in (0, 1)
    ]
    return decision.write(decision.judge(runs, params, "notes"), params, "notes", "It ended.")


@pytest.mark.usefixtures("small")
def test_dollar_signs_in_a_claim_and_a_title_are_not_formulas() -> None:
    text = "dropout: from $100 (100 %) to $95 (95 %)"
    plain = with_claims(CLAIMS[0] | {"text": text}).model_dump(mode="json")
    plain["datasets"]["notes"]["title"] = text
    # as a formula, this text would be invalid, and Matplotlib would fail to draw the figure
    assert list(write_decision(Params.model_validate_json(json.dumps(plain))).glob("*.png"))


def seeds_per_round() -> int:
    """The number of seeds that each round adds."""
    return max(1, processes.cores())


def test_only_runs_compared_by_undecided_claims_are_needed() -> None:
    params = with_claims(*CLAIMS)
    needed_at_first = decision.find_needed(params, "notes", [])
    assert needed_at_first == decision.NeededRuns(("l2", "original", "larger"), ("replica", "final"))
    shapes = {"l2": Shape(0.2, 1.0, 0.001), "original": Shape(0.4, 1.0, 0.001), "larger": Shape(0.401, 1.0, 0.1)}
    seeds = {"l2": 12, "original": 12, "larger": 2}
    runs = [replica_run("notes", name, seed, 8, shapes[name]) for name, count in seeds.items() for seed in range(count)]
    verdicts = decision.judge(runs, params, "notes")
    assert [verdict.outcome for verdict in verdicts] == ["supported", "undecided", "undecided"]
    assert decision.find_needed(params, "notes", verdicts) == decision.NeededRuns(
        ("larger", "original"), ("replica", "final")
    )


@pytest.mark.proves("`decide` trains no more seeds for claims that no number of seeds decides, and says why")
def test_claims_that_no_seed_decides_need_no_runs() -> None:
    slope = {"text": "l2 rises", "statistic": "slope", "left": "l2", "direction": "lower", "right": "original"}
    params = with_claims({**CLAIMS[2], "statistic": "test_accuracy", "value": 0.94, "tolerance": 0.001}, slope)
    runs = [replica_run("notes", name, seed, 8, Shape(0.2, 1.0, 0.1)) for name in ("l2", "original") for seed in (0, 1)]
    for run in runs:
        if run.variant == "l2":
            run.metrics.pop("slope", None)

    def tested(seed: int) -> RunResult:
        final = final_run("notes", "original", seed, 8, 0.94)
        metrics = {"test_accuracy": 0.94 + (0, 10, 3, 7, 5, 2, 9, 6)[seed] / 10_000, "test_accuracy_se": 0.002}
        return dataclasses.replace(final, metrics=final.metrics | metrics)

    runs += [tested(seed) for seed in (0, 1)]
    # the mean of two seeds is too uncertain: that of more seeds may be further from the bound
    verdicts = decision.judge(runs, params, "notes")
    assert [bool(verdict.obstacle) for verdict in verdicts] == [False, True]
    assert decision.find_needed(params, "notes", verdicts) == decision.NeededRuns(("original",), ("final",))
    runs += [tested(seed) for seed in range(2, 8)]
    verdicts = decision.judge(runs, params, "notes")
    assert all(verdict.obstacle for verdict in verdicts)
    reason = decision_flow._reason(verdicts, 8, 100, math.inf)
    assert reason == (
        "2 of 2 claims are undecided after 8 seeds. Further seeds would not decide: loss is .2: the error over the test"
        " samples exceeds the distance to the bound; more test samples are needed. l2 rises: undefined for 2 of 2"
        " seeds; the others would be a selection by result."
    )
    shown = io.StringIO()
    Console(file=shown, width=200).print(terminal.show_verdicts(verdicts))
    assert "l2 rises (n = 0: undefined for 2 of 2 seeds; the others would be a selection by result)" in shown.getvalue()


def test_a_dataset_without_claims_has_nothing_to_decide() -> None:
    with pytest.raises(ParamsError, match=r"datasets\.tones\.claims: there are no claims to decide"):
        decision.find_needed(small_params(), "tones", [])


@pytest.mark.usefixtures("small")
def test_verdicts_are_written_as_markdown_json_and_figure() -> None:
    params = with_claims(*CLAIMS)
    shapes = {"l2": Shape(0.2, 1.0, 0.001), "original": Shape(0.4, 1.0, 0.001)}
    runs = [replica_run("notes", name, seed, 8, shape) for name, shape in shapes.items() for seed in range(12)]
    verdicts = decision.judge(runs, params, "notes")
    folder = decision.write(verdicts, params, "notes", "It ended.")
    assert folder == paths.decision("notes")
    text = (folder / "verdicts.md").read_text()
    seeds = verdicts[0].decided_after
    assert seeds is not None
    fewer = [run for run in runs if run.seed < seeds - 1]
    assert [decision.judge(r, params, "notes")[0].decided for r in (runs, fewer)] == [True, False]
    assert f"| l2 is lower | **supported** | {seeds} seeds | 12 |" in text
    assert "| larger is lower | **undecided** | – | 0 |" in text
    assert "It ended." in text
    content = json.loads((folder / "verdicts.json").read_text())
    assert [verdict["outcome"] for verdict in content["verdicts"]] == ["supported", "undecided", "undecided"]
    assert len(content["verdicts"][0]["history"]) == 11  # after 2 to 12 seeds
    assert (folder / "intervals.png").read_bytes().startswith(b"\x89PNG")
    saved = decision.load_saved(params, "notes")
    assert saved is not None
    table, figure = saved
    assert table.startswith("| claim |")
    assert table.endswith("\nIt ended.\n\n")
    assert figure == (folder / "intervals.png").read_bytes()


@pytest.mark.usefixtures("small")
def test_saved_decision_is_none_if_the_command_never_ran() -> None:
    assert decision.load_saved(with_claims(*CLAIMS), "notes") is None


@pytest.mark.usefixtures("small")
def test_saved_decision_about_other_claims_parameters_or_data_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    params = with_claims(*CLAIMS)
    folder = write_decision(params)

    def changed(**changes: Any) -> Params:
        plain = params.model_dump(mode="json")
        plain["datasets"]["notes"]["training"] |= changes
        return Params.model_validate_json(json.dumps(plain))

    assert decision.load_saved(params, "notes") is not None
    assert decision.load_saved(changed(lecture=None), "notes") is not None  # affects no claim
    assert not caplog.records
    for other in (
        with_claims({**CLAIMS[0], "text": "other words"}, *CLAIMS[1:]),
        with_claims({**CLAIMS[0], "direction": "higher"}, *CLAIMS[1:]),
        with_claims(*CLAIMS[:2]),
        changed(epochs=9),
        changed(final={"variant": "original", "epochs": 9}),
    ):
        caplog.clear()
        assert decision.load_saved(other, "notes") is None
        [record] = caplog.records
        assert record.getMessage().startswith(f"{folder}: the saved decision is left out, because claims, parameters")
        assert record.getMessage().endswith("; run `feedforward decide notes`")
    manifest = paths.vectorized("notes") / "manifest.json"
    atomic_files.write_json(manifest, atomic_files.read_json(manifest) | {"data_digest": "0" * 64})
    assert decision.load_saved(params, "notes") is None


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("entry", ["training_run", "evaluation", "claims"])
def test_saved_decision_of_other_code_is_left_out(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = with_claims(*CLAIMS)
    write_decision(params)
    [module] = [module for module in decision.CODE if module.endswith(f".{entry}")]
    monkeypatch.setattr(decision, "code_digest", lambda modules: f"after an edit of {module} in {sorted(modules)}")
    assert decision.load_saved(params, "notes") is None


@pytest.mark.usefixtures("small")
def test_saved_decision_of_an_older_version_is_left_out() -> None:
    params = with_claims(*CLAIMS)
    path = write_decision(params) / "verdicts.json"
    content = atomic_files.read_json(path)
    del content["basis"]
    atomic_files.write_json(path, content)
    assert decision.load_saved(params, "notes") is None


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("budget", "seeds"), [(9.0, 2), (21.0, 2 + seeds_per_round()), (31.0, 2 + 2 * seeds_per_round())]
)
def test_no_round_exceeds_the_budget_and_a_larger_budget_adds_rounds(
    budget: float, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round takes ten seconds of a simulated clock, or a tenth of a second if its seeds are already trained."""
    time, trained_seeds = 0.0, 0

    def train(params: Params, *arguments: Any, roles: object) -> list[RunResult]:
        nonlocal time, trained_seeds
        requested_seeds = len(arguments[-1])
        time += 10 if requested_seeds > trained_seeds else 0.1
        trained_seeds = max(requested_seeds, trained_seeds)
        shape = Shape(0.3, 1.0, 0.001)  # equal variants, so that claims stay undecided
        return [replica_run("notes", name, seed, 8, shape) for name in ("l2", "original") for seed in range(2)]

    monkeypatch.setattr(decision_flow.training_flow, "run", train)
    monkeypatch.setattr(decision_flow.time, "monotonic", lambda: time)
    params = with_claims(*CLAIMS)
    rounds: list[int] = []  # the number of seeds in each
    _, reason, _ = decision_flow.run(params, "notes", lambda: None, 100, budget, lambda n, _: rounds.append(n))
    assert rounds[-1] == seeds
    assert f"after {seeds} seeds; another round would exceed the budget." in reason
    assert reason.endswith("run the command again: the budget then counts anew.")
    decision_flow.run(params, "notes", lambda: None, 100, budget + 20, lambda n, _: rounds.append(n))
    assert rounds[-1] >= seeds + seeds_per_round()


@pytest.mark.slow
@pytest.mark.usefixtures("small_store", "prefect_server")
def test_the_command_adds_seeds_up_to_the_maximum_and_continues_after_a_kill(tmp_path: Path) -> None:
    plain = values(seeds=2, pack_units=64)
    del plain["datasets"]["tones"]
    plain["datasets"]["notes"]["claims"] = CLAIMS[:1]
    write_params(tmp_path / "params.yaml", plain)
    command = [sys.executable, "-m", "feedforward.cli", "decide", "notes", "--seeds", "4"]

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    assert run(FAULT="train.after_log").returncode == -signal.SIGKILL
    done = run("--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["dataset"] == "notes"
    assert outcome["reason"].startswith(
        ("1 of 1 claims are decided after", "1 of 1 claims are undecided after 4 seeds")
    )
    runs = open_store().find_runs("notes", role="replica")
    assert {run.tags["variant"] for run in runs} == {"original", "l2"}
    assert len({run.tags["fingerprint"] for run in runs}) == len(runs)  # no run was trained twice


@pytest.mark.parametrize("budget", ["", "5", "0m", "ten minutes", "-3s"])
@pytest.mark.usefixtures("small")
def test_a_budget_must_be_a_duration(small_shell: Shell, budget: str) -> None:
    assert small_shell.run("decide", "notes", f"--budget={budget}") == 2
    assert "--budget: must be a time such as 90s, 30m or 2h" in small_shell.stderr
