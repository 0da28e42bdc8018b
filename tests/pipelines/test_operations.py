"""The schedule, the locks of GPUs, and the changes that a retraining reports, without a permanent server."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import clean_environment
import live_prefect
import pytest
import small_data
import workspaces
from live_prefect import ask

from feedforward.config.schema import Schedule, load_params
from feedforward.core.errors import Busy, FeedforwardError
from pipelines import gpu_slots, locks, operations, retraining_flow

ROOT = Path(__file__).parents[2]


# --- schedule --------------------------------------------------------------------------------


def test_schedule_is_active_on_the_pool_named_in_params() -> None:
    params = load_params(ROOT / "params.yaml")

    def variables(**changes: Any) -> dict[str, str]:
        retraining = params.retraining.model_copy(update={"schedule": Schedule(**changes)})
        return operations.schedule_variables(params.model_copy(update={"retraining": retraining}))

    assert variables(cron="5 4 * * *", timezone="Europe/Berlin", pool="gpu") == {
        "FEEDFORWARD_CRON": "5 4 * * *", "FEEDFORWARD_TIMEZONE": "Europe/Berlin",
        "FEEDFORWARD_ON_CPU": "false", "FEEDFORWARD_ON_GPU": "true", "FEEDFORWARD_ON_DRIFT": "false",
        "FEEDFORWARD_PREFIX": "", "FEEDFORWARD_CHECKOUT": f"checkout: {ROOT}",
    }  # fmt: skip
    assert variables()["FEEDFORWARD_ON_CPU"] == "false"  # by default, there is no schedule
    text = (ROOT / "prefect.yaml").read_text()
    assert all(f"${name}" in text for name in variables())


def test_deploy_without_a_server_names_the_command_that_starts_one() -> None:
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    command = [sys.executable, "-m", "pipelines.operations", "deploy"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no server answers" in done.stderr
    assert "`make server`" in done.stderr


@pytest.mark.slow
def test_projects_that_share_a_server_have_their_own_deployments(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    with live_prefect.Server(tmp_path) as server:

        def deploy(folder: Path, project: str) -> list[str]:
            small_data.write_params(folder / "params.yaml", small_data.values(project=project))
            command = [sys.executable, "-m", "pipelines.operations", "deploy"]
            variables = server.environment | {"FEEDFORWARD_ROOT": str(folder), "ALL_PROXY": "socks5://127.0.0.1:9"}
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stderr.splitlines()

        assert deploy(first, "") == deploy(first, "") == deploy(second, "films") == []
        deployed = {f"{item['name']} on {item['work_pool_name']}" for item in ask(server.api, "deployments")}
        names = {"cpu on cpu", "gpu on gpu", "watch on cpu"}
        assert deployed == names | {"films-cpu on films-cpu", "films-gpu on films-gpu", "films-watch on films-cpu"}
        [note] = deploy(second, "")  # without a name of its own
    assert note.startswith(f"retraining/cpu was deployed from {first} before: workers of both run it; if these")


# --- devices ---------------------------------------------------------------------------------


def test_each_training_job_gets_a_separate_device_and_releases_it(tmp_path: Path) -> None:
    with (
        gpu_slots.hold_free_gpu(["0", "3"], tmp_path) as first,
        gpu_slots.hold_free_gpu(["0", "3"], tmp_path) as second,
    ):
        assert (first, second) == ("0", "3")
        with (
            pytest.raises(Busy, match=r"all GPUs of this machine \(0, 3\) are in use"),
            gpu_slots.hold_free_gpu(["0", "3"], tmp_path),
        ):
            pass
    with gpu_slots.hold_free_gpu(["0", "3"], tmp_path) as device:
        assert device == "0"


def test_a_lock_folder_created_by_another_user_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock folder is in the shared temporary folder, where another user could create it first."""
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "locks").symlink_to(target)
    with pytest.raises(FeedforwardError, match="locks: is a link"), gpu_slots.hold_free_gpu(["0"], tmp_path / "locks"):
        pass
    assert not list(target.iterdir())
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(FeedforwardError, match="belongs to another user"), gpu_slots.hold_free_gpu(["0"], target):
        pass


@pytest.mark.slow
def test_the_device_of_a_killed_training_job_is_released(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from pipelines import gpu_slots as slots
with slots.hold_free_gpu(["0"], Path({str(tmp_path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode < 0
    with gpu_slots.hold_free_gpu(["0"], tmp_path) as device:
        assert device == "0"


def test_without_a_gpu_the_cpu_is_used_only_if_params_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    no_gpu = pytest.raises(FeedforwardError, match=r"set retraining\.cpu_fallback")
    with no_gpu, gpu_slots.computing_on("gpu", fallback=False):
        pass
    with gpu_slots.computing_on("gpu", fallback=True) as device:
        assert device == "the CPU, since there is no GPU"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert gpu_slots.gpus() == ["2", "5"]  # these would be used


# --- changes since the last run ---------------------------------------------------------------


def test_dvc_status_is_summarized_in_one_line_per_kind_of_change() -> None:
    assert retraining_flow.describe({}) == []
    status = {
        "fetch@imdb": [{"changed outs": {"data/collected/imdb.jsonl": "modified"}}],
        "train@fair": [
            {
                "changed deps": {
                    "params.yaml": {"seeds": "modified", "variants.l2": "modified"},
                    "src/feedforward/training/trainer.py": "modified",
                    "data/vectorized": "modified",
                }
            }
        ],
        "train@lecture": [{"changed deps": {"params.yaml": "new", "data/vectorized": "new"}}, {"changed outs": {}}],
        "validate@imdb": ["changed command"],
        "compare": [{"changed deps": {f"src/feedforward/{name}.py": "modified" for name in "abcd"}}],
    }
    assert retraining_flow.describe(status) == [
        "results changed or missing: data/collected/imdb.jsonl",
        "parameters changed: seeds, variants.l2",
        "code changed: src/feedforward/training/trainer.py, src/feedforward/a.py, src/feedforward/b.py and 2 more",
        "data changed: data/vectorized",
        "stages new or redefined: train@lecture, validate@imdb",
    ]


@pytest.mark.slow
def test_retrain_command_starts_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspaces.enter(small_data.write_workspace(tmp_path, seeds=1), monkeypatch)
    command = [sys.executable, "-m", "feedforward.cli", "retrain"]
    with locks.job("another job"):
        variables = clean_environment.environment(FEEDFORWARD_ROOT=str(tmp_path))  # as in a shell: no PREFECT_HOME
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == Busy.exit_code, done.stdout + done.stderr
    assert "skipped:" in done.stdout
    assert "(another job) is running here" in done.stdout
