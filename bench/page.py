"""Writes docs/performance-measured.md from the JSON files that `make bench` and `make bench-gpu` write."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import bench, gpu, growth, interference, parts, scale, serving, shadow, table
from feedforward.core import atomic_files, paths

FORMER = re.compile(r"<!-- (\w+)\.json -->\n\n(.*?)\s*(?=<!-- |\Z)", re.DOTALL)  # a report's name and sections


def main() -> None:
    """Write the page from the reports in reports/bench that exist; the page keeps its sections about others."""
    folder, target = paths.root() / "reports" / "bench", paths.root() / "docs" / "performance-measured.md"
    reports = {path.stem: atomic_files.read_json(path) for path in sorted(folder.glob("*.json"))}
    atomic_files.write_text(target, page(reports, target.read_text(encoding="utf-8") if target.exists() else ""))


def page(reports: Mapping[str, Mapping[str, Any]], former: str = "") -> str:
    """The page, with sections about each report and, from the `former` page, about those that are not given."""
    texts = dict(FORMER.findall(former))
    for name in SECTIONS.keys() & reports.keys():
        quick = ["**Quick run: the results are meaningless.**"] if reports[name].get("quick") else []
        texts[name] = "\n\n".join([*SECTIONS[name](reports[name]), *quick])
    sections = ["# Performance, as measured", "Written by `make bench`; [performance.md](performance.md) explains it."]
    for name in SECTIONS:
        sections += [f"<!-- {name}.json -->", texts[name]] if name in texts else []
    return "\n\n".join(sections) + "\n"


def _section(title: str, report: Mapping[str, Any], text: str, *tables: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title}", machine(report["machine"]), text, *map(markdown, tables)]


def _rounds(number: int) -> str:
    return "One round" if number == 1 else f"Medians of {number} alternating rounds"


def _bench(report: Mapping[str, Any]) -> list[str]:
    spread = "; their range over the rounds is in parentheses" if report["rounds"] > 1 else ""
    text = (
        f"{_rounds(report['rounds'])}; every measurement runs in a fresh process. Ratios are relative to the plain"
        f" script{spread}."
    )
    return [
        *_section("The whole pipeline", report, text, bench.table(dict(report)), bench.targets_table(dict(report))),
        "Test metrics of the final models, to check that the script and the pipeline compute the same results:",
        markdown(_metrics(report)),
    ]


def _metrics(report: Mapping[str, Any]) -> list[list[str]]:
    rows = [["", "MNIST accuracy", "IMDb loss", "IMDb accuracy"]]
    for name in report["names"]:
        metrics = report["metrics"][name]
        mnist, imdb = metrics["mnist"], metrics.get("final", metrics.get("imdb"))
        rows.append([name, *(f"{x:.4f}" for x in (mnist["test_accuracy"], imdb["test_loss"], imdb["test_accuracy"]))])
    return rows


def _parts(report: Mapping[str, Any]) -> list[str]:
    rates = report["rates"]
    text = (
        f"Measured rates: {rates['flops'] / 1e9:.0f} GFLOP/s on one core and {rates['flops_all'] / 1e9:.0f} GFLOP/s"
        f" on all cores; memory bandwidth is {rates['bandwidth'] / 1e9:.0f} GB/s with one core and"
        f" {rates['bandwidth_all'] / 1e9:.0f} GB/s with all cores. The floor of a part is the time that its counted"
        " operations or bytes take at these rates, whichever is longer."
        " Epochs are measured on one core: on CPUs without AVX-512, the pipeline trains each pack on one core."
    )
    return [
        *_section("Each part and its floor", report, text, parts.parts_table(report), parts.targets_table(report)),
        "## Where the pipeline spends its time (one seed)",
        markdown(parts.stages_table(report)),
        markdown(parts.imports_table(report)),
        "## Gain of each optimization",
        "Seconds per epoch on one core with all optimizations, and the slowdown if one of them is switched off."
        " *TensorFlow's gradient* and *Keras's RMSprop* also switch off the compiled tail.",
        markdown(parts.tricks_table(report)),
        "## Additional replicas of the narrow variants in a pack, 20 epochs with validation",
        "Seconds; the replicas run on one core, and *plain*, the plain Keras script, on all cores.",
        markdown(parts.seeds_table(report)),
    ]


def _growth(report: Mapping[str, Any]) -> list[str]:
    text = "The reviews are repeated to get larger data; each size is measured in separate processes."
    tables = growth.growth_table(report), growth.cluster_table(report), growth.targets_table(report)
    return _section("Growth", report, text, *tables)


def _table(report: Mapping[str, Any]) -> list[str]:
    text = f"`feedforward init` for a CSV file with {table.COLUMNS} columns, then `feedforward run` with its settings."
    return _section("A large table", report, text, table.table(report), table.targets_table(report))


def _serving(report: Mapping[str, Any]) -> list[str]:
    text = (
        f"{report['clients']} clients ({report['program']}), one sample per request, medians of {report['rounds']}"
        " alternating rounds. The clients run on the same cores as the server."
    )
    return _section("Serving", report, text, serving.table(report), serving.targets_table(report))


def _interference(report: Mapping[str, Any]) -> list[str]:
    tables = interference.table(report), interference.targets_table(report)
    return _section(
        "Short requests while a large one is answered", report, f"Medians of {report['rounds']} rounds.", *tables
    )


def _shadow(report: Mapping[str, Any]) -> list[str]:
    text = (
        f"Medians of {report['rounds']} rounds: one service with a shadow and two without, one of which is the control,"
        f" one after the other in changing order. The clients ({report['program']}) and the shadow use the cores of the"
        " services."
    )
    return _section("What a shadow costs the caller", report, text, shadow.table(report), shadow.targets_table(report))


def _scale(report: Mapping[str, Any]) -> list[str]:
    text = (
        f"Each row was measured for {report['seconds']:.0f} s; the simulated workers ran on the same cores as the"
        " servers. [scale.md](scale.md) draws the conclusions."
    )
    return [
        *_section("The shared servers", report, text),
        "Complete runs, logged to MLflow's server:",
        markdown(scale.table(report, "runs")),
        "Prefect flow runs with one task each:",
        markdown(scale.table(report, "flows")),
        markdown(scale.bytes_table(report)),
    ]


def _gpu(report: Mapping[str, Any]) -> list[str]:
    text = f"{report['device']}; measured memory bandwidth: {report['bandwidth'] / 1e9:.0f} GB/s."
    return ["## On a GPU", text, markdown(gpu.table(dict(report)))]


def machine(facts: Mapping[str, Any]) -> str:
    """One sentence about the machine."""
    libraries = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    return (
        f"Machine: {facts['cores']} cores ({facts['cpu']}; {', '.join(facts['vector_units'])}), {facts['memory_gib']}"
        f" GiB, {facts['system']}, Python {facts['python']}, {libraries};"
        f" load average before the run: {facts['load_before']}."
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is the header, and all columns but the first are right-aligned."""
    lines = [rows[0], ["---", *(["---:"] * (len(rows[0]) - 1))], *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


SECTIONS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "bench": _bench,
    "parts": _parts,
    "growth": _growth,
    "table": _table,
    "serving": _serving,
    "interference": _interference,
    "shadow": _shadow,
    "scale": _scale,
    "gpu": _gpu,
}

if __name__ == "__main__":
    main()
