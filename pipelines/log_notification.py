"""A notification block that needs no other service: it writes messages to a file and to the server's log."""

from datetime import UTC, datetime

from prefect.blocks.abstract import NotificationBlock

from feedforward.core import append_only_log, paths

MAX_BYTES = 2**24  # size limit of the file; when it is full, messages are only logged


class LogNotification(NotificationBlock):
    """Appends messages to `mlruns/notifications.jsonl` in the checkout in which Prefect's server runs."""

    _block_type_name = "feedforward log"
    _block_type_slug = "feedforward-log"
    _description = "Writes messages to mlruns/notifications.jsonl and to the log of Prefect's server."

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Write a message."""
        self.logger.warning("%s: %s", subject, body)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        append_only_log.append(paths.notifications(), {"time": time, "subject": subject, "body": body}, MAX_BYTES)
