"""The values shown on the monitoring page, `GET /monitoring`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from feedforward.core.errors import FeedforwardError
from feedforward.reports import time_chart
from feedforward.reports.time_chart import Point
from feedforward.serving.challengers import Challengers
from feedforward.serving.handlers import Handlers

TITLES = {  # keys: the measurements of `data.drift`, repeated here because importing that module imports SciPy
    "non-zero features": "Non-zero features per sample",
    "features": "The feature that differs most",
    "predicted classes": "Shares of the predicted classes",
    "outputs": "The output that differs most",
}


def values(handlers: Handlers) -> dict[str, Any]:
    """The values for the page's template: one entry per dataset, and the settings."""
    datasets = []
    for name, dataset in handlers.datasets.items():
        entry = {
            "name": name,
            "title": dataset.title,
            **_shadow(handlers.challengers, name, handlers.metrics.dropped()),
        }
        windows = handlers.drift.entries.get(name, [])
        problem = handlers.drift.problems.get(name)
        datasets.append({**entry, "windows": windows, "figures": _figures(windows), "drift_problem": problem})
    return {"datasets": datasets, "settings": handlers.settings, "rule": handlers.promotion.shadow}


def _shadow(challengers: Challengers, name: str, dropped: Mapping[str, int]) -> dict[str, Any]:
    """The dataset's champion and challenger, and the shadow's latest results, which may be about an earlier pair."""
    entry: dict[str, Any] = {"champion": None, "challenger": None, "evidence": None, "pair": None}
    entry |= {"dropped": dropped.get(name, 0), "problem": challengers.problems.get(name)}
    try:
        champion = challengers.champions.champion(name)
    except FeedforwardError as error:
        return entry | {"problem": str(error)}
    challenger = challengers.of(champion)
    entry |= {"champion": champion.version.number, "challenger": challenger and challenger.version.number}
    if name in challengers.evidence:
        pair, evidence = challengers.evidence[name]
        entry |= {"pair": (pair.champion[0], pair.challenger[0]), "evidence": evidence if evidence.samples else None}
    return entry


def _figures(windows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One chart per measurement, covering the latest windows."""
    figures = []
    for kind, title in TITLES.items():
        rows = [(window, window["distances"][kind]) for window in windows if kind in window["distances"]]
        if rows:
            points = [_point(window, row) for window, row in rows]
            svg = time_chart.over_time(points, rows[-1][1]["bound"], title)
            figures.append({"title": title, "svg": svg, "last": rows[-1][1]})
    return figures


def _point(window: Mapping[str, Any], row: Mapping[str, Any]) -> Point:
    tooltip = f"{window['time'][:16].replace('T', ' ')} UTC, {row['name']}: {row['value']:.3f} (p = {row['p']:.2g})"
    return Point(datetime.fromisoformat(window["time"]), row["value"], row["drift"], tooltip)
