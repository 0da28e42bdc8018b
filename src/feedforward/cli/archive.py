"""The commands that pass a result on to another person or machine: export, import."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedforward.cli.options import JsonOption
from feedforward.cli.output import check_file, escaped, message, print_table

if TYPE_CHECKING:
    from feedforward.analysis.findings import Findings


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE.zip|DIR", help="The archive to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write an archive of the last comparison: parameters, curves, verdicts, report and models."""
    from feedforward.archive import writing
    from feedforward.config.schema import load_params

    if not target.is_dir():
        check_file(target)
    files = writing.collect(load_params())
    digest, size = writing.write(files, target), sum(map(len, files.values()))
    if as_json:
        print(json.dumps({"target": str(target), "files": len(files), "bytes": size, "digest": digest}, indent=2))
        return
    print(f"{target}: {len(files):,} files, {size:,} bytes, SHA-256 of digests.json: {digest}")


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.zip|DIR", help="An archive written by `feedforward export FILE.zip`, or an unpacked one."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Folder to unpack a ZIP file into, or to copy a folder to. Default: the ZIP file's name without .zip;"
            " a folder is not copied.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an archive, unpack it if it is a ZIP file, and show its comparison and the path of its report.

    Nothing is trained.
    """
    from feedforward.archive import reading, results
    from feedforward.reports import terminal

    files, folder = reading.read_verified(source), source
    by_protocol = results.compare(source, files, _to_plain if as_json else terminal.show)
    if to or not source.is_dir():
        folder = to or source.with_suffix("")
        reading.unpack(files, folder)
    digest, report = reading.digest(files), folder / "reports" / "comparison" / "index.html"
    if as_json:
        values = {
            key: {protocol: plain[key] for protocol, plain in by_protocol.items()} for key in ("means", "verdicts")
        }
        print(json.dumps({"folder": str(folder), "digest": digest, **values}, indent=2, ensure_ascii=False))
        return
    for content in by_protocol.values():
        print_table(content)
    print(f"{len(files):,} files unchanged since the export, SHA-256 of digests.json: {digest}")
    message(escaped(f"report: {report}" if report.is_file() else f"{folder}: the archive contains no report"))


def _to_plain(findings: "Sequence[Findings]") -> Any:
    """Means and verdicts as JSON-serializable values; raises ValueError if one is not finite."""
    from feedforward.core import atomic_files
    from feedforward.experiments import comparison
    from feedforward.reports import data_tables

    plain = {"means": comparison.summary(findings), "verdicts": data_tables.verdicts_json(findings)}
    atomic_files.canonical_json(plain)
    return plain
