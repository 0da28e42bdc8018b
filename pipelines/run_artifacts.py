"""Artifacts shown on a flow run's page in Prefect's UI: summaries, links to results, and progress bars.

Secrets are redacted from Markdown and error messages, because Prefect stores them in its database.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from feedforward.core import demo_workspace, paths
from feedforward.core.errors import one_line
from feedforward.core.redaction import redact
from feedforward.experiments.plan import Pack
from feedforward.tracking import settings


def publish(key: str, text: str, description: str) -> None:
    """Attach Markdown to the current flow run. A failure is only logged as a warning, because no result depends on it.

    key: lowercase letters, digits and dashes; Prefect treats artifacts with the same key as versions of one artifact.
    """
    try:
        create_markdown_artifact(markdown=redact(text), key=key, description=description)
    except Exception as error:
        get_run_logger().warning("%s: the artifact was not created: %s", key, redact(one_line(str(error))))


class Progress:
    """A progress bar on the page of the current flow run. A failure to show it is only logged as a warning.

    key, description: as for `publish`.
    """

    def __init__(self, key: str, description: str) -> None:
        self._key = key
        self._id = self._attempt(lambda: create_progress_artifact(0.0, key, description))

    def update(self, share: float) -> None:
        """Update the bar. share: the fraction of the work that is done, from 0 to 1."""
        artifact_id = self._id
        # after a failed attempt, which takes a minute if the server is down, no more updates are sent
        if artifact_id is not None:
            self._id = self._attempt(lambda: update_progress_artifact(artifact_id, 100.0 * share))

    def _attempt(self, call: Callable[[], Any]) -> UUID | None:
        try:
            artifact_id: UUID = call()
            return artifact_id
        except Exception as error:
            get_run_logger().warning("%s: the progress is not shown: %s", self._key, redact(one_line(str(error))))
            return None


def training_text(packs: Sequence[Pack], failures: Sequence[str], views: Mapping[str, str]) -> str:
    """Markdown: runs per dataset, failures, and links. views: dataset → address of its comparison in MLflow."""
    runs = Counter[str]()
    for pack in packs:
        runs[pack.dataset] += len(pack.members)
    lines = ["| dataset | runs |", "|---|---|", *(f"| {name} | {count} |" for name, count in sorted(runs.items()))]
    if failures:
        lines += ["", "## Failed", "", *(f"- {text}" for text in failures)]
    report = paths.comparison() / "index.html"
    comparisons = [f"- [Variants of {name} in MLflow]({address})" for name, address in views.items()]
    return "\n".join(
        [
            *lines,
            "",
            "## Links",
            "",
            *comparisons,
            *links({"Comparison (available after the `compare` stage)": report}),
            "",
        ]
    )


def links(files: Mapping[str, Path]) -> list[str]:
    """Markdown list items: the title and path of each file, and how to open MLflow.

    A page loaded over HTTP cannot link to local files, so their paths are shown as text to copy.
    """
    address, command = settings.tracking_uri(), f"{demo_workspace.prefix()}feedforward ui"
    mlflow = f"[MLflow]({address})" if address.startswith("http") else f"MLflow: `{command}` in the checkout"
    return [*(f"- {title}: `{path}`" for title, path in files.items()), f"- {mlflow}"]
