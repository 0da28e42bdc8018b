"""The keys of params.yaml that dvc.yaml lists. DVC does not know their default values, so they must be in the file."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader
from feedforward.config.schema import load_params
from feedforward.core.errors import ParamsError

ITEM = re.compile(r"\$\{(.+?)\}")  # such as ${item}, where dvc.yaml inserts an item of a stage's matrix


def check(root: Path) -> None:
    """If a workspace has a dvc.yaml, check that its params.yaml has all keys that dvc.yaml lists.

    Raises:
        ParamsError: a key is missing, or one of the files is invalid.
    """
    if not (root / "dvc.yaml").exists():
        return
    stages = (yaml_reader.read(root / "dvc.yaml").get("stages") or {}).values()
    if not any({"matrix", "params"} & stage.keys() for stage in stages):
        return
    values = yaml_reader.read(root / "params.yaml")
    missing = [key for key in dict.fromkeys(_listed(stages, values)) if not _has(values, key)]
    if missing:
        defaults = load_params(root / "params.yaml").model_dump(mode="json")
        raise ParamsError([f"{key}: is missing, but dvc.yaml lists it; {_advice(key, defaults)}" for key in missing])


def _listed(stages: Iterable[Mapping[Any, Any]], values: Mapping[Any, Any]) -> Iterator[str]:
    """The keys in `matrix` and `params` of each stage, with the items of the matrix filled in."""
    for stage in stages:
        items = {f"item.{name}": ITEM.sub(r"\1", str(key)) for name, key in (stage.get("matrix") or {}).items()}
        yield from items.values()
        for parameter in stage.get("params") or ():
            name = next(iter(ITEM.findall(str(parameter))), None)
            choices = find(values, items[name]) if name in items else [""]
            yield from (with_item(parameter, choice) for choice in choices or ())


def with_item(text: Any, item: Any) -> str:
    """An entry of dvc.yaml with the item of the stage's matrix filled in."""
    return ITEM.sub(lambda _: str(item), str(text))


def find(values: Any, key: str) -> Any:
    """The value at a key such as `a.b.c`; None if there is none."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _has(values: Any, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    holder = find(values, parent) if parent else values
    return isinstance(holder, Mapping) and name in holder


def _advice(key: str, defaults: Mapping[str, Any]) -> str:
    parent, _, name = key.rpartition(".")
    default = json.dumps(find(defaults, key), ensure_ascii=False)
    return f"add its default value, `{name}: {default}`" + (f", under `{parent}`" if parent else "")
