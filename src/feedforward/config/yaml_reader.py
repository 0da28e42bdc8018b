"""Read a YAML file as plain values, with limits so that no content can exhaust time, memory or the stack."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent

from feedforward.core.errors import ParamsError
from feedforward.core.redaction import shown

MAX_BYTES = 2**18  # twenty times the size of a commented params.yaml with two datasets; read in one second
MAX_VALUES = 20_000  # with keys and collections; an alias counts as all values that it refers to
MAX_DEPTH = 20  # without the values that aliases refer to
MAX_CHARACTERS = 2000  # in one key or value


def read(path: Path) -> dict[Any, Any]:
    """The keys and values of a YAML 1.2 file (the version of YAML that DVC reads); lists become tuples.

    Raises:
        ParamsError: the file cannot be read, is not valid YAML, or exceeds a limit.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ParamsError([f"{path.name}: cannot be read: {error}"]) from None
    return parse(content, path.name)


def parse(content: bytes, name: str) -> dict[Any, Any]:
    """Like `read`, but for the content of a file; messages begin with `name`.

    Raises:
        ParamsError: the content is not valid YAML, or exceeds a limit.
    """
    try:
        if len(content) > MAX_BYTES:
            raise _TooLarge(f"must have at most {MAX_BYTES} bytes")
        text = content.decode("utf-8")
        _check_size(YAML(typ="safe").parse(text))
        values = freeze(YAML(typ="safe", pure=True).load(text))
    except _TooLarge as error:
        raise ParamsError([f"{name}: {error}"]) from None
    except UnicodeDecodeError as error:
        raise ParamsError([f"{name}: cannot be read: {error}"]) from None
    except Exception as error:  # invalid numbers and dates raise various errors
        mark = getattr(error, "problem_mark", None)
        position = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines() or [type(error).__name__]
        raise ParamsError([f"{name}:{position} is not valid YAML: {shown(problem[0])}"]) from None
    if not isinstance(values, dict):
        received = "nothing" if values is None else "a list" if isinstance(values, tuple) else "a single value"
        raise ParamsError([f"{name}: must hold keys and values, got {received}"])
    return values


def freeze(value: Any) -> Any:
    """The same value with tuples instead of lists.

    >>> freeze({"labels": ["negative", "positive"]})
    {'labels': ('negative', 'positive')}
    """
    if isinstance(value, dict):
        return {key: freeze(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(freeze(item) for item in value)
    return value


class _TooLarge(Exception):
    """The file exceeds a limit, or a value contains itself."""


def _check_size(events: Iterable[Event]) -> None:
    """Check that there are not too many values, and that they are neither too deeply nested nor too long.

    An alias takes only two characters but refers to a whole branch, which may itself contain aliases.

    Raises:
        _TooLarge: as soon as a limit is exceeded; the message gives the line.
    """
    branches: list[tuple[str | None, int]] = []  # open collections: (anchor, number of values before the collection)
    sizes: dict[str, int] = {}  # anchor → number of values in the collection that it names
    values = 0
    for event in events:
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, CollectionEndEvent):
            anchor, values_before = branches.pop()
            if anchor:
                sizes[anchor] = values - values_before
        elif isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in branches):
                raise _TooLarge(f"{line}: *{shown(event.anchor)} refers to a value that contains it")
            values += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionStartEvent):
            branches.append((event.anchor, values))
            values += 1
        elif isinstance(event, ScalarEvent):
            values += 1
            if len(event.value) > MAX_CHARACTERS:
                expected = f"a key or value must have at most {MAX_CHARACTERS} characters"
                raise _TooLarge(f"{line}: {expected}, got {len(event.value)}")
        if len(branches) > MAX_DEPTH:
            raise _TooLarge(f"{line}: values must be nested at most {MAX_DEPTH} deep")
        if values > MAX_VALUES:
            raise _TooLarge(
                f"{line}: there must be at most {MAX_VALUES} keys and values; an alias counts as all its values"
            )
