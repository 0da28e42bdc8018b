"""Call the store with retries where that is safe, time limits, and one warning when the store stops answering."""

import logging
import os
import random
import re
import sys
import threading
import time
import urllib.error
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import TypeVar

from mlflow.exceptions import MlflowException

from feedforward.core import http_requests
from feedforward.core.errors import TrackingError
from feedforward.core.redaction import redact
from feedforward.tracking import database, records

T = TypeVar("T")
ATTEMPTS = 4
MAX_PAUSE = 0.5  # s; a random pause keeps packs that tried to insert the same row from colliding again
QUICK_FAILURE = 2.0  # s; a slower failure was a time-out, and another attempt would take as long
PROBE_TIMEOUT = 3.0  # s
PROBE_INTERVAL = 15.0  # s between probes of a server that has not answered a call yet
_logger = logging.getLogger("feedforward.tracking")
# As in settings.apply, for callers that imported MLflow earlier: MLflow logs errors that it raises, with tracebacks.
logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "CRITICAL"))


NO_CONNECTION = re.compile(r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError")  # of urllib3, named by MLflow
# Packages, by module, that MLflow imports for artifacts, if they are called otherwise
PACKAGES = {"azure": "azure-storage-blob and azure-identity", "google": "google-cloud-storage"}


class Connection:
    """MLflow's client, and whether the store answers. Several threads may use a connection at the same time."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = database.connect(uri)
        self.is_server = database.is_server(uri)
        self._down: str | None = None

    @property
    def is_down(self) -> bool:
        """Whether the store failed to answer; no further requests are sent until `reset`."""
        return self._down is not None

    def reset(self) -> None:
        """Allow requests to the store again after it failed to answer."""
        self._down = None

    def attempt(self, action_name: str, action: Callable[[bool], T]) -> T:
        """Call `action(is_retry)`; while it fails quickly and the store answers, repeat it, up to four calls in all.

        is_retry: whether this call repeats a failed one, which the store may have executed.

        Raises:
            TrackingError: the action failed. If the store does not answer, all further attempts fail immediately.
        """
        if self._down:
            raise TrackingError(self._down)
        for number in range(ATTEMPTS):
            started = time.monotonic()
            try:
                return self.call(lambda is_retry=number > 0: action(is_retry))  # type: ignore[misc]
            except failures() as error:
                problem = f"{redact(self.uri)}: {action_name} failed ({first_line(error)})"
                if _only_artifacts_failed(error):
                    _warn_of_waiting(problem)
                    raise TrackingError(problem) from None
                if not self.answers(started):
                    raise self.give_up(problem) from None
                if number == ATTEMPTS - 1:
                    if isinstance(error, MlflowException) and error.get_http_status_code() < 500:
                        _logger.warning("%s", problem)  # the store answers but rejects this
                        raise TrackingError(problem) from None
                    raise self.give_up(problem) from None
            time.sleep(random.uniform(0, MAX_PAUSE))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    def call(self, action: Callable[[], T]) -> T:
        """Return the result of `action`; give up on a server that answers neither the call nor a probe meanwhile.

        The time-out of the HTTP client is not enough, because it restarts with every byte that arrives.

        Raises:
            OSError: the server does not answer.
        """
        if not self.is_server:
            return action()
        future = _in_thread(action)
        while not futures.wait([future], PROBE_INTERVAL).done:
            if not self._is_healthy():
                raise TimeoutError("the server does not answer")
        return future.result()

    def give_up(self, problem: str) -> TrackingError:
        """Record that the store is down, log one warning, and return the error to raise."""
        if not self._down:
            _warn_of_waiting(problem)
        self._down = problem
        return TrackingError(problem)

    def answers(self, started: float) -> bool:
        """Whether the store still answers, now that a call has failed; False if the call timed out.

        started: when the call began (time.monotonic).
        """
        return not self.is_server or (time.monotonic() - started < QUICK_FAILURE and self._is_healthy())

    def _is_healthy(self) -> bool:
        """Whether MLflow itself answers at the address, rather than, for instance, the login page of a proxy."""
        future = _in_thread(lambda: _responds(self.uri))
        return bool(futures.wait([future], PROBE_TIMEOUT).done) and future.result()


def failures() -> tuple[type[Exception], ...]:
    """The exceptions that MLflow's client raises if the store or its artifacts fail.

    For `except` clauses, which call it only once there is an exception. By then, boto is imported if artifacts are in
    S3; its exceptions have no common base class, and importing it here would delay every job.
    """
    boto = _imported("botocore.exceptions", "BotoCoreError", "ClientError") + _imported(
        "boto3.exceptions", "Boto3Error"
    )
    return (MlflowException, OSError, ImportError, *boto)  # ImportError: boto is not installed


def _imported(module: str, *names: str) -> tuple[type[Exception], ...]:
    """Those of the exceptions that exist, if the module has been imported."""
    found = (getattr(sys.modules.get(module), name, None) for name in names)
    return tuple(error for error in found if error is not None)


def _only_artifacts_failed(error: Exception) -> bool:
    """Whether the store of these artifacts refuses the request, or its package is missing, while MLflow itself answers.

    Not if S3 does not answer: boto repeats such requests for up to minutes, which must not happen for every record.
    """
    unreachable = _imported("botocore.exceptions", "ConnectionError", "HTTPClientError")
    return isinstance(error, ImportError) or not isinstance(error, (MlflowException, OSError, *unreachable))


def _warn_of_waiting(problem: str) -> None:
    remedy = "send them with `feedforward sync`"
    _logger.warning("%s; records that cannot be sent wait in %s; %s", problem, records.spool(), remedy)


def _in_thread(action: Callable[[], T]) -> "Future[T]":
    """Start the call in a daemon thread, so that a call that never returns does not keep the process alive."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="tracking-call", daemon=True).start()
    return future


def _responds(uri: str) -> bool:
    try:
        return http_requests.get(f"{uri.rstrip('/')}/health", PROBE_TIMEOUT, max_bytes=16).strip() == b"OK"
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # a proxy that requires the credentials that MLflow's client sends
    except OSError:
        return False


def first_line(error: Exception) -> str:
    """The message of the error, or of the database error that caused it (SQLAlchemy's `orig`), as one redacted line.

    If a package is missing, it names the package to install.
    """
    if isinstance(error, ImportError):
        module = (error.name or "").partition(".")[0]
        return f"{error}; install {PACKAGES.get(module, module or 'the package')}"
    error = getattr(error.__cause__, "orig", None) or error
    text = redact(str(error))
    if (start := text.lower().find("<")) >= 0 and "<html" in text.lower():
        text = f"{text[:start]} an HTML page instead of a response from MLflow"
    if NO_CONNECTION.search(text):
        return "the server does not answer"
    return (text.splitlines() or [type(error).__name__])[0][:300]
