"""Build an entry of params.yaml, with settings that fit the size of the data, and write it into the file."""

import re
import stat
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from feedforward.config.schema import Params, check
from feedforward.core import atomic_files, processes
from feedforward.core.errors import InputError, ParamsError, one_line
from feedforward.data.config_inference.column_roles import Column
from feedforward.data.sources import archives

FLOW_WIDTH = 90  # maximum characters of a mapping that is written on one line
UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)  # read as text without quotes by every YAML parser
RESERVED_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity"}


@dataclass(frozen=True)
class Guess:
    """An entry for `datasets` in params.yaml. reasons: a line per decision. columns: the table's columns, if any."""

    entry: dict[str, Any]
    reasons: list[str]
    columns: list[Column] = field(default_factory=list)


def check_names(files: Iterable[Path]) -> None:
    """Check that files and the folders that contain them have names that can be stored.

    Raises:
        InputError: a name cannot be stored.
    """
    for file in files:
        if problem := archives.name_problem(str(file)):
            raise InputError(ascii(str(file))[1:-1], f"{problem}; rename it, then run init again")


def name_of(path: Path) -> str:
    """A dataset name for params.yaml, made from the name of the file or folder."""
    plain = re.sub(r"[^a-z0-9_]+", "_", path.name.split(".")[0].lower()).strip("_")
    return (plain if plain[:1].isalpha() else f"data_{plain}")[:60].rstrip("_")


