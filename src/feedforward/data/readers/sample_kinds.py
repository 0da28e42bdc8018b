"""Name the kind of JSON value that a user sent, for messages."""

from typing import Any


def kind_of(value: Any) -> str:
    """The kind of a JSON value, such as "a text"; of other values the type, because Python scripts can send any.

    >>> kind_of(1.5), kind_of(set())
    ('a number', 'a value of type set')
    """
    names = {"str": "a text", "list": "a list", "dict": "an object", "NoneType": "null", "bool": "true or false"}
    name = type(value).__name__
    return names.get(name) or ("a number" if isinstance(value, int | float) else f"a value of type {name}")
