"""Decides the claims about a dataset: finds the runs that are still needed, and writes the verdicts.

Verdicts are valid at every number of seeds (analysis.sequential), so seeds may be added until all claims are decided.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedforward.analysis import claims
from feedforward.analysis.claims import Verdict
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import ParamsError
from feedforward.data import manifest as manifest_file
from feedforward.experiments import plan
from feedforward.reports import data_tables, tables

PROTOCOL = "fair"
CODE = (*plan.WEIGHTS, *plan.EVALUATION, "feedforward.analysis.claims")  # that determines the verdicts
TABLE, FIGURE = "verdicts.md", "intervals.png"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NeededRuns:
    """The variants and the roles of runs that claims compare that further seeds may decide."""

    variants: tuple[str, ...]
    roles: tuple[str, ...]


def find_needed(params: Params, dataset: str, verdicts: Sequence[Verdict]) -> NeededRuns:
    """Find the runs that undecided claims need, given the verdicts so far; without verdicts, all claims are undecided.

    Runs for claims that further seeds would not decide (`Verdict.obstacle`) are not needed.

    Raises:
        ParamsError: params.yaml has no claims about the dataset.
    """
    all_claims = params.dataset(dataset).claims
    if not all_claims:
        raise ParamsError([f"datasets.{dataset}.claims: there are no claims to decide; add some to params.yaml"])
    finished = {verdict.claim for verdict in verdicts if verdict.decided or verdict.obstacle}
    undecided = [claim for claim in all_claims if claim not in finished]
    variants = dict.fromkeys(name for claim in undecided for name in (claim.left, claim.right) if name is not None)
    roles = dict.fromkeys(STATISTICS[claim.statistic].role for claim in undecided)
    return NeededRuns(tuple(variants), tuple(roles))


def judge(results: Iterable[RunResult], params: Params, dataset: str) -> list[Verdict]:
    """The verdicts on the claims about one dataset."""
    return [verdict for verdict in claims.judge(results, params, PROTOCOL) if verdict.dataset == dataset]


def load_saved(params: Params, dataset: str) -> tuple[str, bytes] | None:
    """Load the table (Markdown) and the plot (PNG) that `write` wrote last; None if `is_current` is false.

    Raises:
        DataError: the data are not vectorized.
    """
    if not is_current(params, dataset):
        return None
    folder = paths.decision(dataset)
    _, table = (folder / TABLE).read_text(encoding="utf-8").split("\n\n", 1)
    return table.rpartition("\n\n")[0] + "\n\n", (folder / FIGURE).read_bytes()


def is_current(params: Params, dataset: str) -> bool:
    """Whether `write` wrote verdicts for this dataset with the current claims, data, code and parameters.

    If these have changed since, a warning says so.

    Raises:
        DataError: the data are not vectorized.
    """
    folder = paths.decision(dataset)
    if not (folder / TABLE).is_file():
        return False
    if _recorded_basis(folder) != _basis(params, dataset):
        log.warning(
            "%s: the saved decision is left out, because claims, parameters, data or code have changed since;"
            " run `feedforward decide %s`",
            folder,
            dataset,
        )
        return False
    return True


def _basis(params: Params, dataset: str) -> str:
    """SHA-256 (hex) of what determines the verdicts: claims, margins, parameters of the compared runs, data, code."""
    config = params.dataset(dataset)
    compared = {name for claim in config.claims for name in (claim.left, claim.right) if name is not None}
    packs = plan.plan(params, PROTOCOL, [dataset], sorted(compared), [0]) if compared else []
    runs = sorted((m.variant, pack.role, atomic_files.digest(m.parameters)) for pack in packs for m in pack.members)
    return atomic_files.digest(
        {
            "claims": [claim.model_dump(mode="json") for claim in config.claims],
            "margins": {str(statistic): margin for statistic, margin in config.margins.items()},
            "runs": runs,
            "data": manifest_file.load_current(dataset, config)["data_digest"],
            "code": code_digest(CODE),
        }
    )


def _recorded_basis(folder: Path) -> str | None:
    """The basis of the saved verdicts; None if there is none, as in files of old versions."""
    try:
        return str(atomic_files.read_json(folder / "verdicts.json")["basis"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(verdicts: Sequence[Verdict], params: Params, dataset: str, reason: str) -> Path:
    """Write under reports/decisions: the verdicts (JSON, Markdown) and a plot of the intervals by number of seeds.

    reason: why training ended. Return the folder.
    """
    from feedforward.reports import claim_figures, figures  # matplotlib takes a second to import

    title = f"{params.dataset(dataset).title}: claims by number of seeds"
    picture = figures.png(claim_figures.intervals_by_seeds(verdicts, title))
    header = ("claim", "verdict", "decided after", "seeds", "measured [interval at every number of seeds]")
    rows = [
        (
            verdict.claim.text,
            f"**{verdict.outcome}**",
            "–" if verdict.decided_after is None else f"{verdict.decided_after} seeds",
            str(verdict.n),
            tables.sides(verdict),
        )
        for verdict in verdicts
    ]
    text = f"# {title}\n\n{tables.markdown(header, rows)}\n{reason}\n\n![intervals]({FIGURE})\n"
    plain = {
        "dataset": dataset,
        "reason": reason,
        "basis": _basis(params, dataset),
        "verdicts": [data_tables.verdict_json(verdict) for verdict in verdicts],
    }
    with atomic_files.writing_folder(paths.decision(dataset), "decide") as folder:
        atomic_files.write_text(folder / TABLE, text, "decide.file")
        atomic_files.write_json(folder / "verdicts.json", plain, "decide.file")
        with atomic_files.writing(folder / FIGURE, "decide.file") as file:
            file.write(picture)
    return paths.decision(dataset)
