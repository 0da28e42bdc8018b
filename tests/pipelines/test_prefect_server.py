"""The temporary Prefect server of a job."""

import os
import urllib.request
from pathlib import Path

import pytest

from pipelines import prefect_server

pytestmark = pytest.mark.slow


def test_it_answers_and_lets_no_page_of_another_site_read_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with prefect_server.serving() as wait_for_server:
        wait_for_server()
        address = os.environ["PREFECT_API_URL"] + "/health"
        for origin in ("http://example.org", "null", "http://127.0.0.1:1"):
            asked = urllib.request.Request(address, headers={"Origin": origin})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") is None, origin
    assert "PREFECT_API_URL" not in os.environ
