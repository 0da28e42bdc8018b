"""The page on the latest retraining: why it was, incoming samples beside training data, what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.reports import html_page
from feedforward.retraining.drift import LENGTH, ONES, Distance
from feedforward.retraining.policy import Comparison, Decision, Look

FARTHEST = 6  # features that are shown
CAPTIONS = {ONES: "Non-zero features of a sample", LENGTH: "Bytes of a raw sample"}


def write(params: Params, decision: Decision, looks: Mapping[str, Look], outcomes: Mapping[str, str]) -> Path:
    """Write the page. outcomes: what the gate said of each data set, in words."""
    seen = [
        {
            "title": params.datasets[name].title,
            "look": look,
            "figures": _figures(look.comparison, params.datasets[name].labels) if look.comparison else [],
            "rows": _rows(look.comparison) if look.comparison else [],
        }
        for name, look in looks.items()
    ]
    text = html_page.render(
        "retraining.html", decision=decision, outcomes=outcomes, seen=seen, bounds=params.retraining
    )
    with atomic_files.writing_folder(paths.retraining(), "retraining") as folder:
        atomic_files.write_text(folder / "index.html", text)
    return paths.retraining() / "index.html"


def _figures(found: Comparison, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Title and SVG of each figure; training data in the first colour, incoming samples in the second."""
    train, incoming = found.classes
    bars = html_page.grouped_bars({"training": train, "incoming": incoming}, labels, "Classes")
    figures = [{"title": "Classes", "svg": bars}]
    for name, histogram in found.histograms.items():
        shares = {"training": histogram.train, "incoming": histogram.incoming}
        svg = html_page.histogram(shares, histogram.edges, CAPTIONS[name], open_end=True)
        figures.append({"title": CAPTIONS[name], "svg": svg})
    shown = [(each.name, each.means) for each in found.distances.farthest(FARTHEST) if each.means is not None]
    title = "Features farthest apart, means"
    series = {"training": [before for _, (before, _) in shown], "incoming": [now for _, (_, now) in shown]}
    figures.append({"title": title, "svg": html_page.grouped_bars(series, [name for name, _ in shown], title)})
    return figures


def _rows(found: Comparison) -> list[Distance]:
    """The distances that the page lists."""
    return [found.distances.classes, *found.distances.others[:2], *found.distances.farthest(FARTHEST)]
