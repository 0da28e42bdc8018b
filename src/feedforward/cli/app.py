"""The command line: arguments and printing. What is done lives in the rooms below and in `pipelines`."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from feedforward.cli import data as data_commands
from feedforward.cli import serving
from feedforward.core.errors import FeedforwardError, ParamsError, of_system

app = typer.Typer(
    help="Train variants of feedforward networks, compare them over seeds, serve the winner.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
INTERRUPTED = 130  # exit code
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def main() -> None:
    """Run the command and leave with its exit code; what a user can mend is one red line, without a traceback."""
    try:
        code = app(prog_name="feedforward", standalone_mode=False)  # also where it was started by another name
    except FeedforwardError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail(_of_usage(error), ParamsError.exit_code)
    except OSError as error:
        _fail(of_system(error), FeedforwardError.exit_code)
    if code == INTERRUPTED:
        _say("interrupted; run the command again to go on")
    sys.exit(code)


@app.command(epilog="Example: feedforward run")
def run() -> None:
    """Everything from fetch to the comparison; again: only what changed. Without any data source: the demo."""
    from feedforward.config.schema import load_params
    from feedforward.core import paths, processes
    from feedforward.data.sources import download
    from pipelines import dvc_repro

    params = load_params()
    with processes.only_one(paths.lock("run"), "feedforward run"):
        missing = [
            key
            for name, data in params.datasets.items()
            for key in download.missing(data.files, paths.raw(name), params.mirrors)
        ]
        if missing:
            _say(
                f"[bold]No source of the real data is reachable ({_plain(', '.join(missing))}), so this is the DEMO on"
                f" a small embedded sample.[/bold] Name a folder or URL that holds them: {download.MIRROR}=… make run"
            )
            _demo()
            return
        dvc_repro.repro(paths.root())
    _show(paths.root())


@app.command(epilog="Example: feedforward demo")
def demo() -> None:
    """The same line on the small embedded sample: no network needed. Nothing of it is ever promoted."""
    _demo()


@app.command(
    epilog="Examples: feedforward train imdb --variant dropout --seeds 10   ·   feedforward train --protocol lecture"
)
def train(
    dataset: Annotated[list[str] | None, typer.Argument(help="Data sets of params.yaml; none: all.")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Variants; none: all.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="Replicas of each; default: params.yaml.")] = None,
    protocol: Annotated[str, typer.Option(help="`fair`, or `lecture`: exactly as on the slides.")] = "fair",
    as_json: AsJson = False,
) -> None:
    """Train on the prepared data (`dvc repro` makes them) and log to MLflow; runs that are known are not repeated."""
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from pipelines import environment, prefect_server

    params = load_params()
    if protocol not in ("fair", "lecture"):
        raise ParamsError([f"--protocol: must be fair or lecture, got {protocol}"])
    for name in dataset or []:
        params.dataset(name)
    for name in variant or []:
        params.variant(name)
    environment.apply()
    with prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import training_flow

        chosen = range(seeds) if seeds else ()
        found = training_flow.run(params, protocol, wait_for_server, dataset or [], variant or [], chosen)
    if as_json:
        print(json.dumps([{**vars(result), "curves": None} for result in found], indent=2, default=str))
        return
    from rich.console import Console

    from feedforward.experiments import comparison

    Console().print(comparison.render_table(found, params, protocol))


@app.command(epilog="Example: feedforward params")
def params(as_json: AsJson = False) -> None:
    """Check params.yaml and say what it holds; all mistakes at once, exit code 2."""
    from feedforward.config.schema import load_params

    loaded = load_params()
    if as_json:
        print(loaded.model_dump_json(indent=2))
        return
    _say(f"data sets: {', '.join(loaded.datasets)}; variants: {', '.join(loaded.variants)}; seeds: {loaded.seeds}")


@app.command(epilog="Example: feedforward ui --port 5001")
def ui(port: Annotated[int, typer.Option(min=1, max=65535)] = 5000) -> None:
    """MLflow's pages on 127.0.0.1: runs, curves, models."""
    from feedforward.core import paths
    from feedforward.tracking import settings

    settings.apply()
    uri, artifacts = settings.tracking_uri(), (paths.store() / "artifacts").as_uri()
    _say(f"MLflow on http://127.0.0.1:{port}  (Ctrl-C ends it)")
    os.execv(  # noqa: S606
        sys.executable,
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--artifacts-destination", artifacts,
         "--host", "127.0.0.1", "--port", str(port)],
    )  # fmt: skip


@app.command(epilog="Example: feedforward sync")
def sync() -> None:
    """Send the runs that wait because the tracking server was down; nothing is sent twice."""
    from feedforward.tracking import open_store

    done = open_store().sync()
    _say(f"sent {done.sent}, waiting {done.waiting}")
    if done.waiting:
        raise FeedforwardError(
            "; ".join(done.problems) or "some records could not be sent; run `feedforward sync` again"
        )


