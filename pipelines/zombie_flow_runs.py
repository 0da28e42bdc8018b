"""The automation that ends flow runs whose process no longer exists; without it, a killed run would stay Running.

A running flow sends an event every HEARTBEAT seconds. If no event arrives within PATIENCE, the server marks the run
as Crashed. Source: Prefect's documentation, "How to detect and respond to zombie flows".
"""

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME = "feedforward: runs without a heartbeat"
FLOWS = ["retraining", "training", "request-drift"]
HEARTBEAT = 30  # s, the shortest interval that Prefect allows
PATIENCE = timedelta(seconds=3 * HEARTBEAT)


async def deploy(patience: timedelta = PATIENCE) -> None:
    """Create the automation, replacing any existing one with the same name."""
    async with get_client() as client:
        for existing in await client.read_automations_by_name(NAME):
            await client.delete_automation(existing.id)
        await client.create_automation(automation(patience))


def automation(patience: timedelta) -> AutomationCore:
    """Return an automation that marks a run as Crashed if no event follows its heartbeat within `patience` (≥ 10 s)."""
    return AutomationCore(
        name=NAME,
        description=f"Marks runs as Crashed that have sent no heartbeat for {patience.total_seconds():.0f} s.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}),
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},  # a heartbeat or a state; our flows also end in states with custom names
            posture=Posture.Proactive,
            threshold=1,
            within=patience,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                force=False,
                message=f"no heartbeat for {patience.total_seconds():.0f} s: the process or its machine has stopped",
            )
        ],
    )
