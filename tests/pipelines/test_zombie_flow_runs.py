"""The server marks runs whose process is gone as Crashed, and does not change finished runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from live_prefect import Server, ask
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FLOW = """
import sys, time
from pipelines import environment
environment.apply()
from prefect import flow
from prefect.states import Completed

@flow(name="retraining", flow_run_name=sys.argv[1], persist_result=False)
def work():
    if sys.argv[1] == "killed":
        time.sleep(600)
    return Completed(name="Trained")

work(return_state=True)
"""
DEPLOY = """
import asyncio
from datetime import timedelta
from pipelines import zombie_flow_runs
for _ in range(2):
    asyncio.run(zombie_flow_runs.deploy(timedelta(seconds=10)))
"""


def test_a_killed_run_is_marked_as_crashed_and_a_finished_run_is_unchanged(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        subprocess.run([sys.executable, "-c", DEPLOY], env=server.environment, check=True)
        assert len(ask(server.api, "automations")) == 1, "a second deploy must replace the automation"
        subprocess.run([sys.executable, "-c", FLOW, "finished"], env=server.environment, check=True)
        killed = subprocess.Popen([sys.executable, "-c", FLOW, "killed"], env=server.environment)

        def states() -> dict[str, str]:
            return {run["name"]: run["state"]["name"] for run in ask(server.api, "flow_runs")}

        def heartbeats() -> int:
            """Number of heartbeats from the run that will be killed; the automation starts watching after the first."""
            events = ask(server.api, "events")["events"]
            beats = [event["resource"] for event in events if event["event"] == "prefect.flow-run.heartbeat"]
            return [resource["prefect.resource.name"] for resource in beats].count("killed")

        try:
            until(lambda: states().get("killed") == "Running" and heartbeats() >= 1)
        finally:
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        until(lambda: states()["killed"] == "Crashed")
        assert states()["finished"] == "Trained"
