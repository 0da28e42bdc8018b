"""Messages that Prefect logs about runs contain no secrets."""

import logging

import pytest

from pipelines import prefect_logs


def test_addresses_in_messages_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    prefect_logs.omit_tracebacks()
    logging.getLogger("prefect.task_runs").error("error for url '%s'", "http://user:password1@host/api")
    assert "error for url 'http://***@host/api'" in caplog.text
