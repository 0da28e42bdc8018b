"""docs/reference.md: `python -m feedforward.cli.reference` rewrites the sections that are generated from the code.

It also writes docs/api.md.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer.main

from feedforward.cli import api_reference, app
from feedforward.config.fields import Strict
from feedforward.config.schema import Params
from feedforward.core import errors
from pipelines import interruption

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference.md"
MAPPINGS = {"datasets": "NAME", "variants": "NAME", "files": "FILE", "sizes": "SIZE"}  # keys that the user chooses


def main() -> None:
    """Rewrite the generated sections of docs/reference.md, and docs/api.md."""
    api_reference.PAGE.write_text(api_reference.page(), encoding="utf-8")
    PAGE.write_text(regenerate(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def regenerate(page: str) -> str:
    """Return the page with new content between each `<!-- NAME -->` and its `<!-- end -->`."""
    sections = {"params": params_table, "commands": commands, "exit codes": exit_codes_table, "routes": routes_table}
    for name, section in sections.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, remainder = page.partition(start)
        page = f"{before}{start}\n{section()}\n\n{end}{remainder.partition(end)[2]}"
    return page


# --- params.yaml -----------------------------------------------------------------------------


def params_table() -> str:
    """A table with the name, default and meaning of each key of params.yaml."""
    rows = [(f"`{key}`", default, meaning) for key, default, meaning in keys()]
    return _table(("key", "default", "meaning"), rows)


def keys(model: type[Strict] = Params, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, default, meaning) for each key of a section and its subsections."""
    comments = _comments(model)
    for name, field in model.model_fields.items():
        key = prefix + name
        sections = list(_sections(field.annotation))
        default = "" if field.is_required() or sections else _default(field.get_default(call_default_factory=True))
        yield key, default, comments.get(name, "")
        path = f"{key}.{MAPPINGS[name]}" if name in MAPPINGS else f"{key}.N" if key.endswith("claims") else key
        seen: set[str] = set()
        for section in sections:  # a reader has several, one per kind
            for entry in keys(section, f"{path}."):
                if entry[0] not in seen:
                    seen.add(entry[0])
                    yield entry


def _sections(annotation: Any) -> Iterator[type[Strict]]:
    """The models in a type such as `dict[Name, Dataset]` or `Decay | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType, dict, tuple):
        for argument in get_args(annotation):
            yield from _sections(argument)


def _comments(model: type[Strict]) -> dict[str, str]:
    """Field → its comment in the source: at the end of one of the field's lines, or on the line above the field."""
    meanings: dict[str, str] = {}
    for parent in reversed([base for base in model.__mro__ if issubclass(base, Strict)]):
        lines = textwrap.dedent(inspect.getsource(parent)).splitlines()
        for node in ast.parse("\n".join(lines)).body[0].body:  # type: ignore[attr-defined]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                above = lines[node.lineno - 2].strip()
                trailing = [line.partition("  # ")[2] for line in lines[node.lineno - 1 : node.end_lineno]]
                comment = next(filter(None, trailing), above[2:] if above.startswith("# ") else "")
                meanings[node.target.id] = comment
    return meanings


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    words = {"None": "null", "": '""', "True": "true", "False": "false"}
    return f"`{words.get(str(value), value)}`"


# --- command line ----------------------------------------------------------------------------


def commands() -> str:
    """Each command with its arguments, options and examples."""
    group: Any = typer.main.get_command(app.app)
    parts = [_table(("option", "meaning"), [_option(option) for option in group.params])]
    for name, command in group.commands.items():
        text = " ".join((command.help or "").split())
        rows = [_option(option) for option in command.params]
        table = f"{_table(('argument or option', 'meaning'), rows)}\n\n" if rows else ""
        parts.append(f"### feedforward {name}\n\n{text}\n\n{table}{_examples(command.epilog or '')}")
    return "\n\n".join(part.strip() for part in parts)


def _option(option: Any) -> tuple[str, str]:
    is_argument = option.param_type_name == "argument"
    names = [(option.metavar or option.name.upper())] if is_argument else option.opts
    return ", ".join(f"`{name}`" for name in names), " ".join(f"{option.help or ''} {_stated_default(option)}".split())


def _stated_default(option: Any) -> str:
    """The default of an option, in words; empty for a flag, if the help text already states it, or if there is none."""
    if isinstance(option.default, bool) or option.default in (None, "") or getattr(option, "count", False):
        return ""
    return "" if "Default:" in (option.help or "") else f"Default: {option.default}."


def _examples(epilog: str) -> str:
    lines = [line.strip() for line in re.sub(r"^Examples?: ", "", epilog).split("·")]
    return "\n".join(["```", *lines, "```"]) if epilog else ""


# --- exit codes and routes -------------------------------------------------------------------


def exit_codes_table() -> str:
    """A table of the exit codes."""
    meanings = {0: "The command succeeded."}
    kinds: list[type[errors.FeedforwardError]] = [errors.FeedforwardError, *errors.FeedforwardError.__subclasses__()]
    for error in kinds:
        meanings.setdefault(error.exit_code, " ".join((error.__doc__ or "").split()))
    failure = "A stage or command failed; the message gives the reason and the remedy. For `diff`: the results differ."
    meanings[errors.FeedforwardError.exit_code] = failure
    meanings[errors.ParamsError.exit_code] += " For `diff`: the results could not be compared."
    interrupted = "The command was interrupted by Ctrl-C, SIGTERM or a cancellation in Prefect."
    meanings[interruption.EXIT_CODE] = f"{interrupted} `serve` ends with 0 instead once it is running."
    return _table(("code", "meaning"), [(str(code), meaning) for code, meaning in sorted(meanings.items())])


def routes_table() -> str:
    """A table with the method, path and meaning of each HTTP route of the service."""
    return _table(("method", "path", "meaning"), [(method, f"`{path}`", text) for method, path, text in routes()])


def routes() -> Iterator[tuple[str, str, str]]:
    """(method, path, docstring) of each route that the service declares."""
    tree = ast.parse((ROOT / "src/feedforward/serving/app.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else None
            if (
                isinstance(decorator, ast.Call)
                and isinstance(function, ast.Attribute)
                and function.attr in ("get", "post")
            ):
                meaning = (ast.get_docstring(node) or node.name).partition("\n")[0]
                yield function.attr.upper(), ast.literal_eval(decorator.args[0]), meaning


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


if __name__ == "__main__":
    main()
