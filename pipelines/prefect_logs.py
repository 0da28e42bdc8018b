"""What Prefect logs about errors of this project and about interruptions, without secrets."""

import logging

from feedforward.core.errors import FeedforwardError
from feedforward.core.redaction import redact


def omit_tracebacks() -> None:
    """Omit the tracebacks of this project's errors, whose messages suffice, and lines about interruptions.

    Messages are redacted: those of HTTP clients contain addresses, which may contain a password.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_filter)


def _filter(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, FeedforwardError):
        record.exc_info = None
    record.msg, record.args = redact(record.getMessage()), ()
    return not isinstance(error, KeyboardInterrupt) and "Crash detected" not in record.getMessage()
