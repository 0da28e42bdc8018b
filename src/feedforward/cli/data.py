"""The commands for params.yaml and data: params, init, describe."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedforward.cli.options import DatasetArgument, JsonOption
from feedforward.cli.output import message
from feedforward.core.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from feedforward.data.config_inference import Guess
    from feedforward.data.description import Description


def params(as_json: JsonOption = False) -> None:
    """Check params.yaml and summarize it; all mistakes are listed together, with exit code 2."""
    from feedforward.config.schema import load_params

    loaded = load_params()
    if as_json:
        print(loaded.model_dump_json(indent=2))
        return
    message(f"datasets: {', '.join(loaded.datasets)}; variants: {', '.join(loaded.variants)}; seeds: {loaded.seeds}")


def init(
    path: Annotated[Path, typer.Argument(help="A folder of class folders or idx files, or a .csv, .parquet, .jsonl.")],
    name: Annotated[str | None, typer.Option(help="Name of the dataset. Default: that of the file.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Column to learn; several: one per label.")] = None,
) -> None:
    """Look at data, infer how to read and learn them, and write that into params.yaml, to be edited."""
    from feedforward.core import paths
    from feedforward.data import config_inference

    path = Path(os.path.realpath(path))  # unlike `resolve`, raises nothing if links form a loop
    guess = config_inference.guess(path, target or ())
    chosen = name or config_inference.name_of(path)
    config_inference.write(guess.entry, chosen, paths.params())
    print(f"datasets.{chosen} was added to {paths.params().name}. These are guesses; change what is wrong:")
    for reason in guess.reasons:
        print(f"  - {reason}")
    if guess.columns:
        _show_columns(guess)
    print(f"next: `feedforward run`, then `feedforward describe {chosen}`")


def fetch(dataset: DatasetArgument) -> None:
    """Fetch the files of a dataset again after its source changed; `feedforward run` then uses them."""
    from feedforward.config.schema import load_params
    from feedforward.data import preparation

    params = load_params()
    preparation.fetch_again(dataset, params.dataset(dataset), params)
    message(f"fetched {dataset}; next: `feedforward run`")


def _show_columns(guess: "Guess") -> None:
    """The columns of a table: role, how they are read, and examples."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    reader = guess.entry["reader"]
    learned = reader.get("target") or [reader.get("label")]
    features = (*reader.get("numeric", ()), *reader.get("categorical", ()), reader.get("text"))
    table = Table("column", "role", "read as", "examples", box=None, pad_edge=False)
    for column in guess.columns:
        use = (
            "label"
            if column.name in learned
            else column.role
            if column.name in features
            else f"{column.role}, left out"
        )
        cells = (column.name, use, column.how, " · ".join(column.examples))
        table.add_row(*(escape(one_line(cell)[:50]) for cell in cells))
    Console(highlight=False, width=120).print(table)


def describe(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    """Describe a prepared dataset: counts, class balance, and some test samples."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from feedforward.config.schema import load_params
    from feedforward.data import description

    config = load_params().dataset(dataset)
    described = description.describe(dataset, config)
    if as_json:
        summary = {"dataset": dataset, "task": config.task, "samples": described.samples}
        print(json.dumps({**summary, "features": described.features, "labels": described.shares}, indent=2))
        return
    console = Console(highlight=False)
    counts = ", ".join(f"{number:,} {part}" for part, number in described.samples.items())
    console.print(f"[bold]{escape(config.title)}[/bold]: {config.task}, {counts}, {described.features:,} features")
    table = Table("", *description.PARTS, box=None, pad_edge=False)
    for label, numbers in described.shares.items():
        table.add_row(escape(label), *(f"{number:,.6g}" for number in numbers))
    console.print(table)
    _show_examples(console, dataset, described)


def _show_examples(console: "Console", dataset: str, described: "Description") -> None:
    from rich.markup import escape

    from feedforward.core import paths
    from feedforward.data import description

    pictures = [(label, sample) for label, sample in described.examples if not isinstance(sample, str)]
    for label, sample in described.examples:
        if isinstance(sample, str):
            shown = one_line(" ".join(sample.split()))[: description.TEXT]
            console.print(f"{escape(label)}: {escape(shown)}")
    if pictures:
        target = paths.root() / "reports" / "examples" / f"{dataset}.png"
        description.picture(pictures, target)
        console.print(f"{escape(', '.join(label for label, _ in pictures))}: {target.relative_to(paths.root())}")
