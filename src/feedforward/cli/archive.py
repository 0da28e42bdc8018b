"""The commands that pass a result on to another person or machine: export, import."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedforward.cli.options import JsonOption
from feedforward.cli.output import check_file, escaped, message, table
from feedforward.core.errors import DataError

if TYPE_CHECKING:
    from feedforward.analysis.findings import Findings

MAX_RESULT_BYTES = 2**26  # per protocol: enough for the curves of ten thousand runs


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE.zip|DIR", help="The archive to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write an archive of everything behind the last comparison: parameters, curves, verdicts, report, models."""
    from feedforward.archive import writing
    from feedforward.config.schema import load_params

    if not target.is_dir():
        check_file(target)
    files = writing.collect(load_params())
    digest, size = writing.write(files, target), sum(map(len, files.values()))
    if as_json:
        print(json.dumps({"target": str(target), "files": len(files), "bytes": size, "digest": digest}, indent=2))
        return
    print(f"{target}: {len(files)} files, {size:,} bytes, SHA-256 of digests.json: {digest}")


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="FILE.zip|DIR", help="An archive written by `feedforward export FILE.zip`.")
    ],
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to unpack the ZIP file into. Default: its name without .zip.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an archive, unpack it, and show its comparison and the path of its report; nothing is trained."""
    from feedforward.archive import reading

    files, folder = reading.verified(source), source
    if to or not source.is_dir():
        folder = to or source.with_suffix("")
        reading.unpack(files, folder)
    findings, report = _findings(files, folder), folder / "reports" / "comparison" / "index.html"
    digest = reading.digest(files)
    if as_json:
        print(json.dumps({"folder": str(folder), "digest": digest, **_as_json(findings)}, indent=2, ensure_ascii=False))
        return
    from feedforward.reports import terminal

    for protocol_findings in findings.values():
        table(terminal.show(protocol_findings))
    print(f"{len(files)} files unchanged since the export, SHA-256 of digests.json: {digest}")
    message(escaped(f"report: {report}" if report.is_file() else f"{folder}: the archive contains no report"))


def _findings(files: dict[str, bytes], folder: Path) -> "dict[str, list[Findings]]":
    """The comparison of each protocol, computed from the curves.

    Raises:
        ParamsError: this release cannot read the archive's params.yaml. DataError: its results cannot be compared.
    """
    from feedforward.analysis import findings, run_result
    from feedforward.config.schema import load_params

    params = load_params(folder / "params.yaml")
    by_protocol = {}
    for protocol in ("fair", "lecture"):
        name = f"data/trained/{protocol}.json"
        if (size := len(files.get(name, b""))) > MAX_RESULT_BYTES:
            expected = f"must have at most {MAX_RESULT_BYTES} bytes, got {size}"
            raise DataError(f"{folder / name}: {expected}; ask for the archive again")
        if name in files:
            try:
                by_protocol[protocol] = findings.find(run_result.load(folder / name), params, protocol)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise DataError(
                    f"{folder / name}: its runs cannot be compared ({error}); ask for the archive again"
                ) from None
    return by_protocol


def _as_json(findings: "dict[str, list[Findings]]") -> dict[str, Any]:
    from feedforward.experiments import comparison
    from feedforward.reports import tables

    means = {protocol: comparison.summary(results) for protocol, results in findings.items()}
    verdicts = {protocol: tables.verdicts_plain(results) for protocol, results in findings.items()}
    return {"means": means, "verdicts": verdicts}
