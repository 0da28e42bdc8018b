"""Each message is one line, even if a name in it contains line breaks; only lists and tables have more lines."""

import pickle

import pytest

from feedforward.core import errors
from feedforward.core.errors import DataError, FeedforwardError, InputError, ParamsError, ValidationFailed


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is: größe, 5 %", "as it is: größe, 5 %"),
        ("two\n  lines\r\nand more\u2028", "two lines and more"),
        ("\x1b[31mred\x00", r"\x1b[31mred\x00"),
        ("\u202eback \udcff", r"\u202eback \udcff"),
        ("", ""),
    ],
)
def test_text_is_joined_into_one_printable_line(text: str, line: str) -> None:
    assert errors.one_line(text) == line
    assert errors.one_line(line) == line
    assert errors.one_line(text).isprintable()


@pytest.mark.parametrize(
    "error",
    [
        DataError("a column is odd"),
        FeedforwardError("first line", "second line"),
        ParamsError(["seeds: odd", "pack_units: odd"]),
        InputError("text", "is empty"),
        ValidationFailed("texts: failed\n  table"),
    ],
)
def test_errors_from_other_processes_keep_message_and_attributes(error: FeedforwardError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_every_error_is_one_line_except_lists_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: Exception) -> None:
        raise error

    for error, code, message in (
        (DataError("column 'a\nb': odd\n"), 1, "column 'a b': odd"),
        (InputError("a\nb", "must be c\x07"), 2, r"a b: must be c\x07"),
        (ParamsError(["one\nproblem", "another"]), 2, "one problem\nanother"),
        (ValidationFailed("two\na  b\n1  2"), 1, "two\na  b\n1  2"),
        (OSError(28, "No space left on device", "a\nb"), 1, "a b: No space left on device; fix it, then run again"),
    ):
        assert errors.run_reporting_errors(lambda error=error: fail(error)) == code  # type: ignore[misc]
        assert capsys.readouterr().err == f"{message}\n"
