"""The commands that train: run, demo, train, decide, study, verify; `sweep` has its own module."""

import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedforward.cli.options import (
    DatasetArgument,
    DatasetsArgument,
    DatasetsOption,
    JsonOption,
    SeedsOption,
    VariantsOption,
    check_names,
)
from feedforward.cli.output import escaped, message, print_table
from feedforward.core.errors import FeedforwardError, ParamsError, one_line

if TYPE_CHECKING:
    from feedforward.analysis.claims import Verdict
    from feedforward.config.schema import Dataset, Params


def run() -> None:
    """Run every stage, from fetching data to the comparison; later calls run only what has changed.

    If none of the sources of the shipped datasets can be reached, the demo runs instead.
    """
    from feedforward.config.schema import load_params
    from feedforward.core import paths
    from feedforward.data import class_folders, drawn_again, feedback
    from feedforward.data.sources import download
    from pipelines import dvc_repro, locks, raw_files

    params = load_params()
    with locks.job("feedforward run"):
        if _nothing_is_reachable(params):
            message(
                "[bold]No source of the real data is reachable, so this is the DEMO on small embedded data.[/bold]"
                f" For the real data, name a folder or URL with the files: `{download.MIRROR}=… feedforward run`"
            )
            _demo()
            return
        for name in raw_files.of_another_commit(paths.root(), params.datasets):
            text = f"data/raw/{name}: has other files than dvc.lock records; this run uses them, and"
            message(f"{text} `dvc checkout data/raw/{name}` restores those of this commit")
        for name, dataset in params.datasets.items():
            for source in download.changed_sources(dataset.files, paths.raw(name)).values():
                text = f"{source} differs from what was fetched; `feedforward fetch {name}` gets the new content"
                message(escaped(one_line(text)))
            for text in class_folders.left_out(name, dataset):
                message(escaped(one_line(text)))
            if drawn_again.is_drawn_again(name, dataset):
                text = (
                    f"{name}: `reader` lists or reads other columns than before, so the test split is drawn again; test"
                )
                message(f"{text} results are not comparable with earlier ones (with a `test_file`, they would be)")
            if params.retraining.use_feedback:
                with feedback.locked(name):  # `dvc checkout` may have restored samples that have since been rejected
                    feedback.withdraw(name, params.retraining.review)
        dvc_repro.repro(paths.root())
    _conclude(paths.root())


def demo() -> None:
    """Run every stage offline, on small data from the repository. Models of the demo are never promoted."""
    _demo()


def train(
    dataset: DatasetsArgument = None,
    variant: VariantsOption = None,
    seeds: SeedsOption = None,
    protocol: Annotated[str, typer.Option(help="`fair`, or `lecture` to train exactly as on the slides.")] = "fair",
    as_json: JsonOption = False,
) -> None:
    """Train on the data that the DVC stages prepared, and log to MLflow; finished runs are not repeated."""
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from pipelines import environment, locks, prefect_server

    params = load_params()
    if protocol not in ("fair", "lecture"):
        raise ParamsError([f"--protocol: must be fair or lecture, got {protocol}"])
    check_names(params, dataset or [], variant or [])
    environment.apply()
    title = "feedforward train"
    with locks.job(title), locks.training(title), prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import training_flow

        seed_numbers = range(seeds) if seeds else ()
        results = training_flow.run(params, protocol, wait_for_server, dataset or [], variant or [], seed_numbers)
    if not results:
        key = "training.lecture.variants" if protocol == "lecture" else "training.variants"
        raise ParamsError([f"nothing to train: `{key}` of the chosen datasets names none of the chosen variants"])
    if as_json:
        omitted = dict.fromkeys(("curves", "reliability", "errors"))  # None, because they are long; the store has them
        print(json.dumps([{**vars(result), **omitted} for result in results], indent=2, default=str))
        return
    from feedforward.experiments import baseline_results, comparison

    references = baseline_results.load(results, params, protocol)
    print_table(comparison.render_table(results, params, protocol, references))


