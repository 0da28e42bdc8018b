"""What MLflow's pages show for an experiment: a description, and prepared views with charts and columns.

A view is a page's state as JSON in a tag, as written by the page's Share button. MLflow does not document the keys.
"""

import json
from typing import Any

KIND = {"mlflow.experimentKind": "custom_model_development"}  # the pages open in the view for model training
DESCRIPTION = {
    "mlflow.note.content": (
        "Variants of one network, trained with several seeds each. To compare them, filter by `tags.role = 'variant'`,"
        " or use the link that `feedforward ui` prints.\n\n"
        "| `tags.role` | run |\n|---|---|\n"
        "| `variant` | means over the seeds of a variant, as single values and curves, with intervals (`interval/`) |\n"
        "| `replica` | one seed, nested under its variant |\n"
        "| `finals` | means over the final runs (`final`, nested under it), which have no validation samples |\n"
        "| `sweep`, `trial` | a search over parameters, and one combination |\n"
        "| `confirmation`, `sweep_test` | the best trials, trained with fresh seeds, and the test of the winner |\n"
        "| `comparison` | the report: artifact `index.html` |\n\n"
        "Report: `reports/comparison/index.html`. Code and documentation: `README.md` and `docs/` of the checkout."
    )
}
VIEW_PREFIX = "mlflow.sharedViewState."  # of a tag; the name of the view follows
PROTOCOLS = ("fair", "lecture")
CURVES = ("val_loss", "val_accuracy", "val_mae", "loss", "accuracy", "mae")  # curves that a task lacks are hidden
BARS = ("mean_best_val_cross_entropy", "mean_best_val_accuracy", "mean_best_epoch", "mean_generalization_gap")
CARD_HEIGHT = 420  # px


def bounds(name: str) -> tuple[str, str]:
    """Names of the metrics that contain the interval of the metric or curve `name`: `interval/NAME_low`, `…_high`.

    >>> bounds("val_loss")
    ('interval/val_loss_low', 'interval/val_loss_high')
    """
    return f"interval/{name}_low", f"interval/{name}_high"


def view(protocol: str) -> dict[str, Any]:
    """The state of the page that compares the variants of a protocol: curves with their intervals, then means."""
    return {
        "searchFilter": f"tags.role = 'variant' and tags.protocol = '{protocol}'",
        "orderByKey": f"metrics.`{BARS[0]}`",
        "orderByAsc": True,
        "selectedColumns": [f"metrics.`{name}`" for name in (*BARS, "seeds")],
        "runsHiddenMode": "FIRST_20_RUNS",
        "isAccordionReordered": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": [
            _section("curves", "Mean over seeds, 95 % interval", columns=1),
            _section("means", "Mean over seeds", columns=4),
        ],
        "compareRunCharts": [_line_chart(name) for name in CURVES] + [_bar_chart(name) for name in BARS],
    }


def _section(key: str, title: str, columns: int) -> dict[str, Any]:
    state = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": key, "name": title, "columns": columns, "cardHeight": CARD_HEIGHT, **state}


def _line_chart(name: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "uuid": f"curves-{name}",
        "metricSectionId": "curves",
        "metricKey": name,
        "selectedMetricKeys": [name, *bounds(name)],
        "displayName": name,
        "displayPoints": False,
        "useGlobalLineSmoothing": False,
        "lineSmoothness": 0,
        "deleted": False,
        "isGenerated": False,
    }


def _bar_chart(name: str) -> dict[str, Any]:
    return {
        "type": "BAR",
        "uuid": f"means-{name}",
        "metricSectionId": "means",
        "metricKey": name,
        "displayName": name,
        "deleted": False,
        "isGenerated": False,
    }


VIEWS = {f"{VIEW_PREFIX}{protocol}": json.dumps(view(protocol), separators=(",", ":")) for protocol in PROTOCOLS}


def missing_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags to add or update, given an experiment's current tags; a description written by a user is kept."""
    missing = {key: text for key, text in {**KIND, **DESCRIPTION}.items() if key not in tags}
    return missing | {key: text for key, text in VIEWS.items() if tags.get(key) != text}


def link(address: str, experiment_id: str, protocol: str) -> str:
    """The address of the prepared view of a protocol, within the pages for model training."""
    state = f"viewStateShareKey={protocol}&compareRunsMode=CHART&workflowType=machine_learning"
    return f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs?{state}"
