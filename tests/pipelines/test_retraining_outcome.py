"""How a retraining flow ends: its final state, and the message that Prefect stores."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dvc_projects
import pytest
import small_data
import workspaces
from live_servers import free_port
from prefect.settings import PREFECT_API_URL, temporary_settings

from feedforward.config.schema import load_params
from feedforward.core import append_only_log, paths
from feedforward.core.errors import FeedforwardError, ParamsError, TrackingError
from feedforward.promotion import promote as gate
from pipelines import gpu_slots, locks, operations, retraining_flow
from pipelines.log_notification import LogNotification

pytestmark = pytest.mark.slow


@pytest.fixture
def read_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server_address: str
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A workspace in which training does nothing; yields a function that reads the log of retrainings."""
    workspaces.enter(small_data.write_workspace(tmp_path, seeds=1), monkeypatch)
    for name, replacement in {"find_changes": lambda: ["code changed: src/x"], "train": lambda params: params}.items():
        monkeypatch.setattr(retraining_flow, name, replacement)
    monkeypatch.setattr(gpu_slots, "gpus", list)
    with temporary_settings({PREFECT_API_URL: prefect_server_address}):
        yield lambda: list(append_only_log.read(paths.retrainings()))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            TrackingError("http://someone:c4n4ry-7d1e55@127.0.0.1:9: does not answer"),
            "http://***@127.0.0.1:9: does not",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "a.json"), "a.json: No space left on device; fix it, then"),
    ],
    ids=["server", "disk"],
)
def test_flow_fails_if_the_gate_cannot_decide_about_one_dataset_but_decides_about_the_others(
    read_log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    datasets = []

    def promote(_params: object, name: str) -> None:
        datasets.append(name)
        if name == "tones":
            raise error
        raise gate.Refused("notes 1: refused: it is worse than chance")

    monkeypatch.setattr(gate, "promote", promote)
    state = retraining_flow.retrain(return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith(f"tones: the gate could not decide: {line}")
    assert datasets == ["tones", "notes"]
    entry = read_log()[-1]
    assert entry["outcome"] == "failed"
    assert entry["gate"]["notes"] == "notes 1: refused: it is worse than chance"
    assert "c4n4ry" not in str(read_log())


@pytest.mark.proves("Damaged records of one dataset do not keep the others from being retrained, and are reported")
def test_flow_fails_if_one_dataset_cannot_be_observed_but_retrains_the_others(
    read_log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.request_drift("tones").parent.mkdir(parents=True)
    paths.request_drift("tones").write_text('{"distances": {}, "digest": "d1", "time": "yesterday"}\n')

    def refuse(_params: object, name: str) -> None:
        raise gate.Refused(f"{name} 1: refused: it is worse than chance")

    monkeypatch.setattr(gate, "promote", refuse)
    monkeypatch.setattr(retraining_flow.find_changes, "fn", list, raising=False)
    problem = f"tones: {paths.request_drift('tones')}: cannot be read"
    decision = retraining_flow.plan(load_params())
    assert not decision.retrain
    assert decision.remarks[0].startswith(problem)
    state = retraining_flow.retrain(return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith(problem)
    entry = read_log()[-1]
    assert set(entry["samples"]) == {"notes"}
    assert set(entry["gate"]) == {"tones", "notes"}


@pytest.mark.proves("While the tracking server is down, a scheduled retraining trains on changed code and data")
def test_flow_trains_although_the_tracking_server_is_down_and_fails_in_one_line(
    read_log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    state = retraining_flow.retrain(return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith(f"tones: {address}: reading tones champion failed (the server does not")
    assert "\n" not in str(state.message)
    entry = read_log()[-1]
    assert (entry["outcome"], entry["reasons"]) == ("failed", ["code changed: src/x"])
    assert all(line.startswith("the gate could not decide: ") for line in entry["gate"].values())
    printed = "".join(capfd.readouterr())
    assert "Retrying" not in printed
    assert "Traceback" not in printed


@pytest.mark.proves("A scheduled retraining with an invalid params.yaml is recorded, and a message is sent")
def test_a_mistake_in_params_yaml_is_recorded_and_sent(read_log: Callable[[], list[dict[str, Any]]]) -> None:
    LogNotification().save("team", overwrite=True)
    small_data.write_params(paths.params(), small_data.values(seeds=0, retraining={"notify": "feedforward-log/team"}))
    state = retraining_flow.retrain(return_state=True)
    problem = "params.yaml: seeds: must be at least 1, got 0"
    assert (state.is_failed(), state.message) == (True, problem)
    assert (read_log()[-1]["outcome"], read_log()[-1]["problem"]) == ("failed", problem)
    [message] = append_only_log.read(paths.notifications())
    assert message["body"] == f"failed: {problem}"
    assert read_log()[-1]["time"] < message["time"], "a network that does not answer must not prevent the record"
    paths.params().write_text("- no mapping\n")
    assert retraining_flow.retrain(return_state=True).is_failed()
    assert len(list(append_only_log.read(paths.notifications()))) == 1  # nothing says where to send a second one
    with pytest.raises(ParamsError):  # the command ends with exit code 2
        operations.retrain(False, "cpu")


@pytest.mark.proves("A retraining that cannot write its log, for instance on a full disk, still says why it ended")
def test_a_log_that_cannot_be_written_hides_neither_the_reason_nor_the_message(
    read_log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    LogNotification().save("team", overwrite=True)
    small_data.write_params(paths.params(), small_data.values(seeds=1, retraining={"notify": "feedforward-log/team"}))
    paths.retrainings().mkdir(parents=True)
    problem = f"{paths.retrainings()}: Is a directory; fix it, then run again"
    state = retraining_flow.retrain(return_state=True)
    assert (state.is_failed(), state.message) == (True, problem)

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retraining_flow, "find_changes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        retraining_flow.retrain(return_state=True)
    with locks.job("retraining"):
        assert retraining_flow.retrain(return_state=True).name == "Skipped"
    sent = [message["body"] for message in append_only_log.read(paths.notifications())]
    assert sent[:2] == [f"failed: {problem}", "interrupted; the next retraining continues"]
    assert sent[2].startswith("skipped: ")
    assert caplog.text.count("was not recorded") == len(sent) == 3


@pytest.mark.proves("A file of the user's own that DVC tracks is no reason to train again and again")
def test_only_stages_are_a_reason_to_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspaces.enter(small_data.write_workspace(tmp_path), monkeypatch)
    (tmp_path / "reports" / "comparison").mkdir(parents=True)
    dvc_projects.finish(tmp_path)
    (tmp_path / "own.csv").write_text("1\n")
    dvc_projects.dvc(tmp_path, "add", "-q", "own.csv")
    (tmp_path / "own.csv").write_text("2\n")
    assert retraining_flow.find_changes.fn() == []
    (tmp_path / "code" / "compare.py").write_text("rate = 2\n")
    assert retraining_flow.find_changes.fn() == ["data changed: code"]
    (tmp_path / "site").write_text("DVC expects a folder")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    with pytest.raises(FeedforwardError, match=r"^`dvc status` failed: unexpected error - .*site.*; fix it") as caught:
        retraining_flow.find_changes.fn()
    assert "\n" not in str(caught.value)


def test_message_of_a_failed_flow_is_one_line_without_secrets(
    read_log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_params: object) -> None:
        raise TrackingError("http://someone:c4n4ry-7d1e55@127.0.0.1:9: does not answer")

    monkeypatch.setattr(retraining_flow, "train", fail)
    state = retraining_flow.retrain(return_state=True)
    assert state.is_failed()
    assert state.message == "http://***@127.0.0.1:9: does not answer"
    assert read_log()[-1]["outcome"] == "failed"