@app.command(epilog="Example: feedforward verify --dataset imdb --variant original")
def verify(
    dataset: Annotated[list[str] | None, typer.Option(help="Data sets; none: all.")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Variants; none: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to train again.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Rehash what DVC keeps, train again in a temporary store, and compare: same seed, same machine, same bytes."""
    from feedforward.config.schema import load_params
    from feedforward.experiments import verification
    from pipelines import environment

    params = load_params()
    for name in dataset or []:
        params.dataset(name)
    for name in variant or []:
        params.variant(name)
    environment.apply()
    report = verification.verify(params, dataset or [], variant or [], seeds)
    print(json.dumps(report.as_json(), indent=2)) if as_json else _say(report.text())
    if not report.same:
        raise FeedforwardError(report.problem())


@app.command(epilog="Example: feedforward study --seeds 20 --wide-seeds 10")
def study(
    seeds: Annotated[int, typer.Option(min=2, help="Replicas of each narrow variant.")] = 20,
    wide_seeds: Annotated[int, typer.Option(min=2, help="Replicas of each wide variant, which cannot be packed.")] = 10,
    orders: Annotated[int, typer.Option(min=0, help="Other orders of the batches, for the baseline.")] = 8,
    to: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("docs"),
) -> None:
    """The lecture's comparison with many seeds, both protocols, as a page; what is known is not trained again."""
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from pipelines import environment, prefect_server

    params = load_params()
    environment.apply()
    with prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import study_flow as flows

        _say(str(flows.run(params, wait_for_server, seeds, wide_seeds, orders, to)))


@app.command(
    epilog="Examples: feedforward sweep imdb dropout_rate=0.1,0.2,0.3,0.5 l2=0,0.001   ·  "
    " feedforward sweep imdb l2=1e-5..1e-2 --trials 20"
)
def sweep(
    dataset: Annotated[str, typer.Argument(help="A data set of params.yaml.")],
    values: Annotated[
        list[str], typer.Argument(help="FIELD=VALUE,VALUE… of a variant or of training; FIELD=LOW..HIGH to search.")
    ],
    variant: Annotated[str, typer.Option(help="The variant that the values change.")] = "original",
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="Replicas of each; default: params.yaml.")] = None,
    trials: Annotated[int, typer.Option(min=0, max=1000, help="Search so many values; 0: all of the grid.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Try values and see what performs best, over seeds: a table, a figure, runs in MLflow; again: only what is new."""
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from feedforward.data import manifest
    from feedforward.experiments import search_space
    from pipelines import environment, prefect_server

    params = load_params()
    chosen = search_space.parse(values, params, dataset, variant, search=trials > 0)
    manifest.load(dataset)
    environment.apply()
    with prefect_server.serving() as wait_for_server:
        with processes.importing():
            from feedforward.experiments.sweep import Sweep
            from pipelines import sweep_flow as flow

        wanted = Sweep(params, dataset, variant, chosen, seeds or params.seeds, trials)
        outcome, folder = flow.run(wanted, wait_for_server)
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        from rich.console import Console

        from feedforward.reports import terminal

        Console().print(terminal.show_sweep(outcome.sweep.text, outcome.table, outcome.verdict()))
        _say(f"figure and table: {_plain(str(folder))}   ·   runs: `make ui`")
    if outcome.failed:
        raise FeedforwardError(
            f"could not be trained: {'; '.join(map(outcome.text, outcome.failed))}; MLflow's runs say why"
        )


app.command(epilog="Examples: feedforward init ~/flowers   ·   feedforward init prices.csv --target price")(
    data_commands.init
)
app.command(epilog="Example: feedforward describe imdb")(data_commands.describe)
app.command(epilog="Example: feedforward promote imdb")(serving.promote)
app.command(
    epilog="Examples: feedforward predict imdb 'a fine film' --variant all   ·   feedforward predict mnist digit.png"
)(serving.predict)
app.command(epilog="Example: feedforward serve --port 8080")(serving.serve)


def _demo() -> None:
    from feedforward.core import paths, processes
    from pipelines import dvc_repro

    root = paths.root() / "demo"
    with processes.only_one(root / ".locks" / "run.lock", "feedforward demo"):
        dvc_repro.repro(root)
    _show(root)


def _show(root: Path) -> None:
    from rich.console import Console

    os.environ["FEEDFORWARD_ROOT"] = str(root)
    from feedforward.analysis import run_result
    from feedforward.config.schema import load_params
    from feedforward.core import paths
    from feedforward.experiments import comparison

    loaded = load_params()
    protocol = loaded.protocols[0]
    Console().print(comparison.render_table(run_result.load(paths.trained(protocol)), loaded, protocol))
    where = (
        paths.comparison().relative_to(Path.cwd())
        if paths.comparison().is_relative_to(Path.cwd())
        else paths.comparison()
    )
    _say(f"figures and tables: {where}   ·   runs: `make ui`   ·   change params.yaml and run this again")


def _of_usage(error: typer.TyperException) -> str:
    """What is wrong with a command line; nothing where the help was shown instead."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "feedforward"
    said = getattr(error, "format_message", error.__str__)().rstrip(".")
    return f"{command}: {said}; see {command} --help" if said else ""


def _fail(text: str, code: int) -> NoReturn:
    if text:
        _say(f"[red]{_plain(text)}[/red]")
    sys.exit(code)


def _say(text: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, width=shutil.get_terminal_size((120, 40)).columns).print(text)


def _plain(text: str) -> Any:
    from rich.markup import escape

    return escape(text)
