"""The command that compares results: diff."""

import json
from typing import Annotated

import typer

from feedforward.cli.options import JsonOption
from feedforward.cli.output import print_table
from feedforward.core.errors import FeedforwardError, ParamsError, os_error_line

EXIT_DIFFERENT = 1  # as in diff(1); exit code 2 means that the two could not be compared
NAME_HELP = (
    "A run ID or a prefix of one, DATASET:VERSION, DATASET:champion, DATASET:challenger, a commit such as HEAD~1, or a"
    " DVC experiment. If a run and a commit start with the same characters: run:PREFIX or commit:PREFIX."
)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=NAME_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help="The result to compare A with, in the same notation.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two runs, model versions or commits: parameters, data, code, libraries, metrics and predictions.

    Exit code: 0 if they are the same, 1 if they differ, 2 if they cannot
    be compared.
    """
    from feedforward.config.schema import load_params
    from feedforward.diff import comparison, text
    from feedforward.diff.names import Names

    try:
        names = Names(load_params())
        difference = comparison.compare(*names.pair(a, b), names.repository)
    except (FeedforwardError, OSError) as error:
        raise ParamsError([os_error_line(error) if isinstance(error, OSError) else str(error)]) from None
    if as_json:
        print(json.dumps(difference.as_json(), indent=2, ensure_ascii=False))
    else:
        print_table(text.show(difference))
    if not difference.same:
        raise typer.Exit(EXIT_DIFFERENT)
