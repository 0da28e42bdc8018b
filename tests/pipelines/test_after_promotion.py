"""Operation after a promotion on shared servers: shadow, canary, drift, alert, retraining and rollback.

Two projects have datasets with the same name but different labels. They share a Prefect server and an
MLflow server with a PostgreSQL database and artifacts in S3. Runs with `make stack` and takes minutes.
"""

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import PATIENCE, until

from faults import ROOT, stack, workspace
from faults.stack import Stack
from faults.workspace import FEEDFORWARD, NAME

MISSING = stack.missing_requirements()
pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]
OPERATIONS = (sys.executable, "-m", "pipelines.operations")
WATCH = "from pipelines import environment; environment.apply(); from pipelines import request_alerts as alerts; "
WATCH += "print(alerts.watch(return_state=True).name)"
SERVING = {"refresh": 0.5, "shadow": "challenger", "canary": 0.3, "reservoir": 60, "reservoir_seconds": 0.5}
LABELED = 6  # number of labeled samples
DRIFTED_TEXT = "film film the film"


class Project:
    """A workspace that uses the shared servers."""

    def __init__(self, folder: Path, shared: Stack, name: str, labels: list[str]) -> None:
        self.folder, self.shared = folder, shared
        dataset = workspace.tiny_params()["datasets"][NAME]
        dataset |= {"labels": labels}
        dataset["expectations"] |= {"class_share": [0.4, 0.6]}
        workspace.prepare(folder)
        shutil.copy(ROOT / "prefect.yaml", folder)
        self.dataset = dataset
        self.change_params(
            project=name,
            datasets={NAME: dataset},
            serving=SERVING,
            promotion={"holdout_models": 3, "shadow": {"requests": 20, "agreement": 0.3}},
            retraining={
                "use_feedback": True,
                "review": False,
                "minimum_new_samples": LABELED,
                "schedule": {"cron": None},
            },
        )

    def change_params(self, **values: Any) -> None:
        workspace.change_params(self.folder, values)

    def run(self, *command: str) -> str:
        done = workspace.run(self.folder, *command, **self.shared.environment)
        assert done.returncode == 0, f"{command}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
        return done.stdout

    def feedforward(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self.run(*FEEDFORWARD, *arguments, "--json")))

    def train(self, epochs: int) -> None:
        """Run the pipeline with this number of epochs for the final model."""
        training = {**self.dataset["training"], "final": {"variant": "original", "epochs": epochs}}
        self.change_params(datasets={NAME: {**self.dataset, "training": training}})
        self.run(*workspace.REPRO)

    def decision(self) -> str:
        """Return the last decision in the audit log."""
        lines = (self.folder / "mlruns" / "audit.jsonl").read_text().splitlines()
        return str(json.loads(lines[-1])["decision"])

    def windows(self) -> list[dict[str, Any]]:
        """Return the recorded windows of requests."""
        path = self.folder / "data" / "requests" / f"{NAME}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    @contextlib.contextmanager
    def service(self) -> Iterator[httpx.Client]:
        """Run the service during the block; yield a client for it."""
        environment = workspace.environment(self.folder, **self.shared.environment)
        command = [*FEEDFORWARD, "serve", "--port", "0"]
        process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            with httpx.Client(base_url=process.stdout.readline().split()[0], timeout=PATIENCE) as client:
                until(lambda: client.get("/ready").status_code == 200)
                yield client
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def ask(client: httpx.Client, text: str) -> dict[str, Any]:
    response = client.post(f"/predict/{NAME}", json={"samples": [text]})
    assert response.status_code == 200, response.text
    return dict(response.json())


def champion(client: httpx.Client) -> Any:
    """Return the version that the service uses as champion."""
    return client.get("/ready").json()["champions"][NAME]


def challenger(client: httpx.Client) -> Any:
    """Return the version that the service uses as challenger, or the reason why there is none."""
    return client.get("/health").json()["challengers"][NAME]


def reviews(part: str) -> list[str]:
    """Return the texts of a part of the sample reviews, shuffled, because the archive is sorted by label."""
    with tarfile.open(next((ROOT / "samples").glob("reviews*"))) as archive:
        members = [member for member in archive.getmembers() if part in member.name and member.isfile()]
        texts = [content.read().decode() for member in members if (content := archive.extractfile(member))]
    random.Random(0).shuffle(texts)
    return texts


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[tuple[Project, Project]]:
    with stack.started() as shared:
        first = Project(tmp_path / "first", shared, "first", ["negative", "positive"])
        second = Project(tmp_path / "second", shared, "second", ["bad", "good"])
        for project in (first, second):
            project.train(epochs=1)
            assert project.feedforward("promote", NAME)["promoted"]
        yield first, second


