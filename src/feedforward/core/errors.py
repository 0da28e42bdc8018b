"""Failures that a user can fix; each message is one line: what, where, expected, received, remedy."""

import sys
from collections.abc import Callable

from feedforward.core import environment, logs


class FeedforwardError(Exception):
    """A failure with a message of one line per argument; the command line prints it and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(one_line, lines)))


class ParamsError(FeedforwardError):
    """Invalid parameters or arguments; `problems` lists all mistakes, one line each."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = [one_line(problem) for problem in problems]
        super().__init__(*problems)


class InputError(FeedforwardError):
    """A sample or an option of a prediction is invalid; `field` names which."""

    exit_code = 2

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, one_line(problem)
        super().__init__(f"{field}: {problem}")


class SourceError(FeedforwardError):
    """No source has the file, or none has the expected content."""


class DataError(FeedforwardError):
    """Data are damaged, incomplete, or not as params.yaml describes them."""


class ValidationFailed(FeedforwardError):
    """The data do not meet the expectations of params.yaml; the message may hold a table."""

    def __init__(self, message: str) -> None:
        super().__init__(*message.split("\n"))


class TrainingError(FeedforwardError):
    """Training cannot continue: the loss is not finite, or the inputs do not match."""


class TrackingError(FeedforwardError):
    """The tracking store or registry does not answer, or refuses a request."""


class NothingToServe(FeedforwardError):
    """There is no champion to predict with."""

    exit_code = 3


class Busy(FeedforwardError):
    """Another job is running in this checkout."""

    exit_code = 75


def one_line(text: str) -> str:
    """`text` on one line, with escapes for characters that cannot be printed.

    Names of columns and files, and messages of libraries about them, may contain anything.

    >>> one_line("two\\nlines")
    'two lines'
    """
    joined = " ".join(line.strip() for line in text.splitlines())
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in joined)


def of_system(error: OSError) -> str:
    """One line for an error of the system, such as a full disk or missing permissions."""
    path = f"{error.filename}: " if error.filename else ""
    problem = error.strerror or f"{error} (is the disk full?)"  # NumPy reports only the number of bytes written
    return one_line(f"{path}{problem}; fix it, then run again")


def reported(work: Callable[[], int | None], during: str = "") -> int:
    """Entry point of a stage or child process: set up logging and the environment, do `work`, return its exit code.

    A failure that a user can fix is printed as one line, after `during`.
    """
    logs.configure()
    environment.prepare()
    try:
        return work() or 0
    except FeedforwardError as error:
        line, code = str(error), error.exit_code
    except OSError as error:
        line, code = of_system(error), FeedforwardError.exit_code
    print(f"{during}: {line}" if during else line, file=sys.stderr)
    return code
