"""JSON bodies are parsed once, with limits on the number of values; keys that occur twice are found."""

import tracemalloc
from collections.abc import Callable

import pydantic_core
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st

from feedforward.core.errors import InputError
from feedforward.data.readers import cells
from feedforward.serving import json_body

_parts = st.sampled_from(["a", r"\u0061", r"\"", r"\\", ":", "{", "}", ",", " ", "é"])
_strings = st.lists(_parts, max_size=2).map(lambda parts: f'"{"".join(parts)}"')
_spaces = st.sampled_from(["", " ", "\n\t"])


def _joined(parts: list[str], brackets: str) -> str:
    return brackets[0] + ",".join(parts) + brackets[1]


_texts = st.recursive(
    _strings | st.sampled_from(["1", "-0.5e3", "null", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: _joined(parts, "[]"))
        | st.lists(st.builds("{}{}:{}{}".format, _strings, _spaces, _spaces, inner), max_size=3).map(
            lambda parts: _joined(parts, "{}")
        )
    ),
    max_leaves=8,
)


@examples(200)
@given(_texts)
def test_a_key_that_occurs_twice_is_found_in_any_spelling(text: str) -> None:
    try:
        expected = cells.parse_json(text)
    except cells.RepeatedKey:
        with pytest.raises(InputError, match="occurs twice in an object"):
            json_body.parse(text.encode())
    else:
        assert json_body.parse(text.encode()) == expected


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"[" + b"," * 2**20 + b",]", "1048576 commas"),
        (b'["' + rb"\"" * 2**20 + b'"]', "1048576 quotation marks"),
        (b'["' + b":" * 2**18 + b':"]', "262144 colons"),
        (b"[" * 2**15 + b"{" * 2**15 + b"[", "65536 opening brackets and braces"),
    ],
    ids=["commas", "quotation marks", "colons", "brackets"],
)
def test_bodies_with_too_many_values_are_refused_before_they_are_parsed(body: bytes, name: str) -> None:
    with pytest.raises(InputError, match=f"body: must have at most {name}"):
        json_body.parse(body)


def _peak(work: Callable[[], object]) -> int:
    """The memory that the work allocates, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_body_is_parsed_only_once() -> None:
    body = b'{"explain": false, "samples": [[[' + b",".join([b"0.5"] * 100_000) + b"]]]}"
    assert _peak(lambda: json_body.parse(body)) < 1.5 * _peak(lambda: pydantic_core.from_json(body))
