"""The commands for params.yaml and data: params, init, fetch, describe, feedback."""

import dataclasses
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedforward.cli.options import DatasetArgument, JsonOption
from feedforward.cli.output import escaped, message, print_table, working
from feedforward.core.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from feedforward.data.config_inference import Guess
    from feedforward.data.feedback import Sample

STATES = {"waiting": "to review", "accepted": "accepted", "rejected": "rejected", "invalid": "invalid"}
EXCERPT = 60  # characters shown of a text
ID_DIGITS = 12  # number of digits shown of a sample's ID, unless two samples have the same ones
CELL = 50  # characters shown of a cell of `init`'s table of columns


def params(as_json: JsonOption = False) -> None:
    """Check params.yaml and summarize it; if there are mistakes, list up to 20 of them and exit with code 2."""
    from feedforward.config.schema import load_params
    from feedforward.core import paths
    from pipelines import dvc_parameters

    config = load_params()
    dvc_parameters.check(paths.root())
    if as_json:
        print(config.model_dump_json(indent=2))
        return
    message(f"datasets: {', '.join(config.datasets)}; variants: {', '.join(config.variants)}; seeds: {config.seeds}")


def init(
    path: Annotated[
        Path, typer.Argument(help="A folder of class folders or idx files, or a .csv, .parquet or .jsonl file.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset. Default: the name of the file or folder.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column to predict. For multi-label data, repeat the option, once per label."),
    ] = None,
) -> None:
    """Inspect data, infer how to read it and what to train, and add the settings to params.yaml for you to edit."""
    from feedforward.core import paths
    from feedforward.data import config_inference

    path = Path(os.path.realpath(path))  # unlike `resolve`, raises nothing if links form a loop
    with working(f"inspecting {path}"):
        guess = config_inference.guess(path, target or ())
    name = name or config_inference.name_of(path)
    config_inference.write(guess.entry, name, paths.params())
    print(f"datasets.{name} was added to {paths.params().name}. These are guesses; change what is wrong:")
    for reason in guess.reasons:
        print(f"  - {reason}")
    if guess.columns:
        _show_columns(guess)
    print(f"next: `feedforward run`, then `feedforward describe {name}`")


def fetch(dataset: DatasetArgument) -> None:
    """Fetch a dataset's files again after their source has changed; the next `feedforward run` uses the new files."""
    from feedforward.config.schema import load_params
    from feedforward.data import class_folders, preparation

    params = load_params()
    preparation.fetch_again(dataset, params.dataset(dataset), params)
    for text in class_folders.left_out(dataset, params.dataset(dataset)):
        message(escaped(one_line(text)))
    message(f"fetched {dataset}; next: `feedforward run`")


def _show_columns(guess: "Guess") -> None:
    """Print each column of a table with its role, how it is read, and examples."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    reader = guess.entry["reader"]
    targets = reader.get("target") or [reader.get("label")]
    features = (*reader.get("numeric", ()), *reader.get("categorical", ()), reader.get("text"))
    table = Table("column", "role", "read as", "examples", box=None, pad_edge=False)
    for column in guess.columns:
        role = (
            "label"
            if column.name in targets
            else column.role
            if column.name in features
            else f"{column.role}, left out"
        )
        cells = (column.name, role, column.explanation, " · ".join(column.examples))
        table.add_row(*(escape(one_line(cell)[:CELL]) for cell in cells))
    Console(highlight=False, width=120).print(table)


def describe(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    """Describe a prepared dataset: counts, class balance, and some test samples."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from feedforward.config.schema import load_params
    from feedforward.data import description

    config = load_params().dataset(dataset)
    statistics = description.describe(dataset, config)
    if as_json:
        summary = {
            "dataset": dataset,
            "task": config.task,
            "samples": statistics.samples,
            "features": statistics.features,
            "labels": statistics.distribution,
        }
        missing = {} if statistics.missing is None else {"missing_cells": statistics.missing}
        print(json.dumps(summary | missing, indent=2))
        return
    console = Console(highlight=False)
    counts = ", ".join(f"{count:,} {part}" for part, count in statistics.samples.items())
    console.print(f"[bold]{escape(config.title)}[/bold]: {config.task}, {counts}, {statistics.features:,} features")
    table = Table("", *description.SPLITS, box=None, pad_edge=False)
    for name, values in statistics.distribution.items():
        table.add_row(escape(name), *(f"{value:,.6g}" for value in values))
    console.print(table)
    if statistics.missing:
        table = Table("missing cells", *description.SPLITS, box=None, pad_edge=False)
        for name, values in statistics.missing.items():
            table.add_row(escape(one_line(name)[:CELL]), *map("{:,}".format, values))
        console.print(table)
    elif statistics.missing is not None:
        console.print("no missing cells")
    _show_examples(console, dataset, statistics.examples)


