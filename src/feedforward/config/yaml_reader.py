"""A YAML file as plain values, within bounds: no text can make reading it take long, deep or for ever."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent
from ruamel.yaml.parser import Parser

from feedforward.core.errors import ParamsError
from feedforward.core.redaction import shown

MAX_BYTES = 2**18  # thirty times a params.yaml of two data sets; a second of reading
MAX_VALUES = 20_000  # what an alias stands for is counted each time
MAX_DEPTH = 20
MAX_CHARACTERS = 2000  # of one key or value


def read(path: Path) -> dict[Any, Any]:
    """The keys and values of a YAML 1.2 file, as DVC reads it; lists become tuples.

    Raises:
        ParamsError: it cannot be read, is not valid, or is larger or deeper than any params.yaml.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _Unbounded(f"must have at most {MAX_BYTES} bytes")
        yaml = YAML(typ="safe", pure=True)
        yaml.Parser = _Bounded
        values = frozen(yaml.load(content.decode("utf-8")))
    except _Unbounded as error:
        raise ParamsError([f"{path.name}: {error}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError([f"{path.name}: cannot be read: {error}"]) from None
    except Exception as error:  # besides its own errors, the parser passes on whatever a bad number or date raises
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines() or [type(error).__name__]
        raise ParamsError([f"{path.name}:{where} is not valid YAML: {shown(what[0])}"]) from None
    if not isinstance(values, dict):
        raise ParamsError([f"{path.name}: must hold keys and values, got {type(values).__name__}"])
    return values


def frozen(value: Any) -> Any:
    """The same with tuples for lists."""
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    return value


class _Unbounded(YAMLError):
    """More than the bounds allow."""


class _Bounded(Parser):
    """The parser, which stops where the values so far are too many or too deep.

    An alias is written in two letters and stands for a whole branch, also for one that holds aliases itself.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._open: list[tuple[str | None, int]] = []  # anchor, and how many values there were before
        self._sizes: dict[str, int] = {}  # by anchor, of what is closed
        self._values = 0

    def get_event(self) -> Event:
        """The next event."""
        event: Event = super().get_event()
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, CollectionEndEvent):
            anchor, before = self._open.pop()
            if anchor:
                self._sizes[anchor] = self._values - before
        elif isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self._open):
                raise _Unbounded(f"{line}: *{shown(event.anchor)} stands for what holds it")
            self._values += self._sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionStartEvent):
            self._open.append((event.anchor, self._values))
            self._values += 1
        elif isinstance(event, ScalarEvent):
            self._values += 1
            if len(event.value) > MAX_CHARACTERS:
                raise _Unbounded(f"{line}: must have at most {MAX_CHARACTERS} characters, got {len(event.value)}")
        if self._values > MAX_VALUES or len(self._open) > MAX_DEPTH:
            raise _Unbounded(
                f"{line}: must hold at most {MAX_VALUES} values, {MAX_DEPTH} deep; an alias is all that it stands for"
            )
        return event
