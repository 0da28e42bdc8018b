"""Error responses of the service: a status, headers, and one line of JSON."""

import logging
import re

import pydantic_core

from feedforward.core.errors import DataError, FeedforwardError, InputError, NothingToServe, ParamsError, TrackingError
from feedforward.serving.feedback_log import FeedbackLocked, FeedbackLogFull, FeedbackLogUnwritable

JSON = b"application/json"
FAILED = "the service failed to handle this request; the traceback is in the service's log"
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
RETRY = ((b"retry-after", b"1"),)  # header of temporary refusals: seconds until the client should try again
STATUS: dict[type[FeedforwardError], int] = {  # the first class that matches an error determines the status
    FeedbackLogFull: 507,
    FeedbackLogUnwritable: 507,
    FeedbackLocked: 503,
    InputError: 422,
    NothingToServe: 503,
    DataError: 503,
    TrackingError: 503,
    ParamsError: 404,  # an unknown name in the path
}
# The folders of an absolute path, up to the next punctuation mark, because names may contain spaces; not those of a URL
FOLDERS = re.compile(r"(?:\b(?:file|sqlite):/+|(?<![\w:/.~<\]])/)[^:;,'\"()]*/")
log = logging.getLogger(__name__)


class ErrorResponse(Exception):
    """An error response, raised or, by the HTTP parser, returned in place of a request. headers: additional ones."""

    def __init__(
        self, status: int, error: str, field: str | None = None, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.status, self.error, self.field, self.headers = status, error, field, headers
        super().__init__(error)

    @property
    def body(self) -> bytes:
        """The response body, as JSON."""
        return problem(self.error, self.field)


def problem(error: str, field: str | None = None) -> bytes:
    """A problem as JSON; see `schemas.Problem`."""
    return bytes(pydantic_core.to_json({"error": error, "field": field}))


def without_folders(message: str) -> str:
    """A message for clients, who must learn nothing about the machine: only the last part of each absolute path.

    >>> without_folders("/srv/ann lee/mlruns/notes/weights.npz: has changed; see docs/serving.md")
    'weights.npz: has changed; see docs/serving.md'
    """
    return FOLDERS.sub("", message)


def error_response(error: FeedforwardError) -> ErrorResponse:
    """The error response for an error that the client or the operator can fix; status 500 if STATUS has none for it."""
    field = error.field if isinstance(error, InputError) else None
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    message = str(error).splitlines()[0]
    public = message if isinstance(error, InputError) else without_folders(message)  # a field may be a client's text
    if public != message:
        log.warning("%s", message)
    return ErrorResponse(status, public, field)
