"""The page about the latest retraining: reasons, a comparison of incoming samples with training data, and outcome."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.data.drift import LENGTH, NONZERO, Distance
from feedforward.reports import html_page
from feedforward.retraining.policy import Comparison, Decision, Observations

FEATURES_SHOWN = 6  # the features with the largest distances
CAPTIONS = {NONZERO: "Non-zero features per sample", LENGTH: "Bytes per raw sample"}


def write(
    params: Params, decision: Decision, observed: Mapping[str, Observations], outcomes: Mapping[str, str]
) -> Path:
    """Write the page and return its path. outcomes: the gate's decision for each dataset, in one line."""
    datasets = [
        {
            "title": params.datasets[name].title,
            "new": observations.new,
            "comparison": observations.comparison,
            "figures": _figures(observations.comparison, params.datasets[name].labels),
            "rows": _rows(observations.comparison),
        }
        for name, observations in observed.items()
    ]
    text = html_page.render(
        "retraining.html", decision=decision, outcomes=outcomes, datasets=datasets, bounds=params.retraining
    )
    with atomic_files.writing_folder(paths.retraining(), "retraining") as folder:
        atomic_files.write_text(folder / "index.html", text)
    return paths.retraining() / "index.html"


def _figures(comparison: Comparison | None, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Title and SVG of each figure; training data in the first color, incoming samples in the second."""
    if comparison is None:
        return []
    train, incoming = comparison.classes
    bars = html_page.grouped_bars({"training": train, "incoming": incoming}, labels, "Classes")
    figures = [{"title": "Classes", "svg": bars}]
    for name, histogram in comparison.histograms.items():
        shares = {"training": histogram.train, "incoming": histogram.incoming}
        svg = html_page.histogram(shares, histogram.edges, CAPTIONS[name], open_end=True)
        figures.append({"title": CAPTIONS[name], "svg": svg})
    farthest = comparison.distances.farthest(FEATURES_SHOWN)
    shown = [(feature.name, feature.means) for feature in farthest if feature.means is not None]
    title = "Features with the largest distances, means"
    series = {"training": [mean for _, (mean, _) in shown], "incoming": [mean for _, (_, mean) in shown]}
    figures.append({"title": title, "svg": html_page.grouped_bars(series, [name for name, _ in shown], title)})
    return figures


def _rows(comparison: Comparison | None) -> list[Distance]:
    """The distances that the table on the page shows."""
    if comparison is None:
        return []
    distances = comparison.distances
    # the first two of the others are not features: the number of non-zero features, and the length of the raw sample
    return [distances.classes, *distances.others[:2], *distances.farthest(FEATURES_SHOWN)]
