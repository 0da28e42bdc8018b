"""The wire to the store: a failure costs one time-out, and then everybody knows that it is down."""

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from mlflow.exceptions import MlflowException

from feedforward.core.errors import TrackingError
from feedforward.core.redaction import redact
from feedforward.tracking import database, records

T = TypeVar("T")
QUICK_FAILURE = 2.0  # s; an error after that was a wait, and waiting again would cost too much
PROBE_TIMEOUT = 3.0  # s
_logger = logging.getLogger("feedforward.tracking")
# MLflow logs with a traceback what it raises too; `attempt` says it in one line
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


class Connection:
    """MLflow's client, and whether the store answers. May be used from several threads at once."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = database.connect(uri)
        self.is_server = database.is_server(uri)
        self._down: str | None = None

    @property
    def is_down(self) -> bool:
        """Whether the store failed to answer; nothing asks it until `forgive`."""
        return self._down is not None

    def forgive(self) -> None:
        """Try again although the store was down."""
        self._down = None

    def attempt(self, what: str, action: Callable[[bool], T]) -> T:
        """Do it, and once more if it failed at once although the store answers; `action` is told which try it is.

        Raises:
            TrackingError: it failed; if the store does not answer, every further attempt fails at once.
        """
        if self._down:
            raise TrackingError(self._down)
        for again in (False, True):
            began = time.monotonic()
            try:
                return action(again)
            except (MlflowException, OSError) as error:
                problem = f"{redact(self.uri)}: {what} failed ({first_line(error)})"
                if isinstance(error, MlflowException) and error.get_http_status_code() < 500:
                    _logger.warning("%s", problem)  # the store answers, it only refuses this
                    raise TrackingError(problem) from None
                if again or not self.answers(began):
                    raise self.give_up(problem) from None
        raise AssertionError("the second try returns or raises")

    def give_up(self, problem: str) -> TrackingError:
        """Note that the store is down and warn, once; the error to raise."""
        if not self._down:
            _logger.warning("%s; records wait in %s, send them with `feedforward sync`", problem, records.spool())
        self._down = problem
        return TrackingError(problem)

    def answers(self, began: float) -> bool:
        """Whether it is worth asking again, after a request of `began` (time.monotonic) failed."""
        if not self.is_server:
            return True
        if time.monotonic() - began > QUICK_FAILURE:
            return False
        try:
            with urllib.request.urlopen(self.uri.rstrip("/") + "/health", timeout=PROBE_TIMEOUT):  # noqa: S310
                return True
        except urllib.error.HTTPError:
            return True  # somebody is there
        except (OSError, ValueError):
            return False


def first_line(error: Exception) -> str:
    """What the error says, or the database below it (SQLAlchemy's `orig`), in one redacted line."""
    error = getattr(error.__cause__, "orig", None) or error
    return (redact(str(error)).splitlines() or [type(error).__name__])[0][:300]
