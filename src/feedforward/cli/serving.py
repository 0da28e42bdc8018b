"""The commands that make predictions: predict, serve."""

import csv
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedforward.cli.options import DatasetArgument, JsonOption, served_names
from feedforward.core.errors import InputError, one_line

if TYPE_CHECKING:
    from feedforward.promotion.bundle import Servable
    from feedforward.serving.prediction import LoadedVersion
    from feedforward.serving.sample_files import NamedSample

log = logging.getLogger(__name__)

WORDS_SHOWN = 8
LABELS_SHOWN = 3


def predict(
    dataset: DatasetArgument,
    samples: Annotated[list[str] | None, typer.Argument(help="Texts, image files, or rows as JSON objects.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="File of samples: .txt (one text per line), .csv or .jsonl; - for standard input."),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="Variant to use instead of the champion; `all`: show all variants side by side.",
            autocompletion=served_names,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict with the champion: labels with probabilities, or values, for texts, images or table rows."""
    from feedforward.core import processes

    with processes.importing():
        from feedforward.config.schema import load_params
        from feedforward.serving import prediction, sample_files

    config = load_params().dataset(dataset)
    if bool(samples) == (file is not None):
        raise InputError(
            "SAMPLES", "give either samples or --file, for instance `feedforward predict imdb 'a good film'`"
        )
    champion = prediction.champion(dataset, dataset=config)
    chosen = champion.select(variant)
    if file is not None and champion.served.encoder.sample_kind != "image":
        _predict_file(champion, chosen, file, as_json)
        return
    arguments = [*(samples or []), *([str(file)] if file else [])]
    named: Iterator[NamedSample] = ((f"sample {number}", text) for number, text in enumerate(arguments, start=1))
    if champion.served.encoder.sample_kind == "image":
        named = sample_files.from_files(arguments)
    _predict_arguments(champion, chosen, named, as_json)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on; 0: any free port. Default: `serving.port` in params.yaml."
        ),
    ] = None,
    expose: Annotated[bool, typer.Option("--expose", help="Allow an address that other machines can reach.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Additional name to accept in the Host header; repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of worker processes that share the port.")] = 1,
) -> None:
    """Serve predictions over HTTP, with a playground page, health checks and metrics.

    A new champion is served without a restart. Changes of params.yaml take effect after a restart.
    """
    from feedforward.config.schema import load_params
    from feedforward.core import processes
    from feedforward.serving.workers import shared_counters

    with shared_counters(workers):
        with processes.importing():
            from feedforward.serving import server

        server.run(load_params(), host, port, expose, allow_host or (), workers)


def _predict_arguments(
    champion: "LoadedVersion", chosen: dict[str, "Servable"], named: Iterator["NamedSample"], as_json: bool
) -> None:
    from feedforward.serving import prediction, sample_files

    for names, checked in sample_files.in_chunks(champion.served, named):
        predictions = {name: prediction.answers(served, checked) for name, served in chosen.items()}
        first = next(iter(chosen.values()))
        for index, (name, sample) in enumerate(zip(names, checked, strict=True)):
            towards, words = prediction.explain(first, sample)
            result: dict[str, Any] = {"sample": name, "version": champion.version.number}
            result |= {"answers": {variant: rows[index] for variant, rows in predictions.items()}}
            if words:
                result["words"] = {"towards": towards, "effects": [prediction.as_json(word) for word in words]}
            print(json.dumps(result, ensure_ascii=False)) if as_json else _show(result)


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from feedforward.serving import prediction

    console = Console(highlight=False)
    answers = result["answers"]
    if len(answers) == 1:
        [answer] = answers.values()
        console.print(
            f"{escape(result['sample'])}: [bold]{escape(prediction.in_words(answer))}[/bold]{_probabilities(answer)}"
        )
    else:
        table = Table("variant", "prediction", "probabilities", box=None, pad_edge=False)
        for name, answer in answers.items():
            table.add_row(name, f"[bold]{escape(prediction.in_words(answer))}[/bold]", _probabilities(answer))
        console.print(f"{escape(result['sample'])}:")
        console.print(table)
    for line in dict.fromkeys(line for answer in answers.values() for line in answer.get("warnings", ())):
        console.print(f"warning: {line}", style="yellow", markup=False)
    if "words" in result:
        strongest = sorted(result["words"]["effects"], key=lambda word: -abs(word["effect"]))[:WORDS_SHOWN]
        shown = "  ".join(f"{one_line(word['word'])} {word['effect']:+.2f}" for word in strongest if word["effect"])
        console.print(f"toward {result['words']['towards']}: {shown}", style="dim", markup=False)


def _probabilities(answer: dict[str, Any]) -> str:
    """The most probable labels with their probabilities, in parentheses; empty for regression."""
    from rich.markup import escape

    most_probable = sorted(answer.get("probabilities", {}).items(), key=lambda entry: -entry[1])[:LABELS_SHOWN]
    texts = [f"{escape(label)} {100 * probability:.1f} %" for label, probability in most_probable]
    return f" ({', '.join(texts)})" if texts else ""


def _predict_file(champion: "LoadedVersion", chosen: dict[str, "Servable"], file: Path, as_json: bool) -> None:
    from feedforward.core import progress
    from feedforward.data.readers.row_encoder import RowEncoder
    from feedforward.serving import prediction, sample_files

    labels = champion.served.description.labels
    columns = () if champion.served.description.task_definition.answers == "value" else labels
    table = csv.writer(sys.stdout)
    total = file.stat().st_size if file.is_file() else 0
    with progress.bar(f"predict {champion.version.name}", total) as advance:
        if not as_json:
            table.writerow(["sample", "variant", "label" if columns else labels[0], *columns])
        encoder = champion.served.encoder
        if isinstance(encoder, RowEncoder):
            named = sample_files.from_rows(file, encoder.table_columns, encoder.measured.decimal)
        else:
            named = sample_files.from_table(file, getattr(encoder, "column", ""))
        samples, with_warnings, first_warning = 0, 0, ""
        for names, checked in sample_files.in_chunks(champion.served, named):
            features = champion.served.encoder.encode(checked)
            warnings = prediction.warnings(champion.served, checked, features)
            samples, with_warnings = samples + len(checked), with_warnings + sum(map(bool, warnings))
            first_warning = first_warning or next(
                (f"{sample}: {lines[0]}" for sample, lines in zip(names, warnings, strict=True) if lines), ""
            )
            for name, served in chosen.items():
                rows = prediction.as_answers(served, served.predict(features))
                rows = [row | ({"warnings": lines} if lines else {}) for row, lines in zip(rows, warnings, strict=True)]
                for sample, answer in zip(names, rows, strict=True):
                    if as_json:
                        print(json.dumps({"sample": sample, "variant": name, **answer}, ensure_ascii=False))
                    else:
                        probabilities = [f"{value:.6f}" for value in answer.get("probabilities", {}).values()]
                        predicted = answer.get("value", prediction.in_words(answer))  # a value with all of its digits
                        table.writerow([sample, name, predicted, *probabilities])
            advance(sum(len(str(sample).encode("utf-8", "replace")) for sample in checked), "")
    if not samples:
        raise InputError(str(file), "contains no samples")
    if with_warnings:
        listed = "" if as_json else "; --json lists the warnings"
        log.warning("%d of %d samples have warnings; the first is %s%s", with_warnings, samples, first_warning, listed)
