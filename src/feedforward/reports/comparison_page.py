"""The comparison as one page that needs no network: answer, figures, table, verdicts, and what others add.

The page shows what it is given and nothing else; sections without input are left out.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from feedforward.analysis import statistics
from feedforward.analysis.claims import Verdict
from feedforward.analysis.findings import Findings
from feedforward.analysis.intervals import CONFIDENCE
from feedforward.analysis.statistics import STATISTICS, Ranking
from feedforward.reports import html_page, lecture_figures, svg_charts, tables
from feedforward.reports.svg_charts import Row, Series

FOREST = ("best_val_cross_entropy", "best_epoch", "rise")
TONES = {"supported": "good", "contradicted": "bad", "undecided": "note"}


@dataclass(frozen=True)
class HardSample:
    """A test sample that a model gets most wrong.

    probability: that the model gave to `answer`. picture: PNG, or None; text: or None; words: (word,
    attribution) with the largest attributions to the answer, positive where the word speaks for it.
    """

    truth: str
    answer: str
    probability: float
    picture: bytes | None = None
    text: str | None = None
    words: tuple[tuple[str, float], ...] = ()

    @property
    def source(self) -> str | None:
        """The picture as a data URI."""
        return None if self.picture is None else "data:image/png;base64," + base64.b64encode(self.picture).decode()


@dataclass(frozen=True)
class Additions:
    """What the page shows beside the findings; each may be absent.

    lecture: findings of the protocol `lecture`. hardest: by data set. validation: by data set, the content
    of its summary.json. origin: what the page was made from, name → value, in words. commands: that make
    the page again.
    """

    lecture: Sequence[Findings] = ()
    hardest: Mapping[str, Sequence[HardSample]] = field(default_factory=dict)
    validation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ("make run",)


def render(found: Sequence[Findings], additions: Additions | None = None) -> str:
    """The page as HTML; equal input, equal text."""
    additions = additions or Additions()
    lecture = {one.name: one for one in additions.lecture}
    sections = [_section(one, lecture.get(one.name), additions) for one in found]
    protocols = [_protocols(one, lecture[one.name]) for one in found if one.name in lecture]
    return html_page.render(
        "comparison.html",
        sections=sections,
        protocols=[entry for entry in protocols if entry["rows"]],
        additions=additions,
        interval=tables.INTERVAL,
        explained=tables.EXPLAINED,
    )


def _section(one: Findings, lecture: Findings | None, additions: Additions) -> dict[str, Any]:
    """All that the template shows of a data set."""
    return {
        "findings": one,
        "answers": _answers(one),
        "curves": [_all_curves(one, wide) for wide in (True, False)],
        "forest": _forest(one),
        "table": _table(one),
        "verdicts": [_verdict(verdict) for verdict in one.verdicts],
        "lecture": lecture_figures.figures(one, lecture),
        "hardest": additions.hardest.get(one.name, ()),
        "validation": additions.validation.get(one.name),
    }


# --- the answer ------------------------------------------------------------------------------


def _answers(one: Findings) -> list[dict[str, Any]]:
    """The two answers: who overfits least, who predicts best; each with how sure that is."""
    answers = []
    questions = {"rise": "Overfits least", "best_val_cross_entropy": "Reaches the lowest validation loss"}
    for statistic, question in questions.items():
        ranking = statistics.rank(one.runs, one.variants, statistic) if one.variants else None
        if ranking and ranking.order:
            answers.append({"question": question, **_answer(one, ranking, statistic)})
    return answers


def _answer(one: Findings, ranking: Ranking, statistic: str) -> dict[str, Any]:
    (winner, best), others = ranking.order[0], dict(ranking.order[1:])
    decimals = STATISTICS[statistic].decimals
    against = one.baseline if one.baseline in others else next(iter(others), None)
    own, other = (tables.interval(e, decimals) if e else "" for e in (best, others[against] if against else None))
    if statistic == "rise":
        says = f"At the last epoch its validation loss lies {own} above its minimum"
        says = says if best.mean else "Its validation loss is at its minimum at the last epoch"
        says += f"; that of {against} lies {other} above its own" if against else ""
    else:
        says = f"Its lowest validation loss is {own}" + (f"; that of {against} is {other}" if against else "")
    sure = [variant for variant in others if variant not in ranking.tied]
    return {
        "winner": winner,
        "sentence": f"{says}.",
        "sure": sure,
        "open": ranking.tied,
        "single": best.n == 1,
    }


# --- figures ---------------------------------------------------------------------------------


def _all_curves(one: Findings, wide: bool) -> Markup:
    series = [
        Series(variant, "line", f"v{place % 7}", band)
        for place, variant in enumerate(one.variants)
        if (band := statistics.band(one.runs, variant, "val_cross_entropy"))
    ]
    return svg_charts.curves(series, f"{one.name}: validation loss of all variants", "validation loss", wide, ends=True)


def _forest(one: Findings) -> list[dict[str, Any]]:
    panels = []
    for name in FOREST:
        chosen = [difference for difference in one.differences if difference.statistic == name]
        rows = [
            Row(d.left, d.estimate.mean, d.estimate.low, d.estimate.high, (d.p_corrected or 1) <= 1 - CONFIDENCE)
            for d in chosen
        ]
        if rows:
            label = STATISTICS[name].label
            panels.append({"title": label, "svg": svg_charts.forest(rows, label, STATISTICS[name].decimals)})
    return panels


# --- tables ----------------------------------------------------------------------------------


def _table(one: Findings) -> dict[str, Any]:
    """Heads, and rows of (mean, interval or note) cells."""
    header, rows = tables.cells({variant: one.summary[variant] for variant in one.variants}, tables.REPLICA)
    final = [
        (variant, tables.SHOWN[name], tables.interval(estimates[name], STATISTICS[name].decimals), estimates[name].n)
        for variant, estimates in one.summary.items()
        for name in tables.FINAL
        if name in estimates
    ]
    return {"header": header, "rows": [[_two_lines(cell) for cell in row] for row in rows], "final": final}


def _two_lines(cell: str) -> tuple[str, str]:
    mean, _, rest = cell.partition(" ")
    return mean, rest


def _verdict(verdict: Verdict) -> dict[str, Any]:
    claim, difference = verdict.claim, verdict.difference
    decimals, tone = STATISTICS[claim.statistic].decimals, TONES[verdict.outcome]
    picture = None
    if difference:
        region = {
            "lower": (float("-inf"), 0.0),
            "higher": (0.0, float("inf")),
            "equal": (-(claim.tolerance or 0.0), claim.tolerance or 0.0),
        }[claim.direction]
        other = claim.right or tables.number(claim.value or 0.0, decimals)
        row = Row(
            f"{claim.left} − {other}", difference.mean, difference.low, difference.high, verdict.outcome != "undecided"
        )
        picture = svg_charts.strip(row, region, decimals, tone)
    return {
        "verdict": verdict,
        "tone": tone,
        "statistic": STATISTICS[claim.statistic].label,
        "sides": tables.sides(verdict),
        "needed": tables.more_seeds(verdict),
        "picture": picture,
    }


def _protocols(fair: Findings, lecture: Findings) -> dict[str, Any]:
    """Both protocols side by side, variants that both have; and on which samples the slides validate."""
    shown = fair.dataset.training.lecture
    on_test = shown.validated_on_test if shown else ()
    names = ("best_val_cross_entropy", "best_epoch", "best_val_accuracy")
    rows = [
        {
            "variant": variant,
            "on_test": variant in on_test,
            "cells": [
                _two_lines(tables.interval(one.summary[variant][name], STATISTICS[name].decimals))
                if name in one.summary[variant]
                else ("–", "")
                for name in names
                for one in (fair, lecture)
            ],
        }
        for variant in fair.summary
        if variant in lecture.summary
    ]
    return {
        "findings": fair,
        "rows": rows,
        "labels": [tables.SHOWN[name] for name in names],
        "on_test": [row["variant"] for row in rows if row["on_test"]],
    }
