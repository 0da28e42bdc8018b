"""Messages that Prefect logs about runs contain no secrets."""

import logging

from pipelines import prefect_logs


def test_addresses_in_messages_are_redacted() -> None:
    prefect_logs.omit_tracebacks()
    record = logging.makeLogRecord({"msg": "error for url '%s'", "args": ("http://user:password1@host/api",)})
    assert logging.getLogger("prefect.task_runs").filter(record)
    assert record.getMessage() == "error for url 'http://***@host/api'"
