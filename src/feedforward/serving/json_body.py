"""Parse the JSON of a request body. No other thread runs during a single call into C, so each one must be short.

Therefore, the number of values is limited before the body is parsed, the body is parsed only once, and repeated keys,
which the parser ignores, are found by a loop in Python, during which other threads can run.
"""

from typing import Any

import pydantic_core

from feedforward.core.errors import InputError
from feedforward.data.readers import cells

COUNT_LIMITS = (  # 1,000 images of 28 × 28 pixels have about 784,000 commas and 29,000 opening brackets
    (2**20, "commas", (b",",)),
    (2**20, "quotation marks", (b'"',)),
    (2**18, "colons", (b":",)),
    (2**16, "opening brackets and braces", (b"[", b"{")),
)
# In place of escapes in strings; not permitted in JSON
BACKSLASH, QUOTATION_MARK = b"\0", b"\1"
NOT_BRACES = bytes(set(range(256)) - set(b"{}"))


def parse(body: bytes) -> Any:
    """The value of a JSON text, parsed in time linear in its size.

    Raises:
        InputError: the body is not JSON, or has too many values, or an object has a key twice, so that one of the
            values would be ignored.
    """
    for limit, name, characters in COUNT_LIMITS:
        if sum(map(body.count, characters)) > limit:
            raise InputError("body", f"must have at most {limit} {name}")
    try:
        value = pydantic_core.from_json(body, cache_strings="none")  # a cache would take more time than it saves
        if body.count(b":") > 1:  # otherwise no key can occur twice
            _check_keys(body)
    except cells.RepeatedKey as error:
        raise InputError("body", str(error)) from None
    except ValueError as error:
        raise InputError("body", f"must be JSON: {error}") from None
    return value


def _check_keys(body: bytes) -> None:
    """Find repeated keys in valid JSON.

    Raises:
        RepeatedKey: an object has a key twice.
    """
    # from now on, each quotation mark starts or ends a string
    parts = body.replace(rb"\\", BACKSLASH).replace(rb"\"", QUOTATION_MARK).split(b'"')
    objects: list[set[str]] = []  # the keys of each object that has not ended
    for before, string, after in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
        for brace in before.translate(None, NOT_BRACES):
            if brace == ord("{"):
                objects.append(set())
            else:
                objects.pop()
        if after.lstrip().startswith(b":"):
            escaped = string.replace(BACKSLASH, rb"\\").replace(QUOTATION_MARK, rb"\"")
            key = pydantic_core.from_json(b'"%b"' % escaped)
            if key in objects[-1]:
                raise cells.RepeatedKey(key)
            objects[-1].add(key)
