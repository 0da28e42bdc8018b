"""Reasons that users give for decisions, in the form in which they are stored."""

from feedforward.core.errors import ParamsError
from feedforward.core.redaction import redact

MAX_CHARACTERS = 1000


def clean(reason: str, option: str = "--reason", required: bool = False) -> str:
    """The reason on one line, without secrets.

    option: the command-line option with which it is given, for messages. required: whether an empty text is an error.

    Raises:
        ParamsError: it has more than MAX_CHARACTERS characters, is not valid Unicode, or is empty although required.
    """
    text = redact(" ".join(reason.split()))
    if required and not text:
        raise ParamsError([f"{option}: must give a reason, got an empty text"])
    if any("\ud800" <= character <= "\udfff" for character in text):  # how Python decodes bytes that are not UTF-8
        raise ParamsError([f"{option}: must be valid UTF-8"])
    if len(text) > MAX_CHARACTERS:
        raise ParamsError([f"{option}: must have at most {MAX_CHARACTERS} characters, got {len(text)}"])
    return text