def dense_network(units: int, scale: int) -> dict[str, Any]:
    """Network settings for dense features that are divided by `scale`."""
    return {"sizes": {"base": [units], "small": [max(4, units // 4)], "large": [4 * units]}, "scale": scale}


def text_network() -> dict[str, Any]:
    """Network settings for multi-hot words."""
    return {"sizes": {"base": [16, 16], "small": [4, 4], "large": [128, 128]}}


def complete_guess(
    path: Path,
    task: str,
    labels: Sequence[str],
    files: Mapping[str, Any],
    reader: Mapping[str, Any],
    sample_count: int,
    reasons: Sequence[str],
    network: Mapping[str, Any],
    columns: Sequence[Column] = (),
) -> Guess:
    """Build the whole entry from what was inferred. sample_count: the approximate number of training samples."""
    held_out = max(1, sample_count // 5)
    # a small dataset needs more epochs for the same number of steps; early stopping may end training sooner
    epochs = int(np.clip(200_000 // max(1, sample_count), 10, 100))
    training: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": 32 if sample_count < 5000 else 128,
        "early_stopping": {"patience": max(5, epochs // 10)},
        "validation": {"take": "last", "samples": held_out},
        "final": {"variant": "original", "epochs": max(5, epochs // 3)},
    }
    entry = {
        "title": one_line(path.name.split(".")[0]),
        "task": task,
        "labels": distinct_lines(labels),
        "files": dict(files),
        "reader": dict(reader),
        "expectations": None,
        "network": dict(network),
        "training": training,
    }
    lines = [
        *reasons,
        f"{held_out} of about {sample_count} training samples are for validation; at most {epochs} epochs",
    ]
    lines.append("expectations (null) are derived from the training split; see the validation report")
    return Guess(entry, [one_line(line) for line in lines], list(columns))


def distinct_lines(labels: Sequence[str]) -> list[str]:
    """Labels for display: each on one line, all different."""
    shown: list[str] = []
    for label in labels:
        line = one_line(label) or "(blank)"
        while line in shown:
            line += "'"
        shown.append(line)
    return shown


def write(entry: Mapping[str, Any], name: str, file: Path) -> Params:
    """Add the entry to params.yaml without changing any other line; return the new params.

    Raises:
        InputError: the dataset exists already, or the file cannot be extended.
        ParamsError: the entry contradicts the rest of the file.
    """
    with processes.locked_folder(file.parent):
        return _write(entry, name, file)


def _write(entry: Mapping[str, Any], name: str, file: Path) -> Params:
    from ruamel.yaml import YAML

    from feedforward.config import yaml_reader

    values = yaml_reader.read(file)
    if name in (values.get("datasets") or {}):
        raise InputError(name, f"already exists in {file.name}; choose another --name, or remove the entry")
    if variants := values.get("variants"):
        entry = _with_final(entry, str(next(iter(variants))))  # the first variant in params.yaml
        entry = _with_sizes(entry, variants.values(), (values.get("datasets") or {}).values())
    extended = {**values, "datasets": {**(values.get("datasets") or {}), name: entry}}
    params = check(yaml_reader.freeze(extended), file.name)
    yaml, text = YAML(), StringIO()
    yaml.width = 120
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({"datasets": {_quote(name): _to_flow_style(entry)}}, text)
    joined = _insert(file.read_bytes().decode(), text.getvalue())
    _check_parsers(joined, params, file)
    _check_limits(joined, file)
    target = file.resolve()  # if `file` is a link, it remains one
    mode = target.stat().st_mode
    atomic_files.write_text(target, joined, "init")
    target.chmod(stat.S_IMODE(mode))
    return params


def _with_final(entry: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """The entry with `variant` as its final model."""
    training = entry["training"]
    return {**entry, "training": {**training, "final": {**training["final"], "variant": variant}}}


def _with_sizes(entry: Mapping[str, Any], variants: Iterable[Any], datasets: Iterable[Any]) -> Mapping[str, Any]:
    """The entry with all sizes that variants name; one that it lacks is taken from the first dataset that has it."""
    network = entry["network"]
    networks = [dataset.get("network") or {} for dataset in datasets if isinstance(dataset, Mapping)]
    known = [other.get("sizes") or {} for other in networks if isinstance(other, Mapping)]
    named = dict.fromkeys(variant["size"] for variant in variants if isinstance(variant, Mapping) and "size" in variant)
    complete = dict(network["sizes"])
    for sizes in known:
        for size in named:
            if size in sizes:
                complete.setdefault(size, sizes[size])
    return {**entry, "network": {**network, "sizes": complete}}


def _check_parsers(text: str, params: Params, file: Path) -> None:
    """Check that both libyaml, which DVC uses, and ruamel's own parser, which this package uses, read these params.

    Raises:
        InputError: a parser reads other values, or cannot read the text.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from feedforward.config import yaml_reader

    try:
        parsed = [YAML(typ="safe", pure=pure).load(text) for pure in (False, True)]
        if any(check(yaml_reader.freeze(values), file.name) != params for values in parsed):
            raise ValueError("not every YAML parser would read the intended values")
    except (YAMLError, ValueError) as error:
        reason = one_line(str(error).splitlines()[0])
        raise InputError(str(file), f"the entry cannot be added ({reason}); add it by hand") from None


def _check_limits(text: str, file: Path) -> None:
    """Check that the new file is within the limits on its size and on each name, so that other commands can read it.

    Raises:
        InputError: it exceeds a limit.
    """
    from feedforward.config import yaml_reader

    try:
        yaml_reader.parse(text.encode(), file.name)
    except ParamsError as error:
        reason = str(error).removeprefix(f"{file.name}: ")
        raise InputError(
            str(file), f"the entry would be too large ({reason}); in the data, shorten long names or leave columns out"
        ) from None


def _insert(text: str, block: str) -> str:
    """Insert `block` (`datasets:` and one entry, indented by two) into the datasets of params.yaml.

    The other lines stay as they are. New lines end like them, with a carriage return if a Windows editor wrote them.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = list(StringIO(text, newline=""))  # each with its end
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += newline
    key_lines = [number for number, line in enumerate(lines) if re.match(r"[^\s#]", line)]
    start = next((number for number in key_lines if lines[number].startswith("datasets:")), None)
    if start is None or not re.fullmatch(r"datasets:\s*(#.*)?", lines[start].strip()):  # missing, or `datasets: {}`
        return "".join(line for number, line in enumerate(lines) if number != start) + block.replace("\n", newline)
    end = next((number for number in key_lines if number > start), len(lines))
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):  # comments above the next key belong to it
        end -= 1
    first_line = next((line for line in lines[start + 1 : end] if re.match(r"\s*[^\s#]", line)), "")
    indentation = first_line[: len(first_line) - len(first_line.lstrip())] or "  "
    entry = textwrap.indent(textwrap.dedent(block.partition("\n")[2]), indentation)
    return "".join([*lines[:end], entry.replace("\n", newline), *lines[end:]])


def _quote(text: str) -> str:
    """Quote a string if needed, so that every YAML parser reads it back unchanged."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    is_plain = UNQUOTED.fullmatch(text) and text.lower() not in RESERVED_WORDS
    return text if is_plain else DoubleQuotedScalarString(text)


def _to_flow_style(value: Any) -> Any:
    """Put lists and innermost mappings on one line each, as in params.yaml, and quote strings where needed."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([_to_flow_style(item) for item in value])
        sequence.fa.set_flow_style()
        return sequence
    if not isinstance(value, Mapping):
        return value
    mapping = CommentedMap({_quote(key): _to_flow_style(item) for key, item in value.items()})
    is_innermost = not any(isinstance(item, Mapping) for item in value.values())
    if mapping and is_innermost and len(str(dict(value))) <= FLOW_WIDTH:
        mapping.fa.set_flow_style()
    return mapping
