"""Name the kind of JSON value that a user sent, for messages."""

from typing import Any


def kind_of(value: Any) -> str:
    """The kind of a JSON value, such as "a text"."""
    names = {"str": "a text", "list": "a list", "dict": "an object", "NoneType": "null", "bool": "true or false"}
    return names.get(type(value).__name__, "a number")
