"""Every command that a message recommends exists, and accepts the recommended arguments."""

import ast
import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dvc.cli
import pytest
import typer
from ruamel.yaml import YAML

from feedforward.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = "feedforward|dvc|make|prefect|mlflow|python"
COMMAND = re.compile(rf"`(?:[A-Z\d_]+=\S+ )?((?:{PROGRAMS}) [^`]+)`")
PLACEHOLDER = "1"  # stands for a value that a message inserts, such as a name or a version number


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each string in a module, except docstrings; values in f-strings become PLACEHOLDER."""
    nodes = list(ast.walk(tree))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    left_out = docstrings | parts
    for node in nodes:
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@functools.cache
def messages() -> list[tuple[str, str]]:
    """Return all strings in the code of the product, each with its FILE:LINE."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").glob("*.py")]
    return [
        (f"{path.relative_to(ROOT)}:{line}", text)
        for path in sorted(sources)
        for line, text in strings(ast.parse(path.read_text(encoding="utf-8")))
    ]


REMEDIES = sorted({command for _, text in messages() for command in COMMAND.findall(text)})


@functools.cache
def stages_and_outputs() -> set[str]:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    listed = (output for stage in stages.values() for output in stage.get("outs", ()))
    outputs = (output if isinstance(output, str) else next(iter(output)) for output in listed)
    return {*stages, *(path.replace("${item.dataset}", PLACEHOLDER) for path in outputs)}


@functools.cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def check_command(command: str) -> None:
    """Parse a command as its program does, without running it.

    Raises:
        AssertionError or a usage error from Typer: there is no such command, option, stage or target.
    """
    program, *arguments = shlex.split(command)
    if program == "feedforward":
        group = typer.main.get_command(app)
        name, *options = arguments
        with group.make_context(program, arguments, resilient_parsing=True) as context:
            subcommand = group.get_command(context, name)  # type: ignore[attr-defined]
            assert subcommand is not None, f"no command {name}"
            subcommand.make_context(name, options, parent=context)
    elif program == "dvc":
        named = getattr(dvc.cli.parse_args(arguments), "targets", [])
        assert set(named) <= {*stages_and_outputs(), PLACEHOLDER}, named
    elif program == "make":
        assert set(arguments) <= targets(), arguments
    elif program == "python":
        assert arguments[0] == "-m", arguments
        assert importlib.util.find_spec(arguments[1]) is not None, arguments
    else:  # prefect and mlflow: call their --help
        subprocess.run([sys.executable, "-m", program, *arguments[:2], "--help"], check=True, capture_output=True)


@pytest.mark.parametrize("command", REMEDIES)
def test_every_command_in_a_message_exists(command: str) -> None:
    check_command(command)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("feedforward fix imdb", "no command fix"),
        ("feedforward fetch --all", "No such option: --all"),
        ("feedforward promote", "Missing parameter: dataset"),
        ("dvc repro words", "words"),
        ("make it", "it"),
    ],
)
def test_check_detects_a_command_that_does_not_exist(command: str, problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        check_command(command)


def test_commands_in_messages_are_in_backticks() -> None:
    """Other commands would not be checked above. Exceptions are the names of jobs and the examples in `--help`."""
    names = "|".join(command.name or "" for command in typer.main.get_command(app).commands.values())  # type: ignore[attr-defined]
    unquoted_command = re.compile(rf"(?:\bfeedforward (?:{names})|\bdvc repro)\b")
    unquoted = [
        (line, text)
        for line, text in messages()
        if unquoted_command.search(COMMAND.sub("", text))
        and not text.startswith(("feedforward ", "Example"))
        and text != "dvc repro"
    ]
    assert not unquoted
