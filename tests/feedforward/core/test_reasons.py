"""Reasons are stored on one line, without secrets, and no longer than what every store takes."""

import pytest

from feedforward.core import reasons
from feedforward.core.errors import ParamsError


def test_a_reason_is_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary-22-secret")
    text = reasons.clean("  worse on\nlong reviews, see https://bob:hunter33@host/x and canary-22-secret ")
    assert text == "worse on long reviews, see https://***@host/x and ***"


@pytest.mark.parametrize(
    ("reason", "problem"),
    [("x" * 1001, "--reason: must have at most 1000 characters, got 1001"), ("bad \udcff", "must be valid UTF-8")],
)
def test_a_reason_that_a_store_would_refuse_is_refused_first(reason: str, problem: str) -> None:
    with pytest.raises(ParamsError, match=problem):
        reasons.clean(reason)


def test_a_required_reason_may_not_be_empty() -> None:
    assert reasons.clean(" \n") == ""
    with pytest.raises(ParamsError, match="--skip-comparison: must give a reason, got an empty text"):
        reasons.clean(" \n", "--skip-comparison", required=True)
