"""Failures that a user can fix.

Each line of a message says what went wrong and where, what was expected, what was found, and how to fix it.
"""

import sys
from collections.abc import Callable
from typing import Any

from feedforward.core import environment, logs


class FeedforwardError(Exception):
    """A failure whose message has one line per argument; the command line prints it and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(one_line, lines)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the finished message, because the __init__ of a subclass may take other arguments."""
        return _restore, (type(self), self.args, vars(self))


def _restore(cls: type[FeedforwardError], args: tuple[Any, ...], state: dict[str, Any]) -> FeedforwardError:
    error = cls.__new__(cls, *args)
    vars(error).update(state)
    return error


class ParamsError(FeedforwardError):
    """Invalid parameters or arguments; the message has one line per mistake."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = [one_line(problem) for problem in problems]
        super().__init__(*problems)


class InputError(FeedforwardError):
    """A sample or option in a prediction request is invalid; `field` says which one."""

    exit_code = 2

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, one_line(problem)
        super().__init__(f"{field}: {problem}")


class SourceError(FeedforwardError):
    """No source provides a file with the expected content."""


class DataError(FeedforwardError):
    """Data are damaged, incomplete, or not what params.yaml describes."""


class ValidationFailed(FeedforwardError):
    """The data do not meet the expectations in params.yaml; the message may contain a table."""

    def __init__(self, message: str) -> None:
        super().__init__(*message.split("\n"))


class TrainingError(FeedforwardError):
    """Runs could not be trained, for instance because a loss is not finite."""


class TrackingError(FeedforwardError):
    """The tracking store or registry does not respond, or rejects a request."""


class NothingToServe(FeedforwardError):
    """There is no champion that could make predictions."""

    exit_code = 3


class Busy(FeedforwardError):
    """Another job is running in this checkout, all GPUs are in use, or another process holds a lock for too long."""

    exit_code = 75


def one_line(text: str) -> str:
    """Put `text` on one line and escape unprintable characters.

    Column names, file names, and library messages that mention such names may contain any character.

    >>> one_line("two\\nlines")
    'two lines'
    """
    joined = " ".join(line.strip() for line in text.splitlines())
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in joined)


def os_error_line(error: OSError) -> str:
    """One line for an operating system error, such as a full disk or missing permissions."""
    path = f"{error.filename}: " if error.filename else ""
    problem = error.strerror or f"{error} (is the disk full?)"  # NumPy reports only the number of bytes written
    return one_line(f"{path}{problem}; fix it, then run again")


def run_reporting_errors(work: Callable[[], int | None], title: str = "") -> int:
    """Set up logging and the environment, and run `work`, the body of a stage or child process; return the exit code.

    A failure that a user can fix is printed after the `title`, if given, without a traceback.
    """
    logs.configure()
    environment.prepare()
    try:
        return work() or 0
    except FeedforwardError as error:
        line, code = str(error), error.exit_code
    except OSError as error:
        line, code = os_error_line(error), FeedforwardError.exit_code
    print(f"{title}: {line}" if title else line, file=sys.stderr)
    return code
