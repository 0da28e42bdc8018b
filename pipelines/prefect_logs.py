"""What Prefect logs about errors of this project, interruptions and a lost server, without secrets."""

import logging

from prefect.exceptions import FailedRun

from feedforward.core.errors import FeedforwardError
from feedforward.core.redaction import redact

# parts of messages that are omitted: about a job that was interrupted, and about one that lost its server
OMITTED = ("Crash detected", "Finished in state Pending()")

# loggers that report each event, slot and attempt that a lost server does not receive
LOST_SERVER = ("prefect.events.clients", "prefect._internal.concurrency", "urllib3.connectionpool")


def omit_tracebacks() -> None:
    """Omit the tracebacks of this project's errors, whose messages suffice, and lines about interruptions.

    Messages are redacted: those of HTTP clients contain addresses, which may contain a password. Events that a lost
    server does not receive would be printed in full, so they are omitted; the job names the server when it ends. A flow
    that ends as Failed has said why, so the engine's traceback is also omitted.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_filter)
    for name in LOST_SERVER:
        logging.getLogger(name).addFilter(_drop)  # Prefect sets levels anew when it configures logging, but no filters


def _drop(_: logging.LogRecord) -> bool:
    return False


def _filter(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, FeedforwardError):
        record.exc_info = None
    message = redact(record.getMessage())
    record.msg, record.args = message, ()
    return not isinstance(error, KeyboardInterrupt | FailedRun) and not any(text in message for text in OMITTED)
