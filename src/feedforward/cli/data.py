"""The commands for one's own data: init, describe."""

from pathlib import Path
from typing import Annotated

import typer

from feedforward.core.errors import one_line


def init(
    path: Annotated[Path, typer.Argument(help="A folder of class folders or idx files, or a .csv, .parquet, .jsonl.")],
    name: Annotated[str | None, typer.Option(help="Of the data set; default: that of the file.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Column to learn; several: a label each.")] = None,
) -> None:
    """Look at data, guess how they are read and learned, and write that into params.yaml, to be edited."""
    from feedforward.core import paths
    from feedforward.data import config_inference

    found = config_inference.guess(path.resolve(), target or ())
    chosen = name or config_inference.name_of(path.resolve())
    config_inference.write(found.entry, chosen, paths.params())
    print(f"datasets.{chosen} is in {paths.params().name} now; these are guesses, change what is wrong:")
    for reason in found.reasons:
        print(f"  - {reason}")
    print(f"next: `feedforward run`, then `feedforward describe {chosen}`")


def describe(dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A data set of params.yaml.")]) -> None:
    """What a prepared data set holds: counts, balance, and some test samples."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from feedforward.config.schema import load_params
    from feedforward.core import paths
    from feedforward.data import description

    chosen = load_params().dataset(dataset)
    found = description.describe(dataset, chosen)
    console = Console(highlight=False)
    counts = ", ".join(f"{number:,} {part}" for part, number in found.samples.items())
    console.print(f"[bold]{escape(chosen.title)}[/bold]: {chosen.task}, {counts}, {found.features:,} features")
    table = Table("", *description.PARTS, box=None, pad_edge=False)
    for label, numbers in found.shares.items():
        table.add_row(escape(label), *(f"{number:,.6g}" for number in numbers))
    console.print(table)
    pictures = [(label, sample) for label, sample in found.examples if not isinstance(sample, str)]
    for label, sample in found.examples:
        if isinstance(sample, str):
            shown = one_line(" ".join(sample.split()))[: description.TEXT]
            console.print(f"{escape(label)}: {escape(shown)}")
    if pictures:
        target = paths.root() / "reports" / "examples" / f"{dataset}.png"
        description.picture(pictures, target)
        console.print(f"{escape(', '.join(label for label, _ in pictures))}: {target.relative_to(paths.root())}")
