"""Measures `feedforward init` and `run` for tables of two sizes: `python -m bench.table`, or `make bench`.

The tables are CSV files with 30 columns (numbers, counts, categories, a year and the label). For each size, `init` adds
the table to params.yaml in a fresh workspace, and `run` trains with the settings that `init` chose for the table: five
variants with the checkout's number of seeds, the final models, and the baselines. Writes reports/bench/table.json.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from bench import measure, terminal, workspace
from bench.bench import Target
from bench.growth import exponent
from feedforward.core import atomic_files, paths

ROWS = (250_000, 1_000_000)
QUICK_ROWS = (1_000, 2_000)
COLUMNS = 30  # that _write_table writes
SEED = 7
EXPONENT = Target("scaling exponent of CPU time", 1.05)
FEEDFORWARD = (sys.executable, "-m", "feedforward.cli")


def main() -> None:
    """Measure, write and print."""
    options = terminal.parser("table", __doc__, f"tables of {QUICK_ROWS[0]:,} and {QUICK_ROWS[1]:,} rows").parse_args()
    machine, sizes = measure.machine(), []
    with tempfile.TemporaryDirectory(prefix="feedforward-table-") as name:
        for row_count in QUICK_ROWS if options.quick else ROWS:
            sizes.append(_measure(Path(name) / str(row_count), row_count))
            print(sizes[-1], flush=True)
    report = {"machine": machine, "quick": options.quick, "sizes": sizes}
    atomic_files.write_json(options.json, report)
    print(text(report))


def _measure(folder: Path, row_count: int) -> dict[str, Any]:
    """Measure `init` and `run` for a table with this number of rows."""
    workspace.create(paths.root(), folder)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["datasets"].clear()
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    table = folder / "table.csv"
    _write_table(table, row_count)
    variables = workspace.environment(folder)
    init = measure.run([*FEEDFORWARD, "init", str(table), "--target", "label"], folder, variables)
    run = measure.run([*FEEDFORWARD, "run"], folder, variables)
    return {"rows": row_count, "bytes": table.stat().st_size, "init": vars(init), "run": vars(run)}


def _write_table(path: Path, row_count: int) -> None:
    """Write a table of 14 + 6 + 8 columns, a year and a label, which depends on some of the others."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=(row_count, 14))
    columns: dict[str, Any] = {
        f"measure_{index}": np.round(values[:, index] * 10 ** (index % 4) + index, 4) for index in range(14)
    }
    columns |= {f"count_{index}": rng.poisson(3 + 5 * index, row_count) for index in range(6)}
    categories = [rng.integers(0, 3 + 4 * index, row_count) for index in range(8)]
    columns |= {f"category_{index}": [f"c{value}" for value in column] for index, column in enumerate(categories)}
    columns["year"] = rng.integers(1980, 2024, row_count)
    score = values[:, 0] + values[:, 1] * values[:, 2] + (categories[1] == 2) + rng.normal(size=row_count)
    columns["label"] = np.where(score > 0.3, "good", "bad")
    frame = pd.DataFrame(columns)
    frame.loc[rng.random(row_count) < 0.02, ["measure_3", "category_2"]] = np.nan  # missing values
    frame.to_csv(path, index=False)


# --- output --------------------------------------------------------------------------------------


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each size."""
    rows = [["rows", "CSV MB", "`init` s", "`run` minutes", "`run` CPU s", "`run` peak MB"]]
    for size in report["sizes"]:
        init, run = size["init"], size["run"]
        cells = [f"{size['bytes'] / 1e6:.0f}", f"{init['wall']:.0f}", f"{run['wall'] / 60:.1f}", f"{run['cpu']:.0f}"]
        rows.append([f"{size['rows']:,}", *cells, f"{run['peak'] / 1e6:.0f}"])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each target."""
    sizes = [size["rows"] for size in report["sizes"]]
    slope = exponent(sizes, [size["run"]["cpu"] for size in report["sizes"]])
    return [
        ["target", "limit", "measured", ""],
        [EXPONENT.name, f"{EXPONENT.limit:g}", f"{slope:.2f}", EXPONENT.verdict(slope)],
    ]


def text(report: Mapping[str, Any]) -> str:
    """Both tables, for a terminal."""
    return terminal.text(report, table(report), targets_table(report))


if __name__ == "__main__":
    main()
