"""The page about a retraining in Prefect's UI: the decision with its reasons, drift, the gate's verdicts, links."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from feedforward.config.schema import Params
from feedforward.retraining.policy import Comparison, Decision, Observations
from pipelines import run_artifacts

FEATURES_SHOWN = 3  # number of features shown per dataset: those with the largest distances


def text(
    params: Params,
    decision: Decision,
    observations: Mapping[str, Observations],
    outcomes: Mapping[str, str],
    report_page: Path,
) -> str:
    """This page as Markdown. report_page: the HTML page that retraining.report wrote."""
    lines = [f"# {'Trained' if decision.retrain else 'No reason to train'}", ""]
    lines += [f"- {line}" for line in (*decision.reasons, *decision.remarks)]
    if outcomes:
        lines += ["", "## Promotion", "", *(f"- **{name}**: {line}" for name, line in outcomes.items())]
    for name, observed in observations.items():
        if observed.comparison is not None:
            lines += [
                "",
                f"## {params.datasets[name].title}: {observed.new} new samples",
                "",
                *_drift(observed.comparison),
            ]
    return "\n".join([*lines, "", "## Links", "", *run_artifacts.links({"Page of this retraining": report_page}), ""])


def _drift(comparison: Comparison) -> Iterable[str]:
    """The lines of a table of distances between training data and new samples."""
    distances = comparison.distances
    yield "| measurement | distance | bound | p-value | |"
    yield "|---|---|---|---|---|"
    # the first two of the others are not features: the number of non-zero features, and the length of the raw sample
    for distance in (distances.classes, *distances.others[:2], *distances.farthest(FEATURES_SHOWN)):
        verdict = "drift" if distance in distances.drifted else "no drift"
        name = distance.name.replace("|", "\\|")
        yield f"| {name} | {distance.value:.3f} | {distance.bound:g} | {distance.p:.2g} | {verdict} |"
