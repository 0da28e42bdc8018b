"""Alerts about request drift: an event if a dataset's latest window drifted, and the automation that reacts to it.

The service records the distances of each window of requests and does not use Prefect. This flow reads the records; the
automation sends a message through the notification block that params.yaml names or, if it names none, to a file.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import FeedforwardError
from feedforward.core.redaction import redact
from feedforward.promotion import drift_windows
from pipelines import environment
from pipelines.log_notification import LogNotification

EVENT = "feedforward.request-drift"
PROJECT = "feedforward.project"  # label of the event's resource
SUBJECT = "feedforward: the requests have drifted"


@flow(name="request-drift", flow_run_name=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M}", persist_result=False)
def watch() -> State[Any]:
    """Send an event for each dataset whose latest window of requests drifted. States: Drifted, Quiet or Failed."""
    environment.apply()
    try:
        lines, problems = alert(load_params())
    except (FeedforwardError, OSError) as error:
        return Failed(message=redact(str(error)))
    for line in lines:
        get_run_logger().warning(line)
    if problems:
        return Failed(message="; ".join(problems))
    return Completed(name="Drifted" if lines else "Quiet", message="; ".join(lines) or "no new request drift")


def alert(params: Params) -> tuple[list[str], list[str]]:
    """For each dataset, send an event if the latest window drifted and has not been reported.

    Return a line per event, and a line per dataset whose windows cannot be read. Windows of requests to another
    registry's versions are ignored.

    If the process is killed between sending and recording, the event is sent twice; it is never omitted.
    """
    lines, problems = [], []
    reported = _last_reported()
    for name in params.datasets:
        try:
            window = next(iter(drift_windows.load(name)[-1:]), None)
        except (FeedforwardError, OSError) as error:
            problems.append(redact(f"{name}: {error}"))
            continue
        if window is None or not window["drifted"] or reported.get(name) == window["time"]:
            continue
        line = redact(f"{name}: the requests to version {window['version']} have drifted: {window['farthest']}")
        resource = {"prefect.resource.id": f"feedforward.requests.{name}", PROJECT: _project(params)}
        payload = {key: window[key] for key in ("time", "began", "version", "asked", "samples", "drifted")}
        emit_event(EVENT, resource, payload={**payload, "text": line})
        atomic_files.write_json(paths.request_alerts(), {**reported, name: window["time"]}, "request_alerts")
        reported = _last_reported()
        lines.append(line)
    return lines, problems


def _last_reported() -> dict[str, str]:
    """For each dataset, the time of the last window that was reported."""
    try:
        return dict(atomic_files.read_json(paths.request_alerts()))
    except (OSError, ValueError, TypeError):
        return {}


def _project(params: Params) -> str:
    return params.project or "default"


async def deploy(params: Params) -> str:
    """Create or replace the automation of the project; return the name of its notification block."""
    name = f"{SUBJECT} ({_project(params)})"
    block, document_id = await _notification_block(params)
    async with get_client() as client:
        for existing in await client.read_automations_by_name(name):
            await client.delete_automation(existing.id)
        await client.create_automation(automation(name, _project(params), document_id))
    return block


async def _notification_block(params: Params) -> tuple[str, Any]:
    """Name and ID of the block that params.yaml names or, if there is none, of one that writes to a file."""
    if params.retraining.notify:
        kind, _, name = params.retraining.notify.partition("/")
        async with get_client() as client:
            with contextlib.suppress(ObjectNotFound):  # it may be created later; the caller shows the block in use
                document = await client.read_block_document_by_name(name, kind)
                return params.retraining.notify, document.id
    name = _project(params).replace("_", "-")
    saved: Any = LogNotification().save(name, overwrite=True)
    return f"{LogNotification.get_block_type_slug()}/{name}", await saved


def automation(name: str, project: str, document_id: Any) -> AutomationCore:
    """Return an automation that sends a message for each event of the project. document_id: ID of the block."""
    return AutomationCore(
        name=name,
        description="Sends a message if the requests to a champion no longer resemble its training data.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "feedforward.requests.*", PROJECT: project}),
            expect={EVENT},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=document_id, subject=SUBJECT, body="{{ event.payload.text }}")],
    )
