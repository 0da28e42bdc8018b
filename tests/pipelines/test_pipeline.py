"""The whole pipeline with DVC on small data, from files to reports: killed, rerun, and started twice at once."""

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from faults import workspace
from faults.workspace import DVC, NAME, Completed, digests
from feedforward.core import append_only_log, processes
from feedforward.data import feedback_decisions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def repro(folder: Path, *arguments: str, **variables: str) -> Completed:
    return workspace.run(folder, *DVC, "repro", *arguments, **variables)


@pytest.fixture(scope="module")
def finished_workspace(tmp_path_factory: pytest.TempPathFactory, prefect_server_address: str) -> Path:
    """A workspace with one dataset and two variants, run once."""
    folder, params = workspace.prepare(tmp_path_factory.mktemp("line")), workspace.tiny_params()
    params["datasets"][NAME]["training"] |= {"epochs": 3, "final": {"variant": "original", "epochs": 2}}
    variants = {name: workspace.demo_params()["variants"][name] for name in ("original", "dropout")}
    workspace.change_params(folder, params | {"seeds": 2, "variants": variants})
    done = repro(folder, PREFECT_API_URL=prefect_server_address)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_pipeline_writes_results_reports_and_runs(finished_workspace: Path) -> None:
    results = json.loads((finished_workspace / "data" / "trained" / "fair.json").read_text())
    assert len(results["runs"]) == 2 * 2 + 2  # variants × seeds, and the final model's seeds
    assert all(run["metrics"]["test_accuracy"] > 0.5 for run in results["runs"] if run["role"] == "final")
    assert "dropout" in (finished_workspace / "reports" / "comparison" / "table.md").read_text()
    assert (finished_workspace / "mlruns" / "mlflow.db").is_file()


def test_a_second_run_does_nothing(finished_workspace: Path) -> None:
    before = digests(finished_workspace)
    done = repro(finished_workspace)
    assert "Data and pipelines are up to date." in done.stdout
    assert digests(finished_workspace) == before


METRICS = "reports/comparison/metrics.json"


