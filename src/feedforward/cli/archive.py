"""The commands that carry a result elsewhere: export, import."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedforward.cli.options import JsonOption
from feedforward.cli.output import escaped, message, table
from feedforward.core.errors import DataError

if TYPE_CHECKING:
    from feedforward.analysis.findings import Findings

MAX_RESULT_BYTES = 2**26  # of the curves of a protocol: those of ten thousand runs


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE.zip|DIR", help="The archive to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write everything behind the last comparison for somebody else: parameters, curves, verdicts, report, models."""
    from feedforward.archive import writing
    from feedforward.config.schema import load_params

    files = writing.collect(load_params())
    digest, size = writing.write(files, target), sum(map(len, files.values()))
    if as_json:
        print(json.dumps({"target": str(target), "files": len(files), "bytes": size, "digest": digest}, indent=2))
        return
    print(f"{target}: {len(files)} files, {size:,} bytes, SHA-256 of its digests {digest}")


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="FILE.zip|DIR", help="An archive of `feedforward export FILE.zip`.")
    ],
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to unpack a ZIP file into. Default: its name without .zip.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an archive, unpack it, and show its comparison and where its report is; nothing is trained."""
    from feedforward.archive import reading

    files, folder = reading.verified(source), source
    if to or not source.is_dir():
        folder = to or source.with_suffix("")
        reading.unpack(files, folder)
    findings, report = _findings(files, folder), folder / "reports" / "comparison" / "index.html"
    digest = reading.digest(files)
    if as_json:
        print(json.dumps({"folder": str(folder), "digest": digest, **_plain(findings)}, indent=2, ensure_ascii=False))
        return
    from feedforward.reports import terminal

    for one in findings.values():
        table(terminal.show(one))
    print(f"{len(files)} files unchanged since the export, SHA-256 of its digests {digest}")
    message(escaped(f"report: {report}" if report.is_file() else f"{folder}: has no report"))


def _findings(files: dict[str, bytes], folder: Path) -> "dict[str, list[Findings]]":
    """The comparison of each protocol, computed from the curves.

    Raises:
        ParamsError: its params.yaml is not one of this release. DataError: its results cannot be compared.
    """
    from feedforward.analysis import findings, run_result
    from feedforward.config.schema import load_params

    params = load_params(folder / "params.yaml")
    found = {}
    for protocol in ("fair", "lecture"):
        name = f"data/trained/{protocol}.json"
        if len(files.get(name, b"")) > MAX_RESULT_BYTES:
            raise DataError(f"{folder / name}: must have at most {MAX_RESULT_BYTES} bytes; ask for the archive again")
        if name in files:
            try:
                found[protocol] = findings.find(run_result.load(folder / name), params, protocol)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise DataError(f"{folder / name}: cannot be compared ({error}); ask for the archive again") from None
    return found


def _plain(findings: "dict[str, list[Findings]]") -> dict[str, Any]:
    from feedforward.experiments import comparison
    from feedforward.reports import tables

    means = {protocol: comparison.summary(one) for protocol, one in findings.items()}
    return {"means": means, "verdicts": {protocol: tables.verdicts_plain(one) for protocol, one in findings.items()}}
