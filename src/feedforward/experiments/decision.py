"""Deciding the claims of a dataset: which runs are still needed, and what came of it as files.

Verdicts hold at every number of seeds (analysis.sequential), so seeds may be added until all claims are decided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedforward.analysis import claims
from feedforward.analysis.claims import Verdict
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import ParamsError
from feedforward.reports import tables

PROTOCOL = "fair"


@dataclass(frozen=True)
class Needed:
    """What the claims that are not decided yet compare; variants and roles of runs."""

    variants: tuple[str, ...]
    roles: tuple[str, ...]


def needed(params: Params, dataset: str, verdicts: Sequence[Verdict]) -> Needed:
    """The runs that undecided claims need, from the verdicts so far; before the first look all claims are undecided.

    Raises:
        ParamsError: the dataset makes no claims.
    """
    made = params.dataset(dataset).claims
    if not made:
        raise ParamsError([f"datasets.{dataset}.claims: there are none to decide; add some to params.yaml"])
    decided = {verdict.claim for verdict in verdicts if verdict.decided}
    left = [claim for claim in made if claim not in decided]
    variants = dict.fromkeys(name for claim in left for name in (claim.left, claim.right) if name is not None)
    roles = dict.fromkeys(STATISTICS[claim.statistic].role for claim in left)
    return Needed(tuple(variants), tuple(roles))


def judge(results: Iterable[RunResult], params: Params, dataset: str) -> list[Verdict]:
    """Verdicts on the claims of one dataset."""
    return [verdict for verdict in claims.judge(results, params, PROTOCOL) if verdict.dataset == dataset]


def write(verdicts: Sequence[Verdict], params: Params, dataset: str, reason: str) -> Path:
    """Write verdicts as JSON and Markdown and the figure by number of seeds to reports/decisions; the folder.

    reason: why training ended.
    """
    from feedforward.reports import claim_figures, figures  # matplotlib takes a second to import

    title = f"{params.dataset(dataset).title}: claims by number of seeds"
    picture = figures.png(claim_figures.intervals_by_seeds(verdicts, title))
    header = ("claim", "verdict", "seeds", "measured", "interval at every number of seeds")
    rows = [
        (
            verdict.claim.text,
            f"**{verdict.outcome}**",
            str(verdict.n),
            tables.sides(verdict),
            tables.sequence(verdict.interval, STATISTICS[verdict.claim.statistic].decimals),
        )
        for verdict in verdicts
    ]
    text = f"# {title}\n\n{tables.markdown(header, rows)}\n{reason}\n\n![intervals](intervals.png)\n"
    plain = {"dataset": dataset, "reason": reason, "verdicts": [tables.verdict_plain(verdict) for verdict in verdicts]}
    with atomic_files.writing_folder(paths.decision(dataset), "decide") as folder:
        atomic_files.write_text(folder / "verdicts.md", text, "decide.file")
        atomic_files.write_json(folder / "verdicts.json", plain, "decide.file")
        with atomic_files.writing(folder / "intervals.png", "decide.file") as file:
            file.write(picture)
    return paths.decision(dataset)