def test_mlflow_shows_the_comparison_that_dvc_restored_from_its_cache(
    finished_workspace: Path, tmp_path: Path, prefect_server_address: str
) -> None:
    copy, server = tmp_path / "restored", {"PREFECT_API_URL": prefect_server_address}
    shutil.copytree(finished_workspace, copy, symlinks=True)
    before = {copy / name: (copy / name).read_text() for name in ("params.yaml", "dvc.lock", METRICS)}
    params, report = copy / "params.yaml", copy / "reports" / "comparison" / "table.md"
    assert "dropout" in before[params]
    params.write_text(before[params].replace("dropout:", "fourth:"))
    done = workspace.run(copy, *workspace.FEEDFORWARD, "run", **server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fourth" in report.read_text()
    for path, text in before.items():  # as `git checkout` does
        path.write_text(text)
    assert workspace.run(copy, *DVC, "checkout").returncode == 0
    done = workspace.run(copy, *workspace.FEEDFORWARD, "run", **server)
    assert "Stage 'compare' didn't change, skipping" in done.stdout
    assert "dropout" in report.read_text()
    artifacts = copy / "mlruns" / "artifacts" / NAME
    assert [path.read_text() for path in artifacts.rglob("table.md")] == [report.read_text()]


@pytest.mark.proves("After `dvc pull` in another checkout there is nothing to run, even if a dataset was removed")
def test_outputs_of_former_datasets_and_protocols_are_deleted_but_raw_files_are_kept(
    finished_workspace: Path, tmp_path: Path, prefect_server_address: str
) -> None:
    copy = tmp_path / "former"
    shutil.copytree(finished_workspace, copy, symlinks=True)
    raw = copy / "data" / "raw" / "former" / "digests.json"
    for name in ("vectorized/former/manifest.json", "baselines/former.json", "trained/lecture.json"):
        (copy / "data" / name).parent.mkdir(exist_ok=True)
        (copy / "data" / name).write_text("{}")
    raw.parent.mkdir()
    raw.write_text("{}")
    workspace.change_params(copy, {"seeds": 1})
    done = repro(copy, PREFECT_API_URL=prefect_server_address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert raw.is_file()  # fetching takes a long time
    shutil.rmtree(raw.parent)  # the other checkout does not get it
    assert digests(copy).keys() == digests(finished_workspace).keys()
    assert "Data and pipelines are up to date." in workspace.run(copy, *DVC, "status").stdout


@pytest.mark.proves("A killed job that is started again gives the same bytes")
def test_rerun_after_a_kill_between_logging_and_writing_gives_identical_files(
    finished_workspace: Path, tmp_path: Path, prefect_server_address: str
) -> None:
    copy = tmp_path / "killed"
    shutil.copytree(finished_workspace, copy, symlinks=True, ignore=shutil.ignore_patterns("mlruns", "trained"))
    options = ["-f", "-s", *stage_names(copy, "train")]  # -f: otherwise, DVC would restore outputs from its cache
    server = {"PREFECT_API_URL": prefect_server_address}
    killed = repro(copy, *options, FAULT="train.after_log", **server)  # faults/kills.py tests the other crash points
    assert killed.returncode != 0
    assert "failed to reproduce 'train" in killed.stderr + killed.stdout
    done = repro(copy, *options, **server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(copy) == digests(finished_workspace)


def stage_names(folder: Path, prefix: str) -> list[str]:
    done = workspace.run(folder, *DVC, "stage", "list", "--name-only")
    return [name for name in done.stdout.split() if name.startswith(prefix)]


@pytest.mark.proves("When DVC is killed, its stage ends too")
def test_a_stage_ends_if_only_dvc_is_killed(finished_workspace: Path, tmp_path: Path) -> None:
    copy = tmp_path / "orphan"
    shutil.copytree(finished_workspace, copy, symlinks=True)
    shutil.rmtree(copy / "mlruns")
    dvc = workspace.start(copy, *DVC, "repro", "-f", "-s", *stage_names(copy, "train"))
    stage_pid = until(lambda: holder(copy))
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait()
    until(lambda: not Path(f"/proc/{stage_pid}").exists(), 10, lambda: "(the stage continues as an orphan)")


def holder(folder: Path) -> int | None:
    """Return the ID of the process that holds the lock of `train`, or None if it is not recorded yet."""
    contents = [path.read_text().split() for path in (folder / ".locks").glob("train-*.holder")]
    return int(contents[0][1]) if contents and len(contents[0]) > 1 else None


def vectorize(folder: Path) -> Completed:
    """Run the stage directly, without DVC."""
    return workspace.run(folder, sys.executable, "-m", "pipelines.stages", "vectorize", NAME)


def test_error_of_a_second_job_names_the_running_process(finished_workspace: Path) -> None:
    with processes.only_one(finished_workspace / ".locks" / f"vectorize-{NAME}.lock", "a test"):
        done = vectorize(finished_workspace)
    workspace.one_line(done, 75, f"process {os.getpid()} (a test) is running here")


@pytest.mark.proves("A sample that is rejected, or not accepted while `review` is on, leaves the training data")
def test_decisions_about_samples_take_effect_without_a_retraining(tmp_path: Path) -> None:
    folder = workspace.prepare(tmp_path / "decisions")

    def collected(*command: str) -> int:
        """Run a command, then the pipeline; return the number of collected samples that are vectorized."""
        done = workspace.run(folder, *command)
        assert done.returncode == 0, done.stdout + done.stderr
        done = repro(folder, f"vectorize@{NAME}")
        assert done.returncode == 0, done.stdout + done.stderr
        manifest = json.loads((folder / "data" / "vectorized" / NAME / "manifest.json").read_text())
        return int(manifest.get("collected", 0))

    nothing = (*DVC, "--version")  # a command without effect
    assert collected(*nothing) == 0
    for k in range(3):
        text = f"A rather fine film, number {k}, with a good story and good actors in it."
        entry = {"text": text, "label": "positive", "digest": hashlib.sha256(text.encode()).hexdigest()}
        append_only_log.append(folder / "data" / "incoming" / f"{NAME}.jsonl", entry)
    assert collected(*nothing) == 0  # only a retraining takes samples that arrive
    workspace.change_params(folder, {"retraining": {"use_feedback": True, "review": False}})
    assert collected(*nothing) == 3
    accepted, rejected, _ = map(feedback_decisions.sample_id, feedback_entries(folder))
    assert collected(*workspace.FEEDFORWARD, "feedback", NAME, "--reject", rejected) == 2
    workspace.change_params(folder, {"retraining": {"use_feedback": True, "review": True}})
    assert collected(*workspace.FEEDFORWARD, "feedback", NAME, "--accept", accepted) == 1
    assert "up to date" in repro(folder, f"vectorize@{NAME}").stdout


def feedback_entries(folder: Path) -> Iterator[dict[str, object]]:
    return append_only_log.read(folder / "data" / "incoming" / f"{NAME}.jsonl")


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"seeds": -1}, "params.yaml: seeds: must be at least 1, got -1"),
        ({"colour": "red"}, "params.yaml: colour: unknown key"),
    ],
)
def test_a_stage_rejects_invalid_params_before_any_work(tmp_path: Path, edit: dict[str, object], line: str) -> None:
    workspace.change_params(tmp_path, workspace.tiny_params() | edit)
    workspace.one_line(vectorize(tmp_path), 2, line)
    assert {path.name for path in tmp_path.iterdir()} <= {"params.yaml", ".locks"}
