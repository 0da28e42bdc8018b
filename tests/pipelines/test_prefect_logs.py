"""Messages that Prefect logs about runs contain no secrets."""

import logging

from prefect.logging.configuration import setup_logging

from pipelines import prefect_logs


def test_addresses_in_messages_are_redacted() -> None:
    prefect_logs.omit_tracebacks()
    record = logging.makeLogRecord({"msg": "error for url '%s'", "args": ("http://user:password1@host/api",)})
    assert logging.getLogger("prefect.task_runs").filter(record)
    assert record.getMessage() == "error for url 'http://***@host/api'"


def test_lines_about_a_lost_server_are_omitted_even_after_prefect_configures_logging() -> None:
    prefect_logs.omit_tracebacks()
    setup_logging(incremental=False)
    for name in prefect_logs.LOST_SERVER:
        assert not logging.getLogger(name).filter(logging.makeLogRecord({"msg": "failed to process item"}))