def decide(
    dataset: DatasetArgument,
    budget: Annotated[str, typer.Option(help="Time limit, such as 90s, 30m or 2h.")] = "30m",
    seeds: Annotated[int, typer.Option(min=2, max=1000, help="Maximum number of seeds.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Train more and more seeds until every claim about a dataset is decided.

    The verdicts stay valid however often you check them.
    """
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from feedforward.data import consistency
    from feedforward.experiments import decision
    from pipelines import environment, locks, prefect_server

    params, seconds = load_params(), _seconds(budget)
    decision.find_needed(params, dataset, [])  # fails early if there are no claims
    consistency.require_valid(dataset, params.datasets[dataset])
    environment.apply()

    def show(n: int, verdicts: "Sequence[Verdict]") -> None:
        undecided = [verdict.claim.text for verdict in verdicts if not verdict.decided]
        if not as_json:
            message(
                f"{n} seeds: {len(verdicts) - len(undecided)} of {len(verdicts)} claims decided"
                + "".join(f"\n  undecided: {escaped(text)}" for text in undecided)
            )

    title = "feedforward decide"
    with locks.job(title), locks.training(title), prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import decision_flow

        verdicts, reason, folder = decision_flow.run(params, dataset, wait_for_server, seeds, seconds, show)
    if as_json:
        print((folder / "verdicts.json").read_text(encoding="utf-8"), end="")
        return
    from feedforward.reports import terminal

    print_table(terminal.show_verdicts(verdicts))
    message(f"{reason} Table and plot: {escaped(str(folder))}")


def _seconds(text: str) -> float:
    """A time such as `90s`, `30m` or `2h`, in seconds.

    Raises:
        ParamsError: the text does not have this form, or the time is 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise ParamsError([f"--budget: must be a time such as 90s, 30m or 2h, got {text}"])
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def study(
    seeds: Annotated[int, typer.Option(min=2, help="Number of seeds per narrow variant.")] = 20,
    wide_seeds: Annotated[
        int,
        typer.Option(min=2, help="Number of seeds per wide variant; no two wide variants are trained side by side."),
    ] = 10,
    to: Annotated[Path, typer.Option(help="Folder to write the page to.")] = Path("docs"),
) -> None:
    """Repeat the lecture's comparison with many seeds and both protocols, and write a page. Reuses finished runs."""
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from pipelines import environment, locks, prefect_server

    params = load_params()
    environment.apply()
    title = "feedforward study"
    with locks.job(title), locks.training(title), prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import study_flow

        message(escaped(str(study_flow.run(params, wait_for_server, seeds, wide_seeds, to))))


def verify(
    dataset: DatasetsOption = None,
    variant: VariantsOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds to train again.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Check the digests of DVC's files, then train again in a temporary store and check that all bytes are the same.

    Exit code: 0 if they are, or if only another kind of CPU explains the differences; 1 if a file is damaged or a
    result differs.
    """
    from feedforward.config.schema import load_params
    from feedforward.experiments import verification
    from pipelines import environment

    params = load_params()
    check_names(params, dataset or [], variant or [])
    environment.apply()
    report = verification.verify(params, dataset or [], variant or [], seeds)
    print(json.dumps(report.as_json(), indent=2)) if as_json else message(report.text())
    if not report.same:
        raise FeedforwardError(report.problem())


def _nothing_is_reachable(params: "Params") -> bool:
    """Whether all datasets are shipped ones, which the demo has samples of, and none of their sources can be reached.

    A dataset with a local path, or whose samples differ in kind from the demo's, is the user's own, whatever its name;
    if its files cannot be fetched, `fetch` says so.
    """
    from feedforward.config.schema import load_params
    from feedforward.core import paths
    from feedforward.data.sources import download, locations

    demo_params = load_params(paths.root() / "demo" / "params.yaml") if _has_demo() else None
    return demo_params is not None and all(
        _kind(demo_params.datasets.get(f"{name}-sample")) == _kind(dataset)
        and not any(locations.is_local(url) for file in dataset.files.values() for url in file.urls)
        and len(download.find_unavailable(dataset.files, paths.raw(name), params.mirrors)) == len(dataset.files)
        for name, dataset in params.datasets.items()
    )


def _kind(dataset: "Dataset | None") -> tuple[str, str, tuple[str, ...]] | None:
    return (dataset.reader.kind, dataset.task, dataset.labels) if dataset else None


def _has_demo() -> bool:
    from feedforward.core import paths

    return (paths.root() / "demo" / "params.yaml").is_file()


def _demo() -> None:
    from feedforward.core import paths, processes
    from pipelines import demo as workspace
    from pipelines import dvc_repro

    root = workspace.prepare(paths.root())
    with processes.only_one(root / ".locks" / "run.lock", "feedforward demo"):
        dvc_repro.repro(root)
    _conclude(root)


def _conclude(root: Path) -> None:
    """Show the comparison of the workspace, after attaching it to the experiments if DVC took it from its cache."""
    from feedforward.core import paths

    workspace = paths.root()
    os.environ["FEEDFORWARD_ROOT"] = str(root)
    from feedforward.analysis import run_result
    from feedforward.config import protocols
    from feedforward.config.schema import load_params
    from feedforward.experiments import baseline_results, comparison, runner

    params = load_params()
    runner.log_comparison(params)
    protocol = protocols.main(params)
    results = run_result.load(paths.trained(protocol))
    references = baseline_results.load(results, params, protocol)
    print_table(comparison.render_table(results, params, protocol, references))
    is_demo, command = root != workspace, "feedforward ui"
    runs = f"FEEDFORWARD_ROOT={shlex.quote(_shown(root))} {command}" if is_demo else command
    change = f"change {_shown(root / 'params.yaml') if is_demo else 'params.yaml'} and run again"
    message(escaped(f"plots and tables: {_shown(paths.comparison())}   ·   runs: `{runs}`   ·   {change}"))


def _shown(path: Path) -> str:
    """The path, relative to the current folder if it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
