"""The application: global options, registration of the commands, and the exit code."""

import codecs
import io
import json
import os
import sys
from typing import Annotated, NoReturn

import typer

from feedforward.cli import archive, comparison, data, operations, pages, serving, sweep, training, versions
from feedforward.cli.output import escaped, message
from feedforward.core import environment, logs, path_variables
from feedforward.core.errors import FeedforwardError, ParamsError, os_error_line

app = typer.Typer(
    help="Train variants of feedforward networks, compare them across seeds, and serve the best.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = (
    (training.run, "Example: feedforward run"),
    (training.demo, "Example: feedforward demo"),
    (
        training.train,
        "Examples: feedforward train imdb --variant dropout --seeds 10   ·   feedforward train --protocol lecture",
    ),
    (
        sweep.sweep,
        "Examples: feedforward sweep imdb dropout_rate=0.1,0.2,0.3,0.5 l2=0,0.001   ·  "
        " feedforward sweep imdb l2=1e-5..1e-2 --trials 20 --test   ·  "
        " feedforward sweep imdb train_share=0.1,0.2,0.5,1",
    ),
    (
        training.decide,
        "Examples: feedforward decide imdb --budget 30m   ·   feedforward decide imdb --seeds 40 --json",
    ),
    (training.study, "Example: feedforward study --seeds 20 --wide-seeds 10"),
    (pages.lecture, "Example: feedforward lecture imdb --out lecture.html"),
    (training.verify, "Example: feedforward verify --dataset imdb --variant original"),
    (data.params, "Example: feedforward params"),
    (data.init, "Examples: feedforward init ~/flowers   ·   feedforward init prices.csv --target price"),
    (data.describe, "Example: feedforward describe imdb"),
    (data.fetch, "Example: feedforward fetch flowers"),
    (
        data.feedback,
        "Examples: feedforward feedback imdb   ·   feedforward feedback imdb --accept 3f2a9c1e --reject 80d1b2aa",
    ),
    (operations.promote, "Example: feedforward promote imdb"),
    (operations.rollback, "Example: feedforward rollback imdb --reason 'worse on long reviews'"),
    (operations.history, "Example: feedforward history imdb"),
    (versions.backtest, "Examples: feedforward backtest imdb   ·   feedforward backtest imdb --last 3 --json"),
    (versions.keys, "Example: feedforward keys"),
    (operations.retrain, "Example: feedforward retrain --dry-run"),
    (
        comparison.diff,
        "Examples: feedforward diff HEAD~1 HEAD   ·   feedforward diff imdb:3 imdb:champion   ·  "
        " feedforward diff 1a2b3c4d 5e6f7a8b --json",
    ),
    (operations.sync, "Example: feedforward sync"),
    (operations.ui, "Example: feedforward ui --port 5001"),
    (
        serving.predict,
        "Examples: feedforward predict imdb 'a fine film' --variant all   ·   feedforward predict mnist digit.png",
    ),
    (serving.serve, "Example: feedforward serve --port 8080"),
    (pages.playground, "Example: feedforward playground imdb --out imdb.html"),
    (archive.export, "Examples: feedforward export result.zip   ·   feedforward export result"),
    (archive.import_, "Examples: feedforward import result.zip   ·   feedforward import result.zip --to elsewhere"),
)
for _command, _epilog in COMMANDS:
    app.command(_command.__name__.rstrip("_"), epilog=_epilog)(_command)  # `import` is a keyword


def _print_version(requested: bool) -> None:
    if requested:
        import feedforward

        print(f"feedforward {feedforward.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[
        int,
        typer.Option("--verbose", "-v", count=True, max=2, help="Log more to standard error; -vv for debug messages."),
    ] = 0,
) -> None:
    logs.configure(verbose)


def main() -> None:
    """Run the command and exit with its code. A failure that a user can fix prints one red line and no traceback."""
    from pipelines import interruption

    logs.configure()
    environment.prepare()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # printing to a Latin-1 terminal must not raise
            stream.reconfigure(errors="json")
    try:
        path_variables.resolve()
        with interruption.first_signal_only():
            code = app(prog_name="feedforward", standalone_mode=False)  # even if started under another name
    except FeedforwardError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail(_usage_problem(error), ParamsError.exit_code)
    except BrokenPipeError:  # `feedforward predict … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FeedforwardError.exit_code)
    except OSError as error:
        _fail(os_error_line(error), FeedforwardError.exit_code)
    except KeyboardInterrupt:
        code = interruption.EXIT_CODE
    if code == interruption.EXIT_CODE:
        interruption.announce()
    interruption.leave(code)


def _escaped_as_in_json(error: UnicodeError) -> tuple[str, int]:
    """Escape what an encoding cannot represent, so that printed JSON remains valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error("json", _escaped_as_in_json)


def _usage_problem(error: typer.TyperException) -> str:
    """The message about an invalid command line; empty if the help was printed instead."""
    problem = error.format_message().rstrip(".")
    names = {command.__name__.rstrip("_") for command, _ in COMMANDS}
    program = " ".join(["feedforward", *(word for word in sys.argv[1:] if word in names)][:2])
    return f"{program}: {problem}; see {program} --help" if problem else ""


def _fail(text: str, code: int) -> NoReturn:
    if text:
        message(f"[red]{escaped(text)}[/red]")
    sys.exit(code)
