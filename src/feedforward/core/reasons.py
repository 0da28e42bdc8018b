"""Reasons that users give for decisions, in the form in which they are stored."""

from feedforward.core.errors import ParamsError
from feedforward.core.redaction import redact

MAX_CHARACTERS = 1000


def clean(reason: str) -> str:
    """The reason on one line, without secrets.

    Raises:
        ParamsError: it has more than MAX_CHARACTERS characters, or is not valid Unicode.
    """
    text = redact(" ".join(reason.split()))
    if any("\ud800" <= character <= "\udfff" for character in text):  # how Python decodes bytes that are not UTF-8
        raise ParamsError(["--reason: must be valid UTF-8"])
    if len(text) > MAX_CHARACTERS:
        raise ParamsError([f"--reason: must have at most {MAX_CHARACTERS} characters, got {len(text)}"])
    return text