def test_shadow_canary_drift_retraining_and_rollback_after_a_promotion(projects: tuple[Project, Project]) -> None:
    first, second = projects
    texts = reviews("test/")
    first.train(epochs=6)
    result = first.feedforward("promote", NAME)
    assert (result["promoted"], result["version"], first.decision()) == (False, 2, "waiting"), result
    with first.service() as client, second.service() as second_client:
        until(lambda: challenger(client) == 2)
        assert "there is no challenger" in challenger(second_client)
        _shadow_and_canary(client, texts[:150])
        assert first.feedforward("promote", NAME)["promoted"]
        until(lambda: champion(client) == 2)
        until(lambda: "there is no challenger" in str(challenger(client)))
        _drift_and_alert(first, client, texts)
        _retrain_after_drift(first, client, texts)
        first.run(*FEEDFORWARD, "rollback", NAME, "--reason", "tried")
        until(lambda: champion(client) == 1)
        answer = ask(second_client, texts[0])
        assert (answer["version"], "canary" in answer) == (1, False)
        assert set(answer["predictions"][0]["probabilities"]) == {"bad", "good"}
    assert [period["version"] for period in first.feedforward("history", NAME)["periods"]] == [1, 2, 1]
    assert [period["version"] for period in second.feedforward("history", NAME)["periods"]] == [1]
    assert not second.windows() or not second.windows()[-1]["drifted"]


def _shadow_and_canary(client: httpx.Client, texts: list[str]) -> None:
    """Check that the challenger answers a share of the requests; then ask until its shadow has answered 30 as well."""
    until(lambda: client.get("/health").json()["shadow"] == "running")
    answers = [ask(client, text) for text in texts]
    canary_answers = [answer for answer in answers if answer.get("canary")]
    assert {answer["version"] for answer in canary_answers} == {2}
    assert {answer["version"] for answer in answers if answer not in canary_answers} == {1}
    assert 20 < len(canary_answers) < 75, "of 150 with probability 0.3: 45 with a standard deviation of 5.6"

    def has_compared_enough() -> bool:
        prefix = f'feedforward_shadow_requests{{dataset="{NAME}"}} '
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(prefix)]
        if not lines or float(lines[0].rpartition(" ")[2]) < 30:
            ask(client, texts[len(lines)])
            return False
        return True

    until(has_compared_enough)
    time.sleep(6)  # The shadow's statistics are written every 5 s.


def _drift_and_alert(project: Project, client: httpx.Client, texts: list[str]) -> None:
    """Check that requests like the training data raise no alarm, and that different ones cause a message."""
    project.run(*OPERATIONS, "deploy")
    for text in texts[:70]:
        ask(client, text)
    before_drift = until(lambda: [window for window in project.windows() if window["version"] == 2])
    assert not before_drift[-1]["drifted"], before_drift
    for _ in range(140):
        ask(client, DRIFTED_TEXT)
    until(lambda: project.windows()[-1]["drifted"])
    assert "Drifted" in project.run(sys.executable, "-c", WATCH)
    messages = project.shared.orchestration.folder / "mlruns" / "notifications.jsonl"
    until(lambda: messages.is_file() and messages.read_text())
    assert f"{NAME}: the requests to version 2 have drifted" in json.loads(messages.read_text().splitlines()[0])["body"]


def _retrain_after_drift(project: Project, client: httpx.Client, texts: list[str]) -> None:
    """Check that drift is only a remark as long as there are no labeled samples, and then a reason to train."""
    plan = project.feedforward("retrain", "--dry-run")
    assert not plan["retrain"], plan
    assert any("there are no labeled samples to train on" in line for line in plan["remarks"])
    for number in range(LABELED):
        sample = f"{texts[number]} {texts[number + LABELED]}"
        answer = client.post(f"/incoming/{NAME}", json={"sample": sample, "label": "positive"})
        assert answer.json() == {"stored": True}
    plan = project.feedforward("retrain", "--dry-run")
    assert any("request drift" in line for line in plan["reasons"]), plan
    project.run(*FEEDFORWARD, "retrain")
    lines = (project.folder / "mlruns" / "retrainings.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["outcome"] == "trained"
    assert "version 3" in json.loads(lines[-1])["gate"][NAME]
