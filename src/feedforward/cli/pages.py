"""The commands that write a self-contained page: lecture, playground."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from feedforward.cli.options import DatasetArgument, JsonOption, dataset_names
from feedforward.cli.output import check_file, escaped, message
from feedforward.core.errors import DataError, ParamsError


def lecture(
    dataset: Annotated[
        list[str] | None,
        typer.Argument(
            help="Datasets in params.yaml. Default: those with `training.lecture`, or all if none has it.",
            autocompletion=dataset_names,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("lecture.html"),
) -> None:
    """Write the lecture as an interactive page with sliders, curves and single-run results; this trains nothing."""
    from feedforward.config.schema import load_params
    from feedforward.core import atomic_files, demo_workspace
    from feedforward.experiments import lecture_runs
    from feedforward.reports import lecture_page
    from feedforward.tracking import open_store

    target = check_file(out)
    params = load_params()
    lecture_datasets = [name for name, config in params.datasets.items() if config.training.lecture]
    names = dataset or lecture_datasets or list(params.datasets)
    for name in names:
        params.dataset(name)
    store, lectures, problems = open_store(), [], []
    for name in names:
        try:
            lectures.append(lecture_runs.collect(params, name, store))
        except DataError as error:
            problems.append(error)
    if not lectures:
        raise problems[0]
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    page = lecture_page.render(lectures, " ".join(["feedforward lecture", *(dataset or [])]), demo_workspace.prefix())
    atomic_files.write_text(target, page, "lecture")
    for collected in lectures:
        message(escaped(f"{collected.findings.name}: {len(collected.points)} combinations, {len(collected.runs)} runs"))
    print(out)


def playground(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path("playground.html"),
    max_bytes: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum size in bytes; variants that do not fit are omitted. Default: 5000000."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page that contains the champion and its variants and predicts offline, without a service or Python."""
    from feedforward.config.schema import load_params
    from feedforward.core import atomic_files
    from feedforward.serving import playground_file, prediction

    target = check_file(out)
    champion = prediction.champion(dataset, dataset=load_params().dataset(dataset))
    page = playground_file.build(champion, max_bytes or playground_file.MAX_BYTES)
    size, left_out = len(page.text.encode()), dict(page.left_out)
    if max_bytes and size > max_bytes:
        raise ParamsError([f"--max-bytes: must be at least {size} for the champion alone, got {max_bytes}"])
    atomic_files.write_text(target, page.text)
    if as_json:
        written = {"file": str(out), "bytes": size, "variants": page.variants, "left_out": left_out}
        print(json.dumps({**written, "largest_change": page.largest_change}, indent=2))
        return
    print(f"{out}: {size:,} bytes, champion and {', '.join(page.variants) or 'no variants'}")
    if left_out:
        required_bytes = size + sum(left_out.values()) + 1000  # the variants' names and answers also take some bytes
        omitted = ", ".join(left_out)
        message(f"left out because of their size: {omitted}; include them with --max-bytes {required_bytes}")
