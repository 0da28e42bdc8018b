"""The summary of a validation: its checks as JSON, as a page and as text."""

from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files
from feedforward.reports import html_page


@dataclass(frozen=True)
class Check:
    """An expectation and its result.

    split: train, test or both. expected, found: requirement and observation, as text. explained: what is checked.
    noted: whether the page points out the check, which is met although some samples are flawed.
    """

    name: str
    split: str
    expected: str
    found: str
    success: bool
    explained: str
    noted: bool = False


@dataclass(frozen=True)
class Summary:
    """All checks of a dataset, and the distributions that its page shows.

    sample: whether it is demo data. expectations: those of params.yaml; None: they were derived. samples: number of
    samples by split. distributions: for each of `label`, `ones` (number of non-zero features) and `raw_length`, counts
    per class or bin, by split.
    """

    dataset: str
    title: str
    sample: bool
    data_digest: str
    expectations: dict[str, Any] | None
    features: int
    samples: dict[str, int]
    checks: tuple[Check, ...]
    distributions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether all checks are met."""
        return not self.failed

    @property
    def failed(self) -> list[Check]:
        """The checks that are not met."""
        return [check for check in self.checks if not check.success]

    def groups(self) -> list[tuple[str, list[Check]]]:
        """The checks grouped by name: (name, its checks, one per split)."""
        order = {check.name: i for i, check in reversed(list(enumerate(self.checks)))}
        ordered = sorted(self.checks, key=lambda check: order[check.name])
        return [(name, list(checks)) for name, checks in groupby(ordered, key=lambda check: check.name)]

    def save(self, folder: Path, page: str = "index.html") -> None:
        """Write `summary.json` and the page into `folder`: equal summaries produce equal bytes."""
        atomic_files.write_json(folder / "summary.json", {"success": self.success, **asdict(self)})
        atomic_files.write_text(
            folder / page, html_page.render("validation.html", summary=self, figures=_figures(self))
        )

    def table(self) -> str:
        """The failed checks as lines of text: check, split, expected, found."""
        rows = [("check", "split", "expected", "found")]
        rows += [(check.name, check.split, check.expected, check.found) for check in self.failed]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join("  ".join([*map(str.ljust, row, widths), row[3]]) for row in rows)


def _figures(summary: Summary) -> list[dict[str, Any]]:
    """Title, SVG and caption of each distribution."""
    figures = []
    titles = {"label": "Classes", "ones": "Non-zero features of a sample", "raw_length": "Bytes of a raw sample"}
    for key, title in titles.items():
        if key not in summary.distributions:
            continue
        distribution = summary.distributions[key]
        shares = {split: [count / summary.samples[split] for count in distribution[split]] for split in summary.samples}
        low, high = distribution["accepted"]
        if key == "label":
            svg = html_page.grouped_bars(shares, distribution["labels"], title, (low, high))
            caption = f"Share of its split; accepted: {html_page.span(low, high, html_page.percent)}."
        else:
            svg = html_page.histogram(shares, distribution["edges"], title, distribution["open_end"])
            caption = f"Share of its split; accepted: {html_page.span(low, high)}."
            caption += " The last bar includes all larger values." if distribution["open_end"] else ""
        figures.append({"title": title, "svg": svg, "caption": caption, "band": key == "label"})
    return figures
