"""Renamed keys and values in params.yaml are rejected, and the message gives the new name."""

from pathlib import Path
from typing import Any

import pytest

from feedforward.config import renamed_keys, yaml_reader
from feedforward.config.schema import check
from feedforward.core.errors import ParamsError

VALUES = yaml_reader.read(Path(__file__).resolve().parents[3] / "params.yaml")
UNSET_KEYS = {"minimum_r2": 0.0, "demo": False}  # keys that params.yaml does not set, with valid values


@pytest.mark.parametrize(("pattern", "new"), renamed_keys.RENAMED_KEYS.items())
def test_message_for_a_renamed_key_gives_the_new_name(pattern: str, new: str) -> None:
    *path, old = pattern.replace("datasets.*", "datasets.imdb").split(".")
    path = ["aclImdb_v1.tar.gz" if part == "*" else part for part in path]
    values: Any = _copy(VALUES)
    parent = values
    for part in path:
        parent = parent[part]
    parent[old] = parent.pop(new, UNSET_KEYS.get(new))
    dotted = ".".join(path)
    with pytest.raises(ParamsError) as caught:
        check(values, "params.yaml")
    assert caught.value.problems == [f"params.yaml: {dotted}.{old}: was renamed; write {dotted}.{new}"]


def test_message_for_a_renamed_value_gives_the_new_name() -> None:
    values = _copy(VALUES)
    values["datasets"]["imdb"]["reader"]["kind"] = "labelled_text"
    with pytest.raises(ParamsError) as caught:
        check(values, "params.yaml")
    expected = "params.yaml: datasets.imdb.reader.kind: `labelled_text` was renamed; write `labeled_text`"
    assert caught.value.problems == [expected]


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value