def feedback(
    dataset: DatasetArgument,
    accept: Annotated[list[str] | None, typer.Option(metavar="ID", help="Sample to accept; repeatable.")] = None,
    reject: Annotated[list[str] | None, typer.Option(metavar="ID", help="Sample to reject; repeatable.")] = None,
    accept_all: Annotated[
        bool, typer.Option("--accept-all", help="Accept every sample that is waiting for review.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Reason for the decision, stored with it.")] = "",
    include_decided: Annotated[
        bool, typer.Option("--all", help="Also list samples already accepted or rejected.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the samples that users submitted, and accept them for training or reject them."""
    from feedforward.config.schema import load_params
    from feedforward.data import feedback_review

    config = load_params().dataset(dataset)
    if accept or reject or accept_all:
        counts = feedback_review.review(dataset, config, accept or (), reject or (), accept_all, reason=reason)
        if as_json:
            print(json.dumps(dataclasses.asdict(counts), indent=2))
        else:
            print(f"accepted {counts.accepted}, rejected {counts.rejected}; {counts.waiting} to review")
        return
    samples = feedback_review.samples(dataset, config)
    shown = [sample for sample in samples if include_decided or feedback_review.state_of(sample) == "waiting"]
    if as_json:
        print(json.dumps([feedback_review.as_json(sample) for sample in shown], indent=2, ensure_ascii=False))
        return
    if shown:
        _show_feedback(shown)
    by_state = Counter[str](map(feedback_review.state_of, samples))
    states = ", ".join(f"{by_state[state]} {text}" for state, text in STATES.items())
    message(f"{dataset}: {escaped(states)}")


def _show_feedback(samples: "Sequence[Sample]") -> None:
    from rich.table import Table

    from feedforward.data import feedback_review

    table = Table("id", "label", "prediction", "time (UTC)", "state", "sample", box=None, pad_edge=False)
    is_unique = len({sample.id[:ID_DIGITS] for sample in samples}) == len(samples)
    for sample in samples:
        id_ = sample.id[:ID_DIGITS] if is_unique else sample.id
        fields = (id_, *(str(sample.entry.get(key, "")) for key in ("label", "answer", "time")))
        state = sample.problem or STATES[feedback_review.state_of(sample)]
        table.add_row(
            *(escaped(one_line(cell)) for cell in (*fields[:3], fields[3][:19], state, _excerpt(sample.entry)))
        )
    print_table(table)


def _excerpt(entry: "Mapping[str, Any]") -> str:
    if "pixels" in entry:
        return f"image, {entry.get('width')} × {entry.get('height')}"
    text = " ".join(str(entry.get("text", "")).split())
    left_out = len(text) - EXCERPT
    return text if left_out <= 0 else f"{text[:EXCERPT]} … ({left_out:,} more characters)"


def _show_examples(console: "Console", dataset: str, examples: "Sequence[tuple[str, Any]]") -> None:
    from rich.markup import escape

    from feedforward.core import paths
    from feedforward.data import description

    pictures = [(label, sample) for label, sample in examples if not isinstance(sample, str)]
    for label, sample in examples:
        if isinstance(sample, str):
            excerpt = one_line(" ".join(sample.split()))[: description.EXAMPLE_CHARACTERS]
            console.print(f"{escape(label)}: {escape(excerpt)}")
    if pictures:
        target = paths.root() / "reports" / "examples" / f"{dataset}.png"
        description.save_examples(pictures, target)
        console.print(f"{escape(', '.join(label for label, _ in pictures))}: {target.relative_to(paths.root())}")
