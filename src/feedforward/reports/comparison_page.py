"""The comparison of the variants as one offline HTML page: answers, figures, tables, verdicts, and additions.

The page shows only its input; sections without input are left out.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from feedforward.analysis.failures import RULE
from feedforward.analysis.findings import Findings, drawn_by_seeds
from feedforward.analysis.intervals import NEW_DATA, this_data
from feedforward.reports import (
    baseline_section,
    calibration_section,
    chart_data,
    errors_section,
    html_page,
    lecture_figures,
    tables,
)
from feedforward.reports import comparison_section as contents
from feedforward.reports.comparison_section import Reference


@dataclass(frozen=True)
class HardSample:
    """A test sample with one of the final model's largest losses.

    truth: the true label. prediction: the predicted label. probability: that of `prediction`. picture: the sample as
    PNG if it is an image. text: the sample if it is a text. words: the (word, attribution) pairs with the largest
    attributions, positive if the word supports `prediction`.
    """

    truth: str
    prediction: str
    probability: float
    picture: bytes | None = None
    text: str | None = None
    words: tuple[tuple[str, float], ...] = ()

    @property
    def source(self) -> str | None:
        """The image as a data URI."""
        return None if self.picture is None else "data:image/png;base64," + base64.b64encode(self.picture).decode()


@dataclass(frozen=True)
class Additions:
    """What the page shows in addition to the findings; every part is optional.

    lecture: findings for the protocol `lecture`. hardest: samples by dataset. validation: content of summary.json by
    dataset. references: models that are not variants, by dataset. origin: what the page was made from, as name → value.
    commands: the commands that recreate the page.
    """

    lecture: Sequence[Findings] = ()
    hardest: Mapping[str, Sequence[HardSample]] = field(default_factory=dict)
    validation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    references: Mapping[str, Sequence[Reference]] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ("make run",)


# Further parts of a dataset's section, shown in this order after its tables; empty parts are left out.
PARTS: tuple[Callable[[Findings, Additions], Markup], ...] = (
    baseline_section.section,
    lambda findings, _: calibration_section.render(findings),
    lambda findings, _: errors_section.render(findings),
)


def render(findings: Sequence[Findings], additions: Additions | None = None) -> str:
    """Render the page as HTML; the same input gives the same text."""
    additions = additions or Additions()
    lecture = {entry.name: entry for entry in additions.lecture}
    sections = [_section(entry, lecture.get(entry.name), additions) for entry in findings]
    most = chart_data.MOST_NUMBERS // max(1, len(findings))
    protocols = [contents.protocols(entry, lecture[entry.name]) for entry in findings if entry.name in lecture]
    data = [
        chart_data.dataset(entry, additions.references.get(entry.name, ()), most)
        for entry in findings
        if entry.variants
    ]
    page = html_page.render(
        "comparison.html",
        data=html_page.json_for_script({"datasets": data}),
        script=html_page.script("charts.js"),
        sections=sections,
        protocols=[entry for entry in protocols if entry["rows"]],
        additions=additions,
        this_data=this_data(drawn_by_seeds(findings)),
        new_data=NEW_DATA,
        rule=RULE,
        explained=tables.explanation(drawn_by_seeds(findings)),
    )
    return html_page.with_policy(page)


def _section(findings: Findings, lecture: Findings | None, additions: Additions) -> dict[str, Any]:
    """Everything that the template shows for a dataset."""
    references = additions.references.get(findings.name, ())
    return {
        "findings": findings,
        "epochs": tables.epochs(findings.dataset.training),
        "answers": contents.answers(findings),
        "failures": contents.failures(findings),
        "curves": [contents.all_curves(findings, references, wide) for wide in (True, False)],
        "forest": contents.forest(findings),
        "pairs": contents.pairs(findings),
        "table": contents.table(findings, references),
        "robust": contents.grid(*tables.robust_cells(findings)),
        "parts": [part for draw in PARTS if (part := draw(findings, additions))],
        "verdicts": [contents.verdict_entry(verdict) for verdict in findings.verdicts],
        "outcomes": tables.outcomes(findings),
        "training_samples": tables.training_samples(findings.dataset.training.train_share),
        "this_data_final": this_data(drawn_by_seeds([findings], "final")),
        "lecture": lecture_figures.figures(findings, lecture),
        "hardest": additions.hardest.get(findings.name, ()),
        "validation": additions.validation.get(findings.name),
    }
