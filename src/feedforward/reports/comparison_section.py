"""A dataset's section of the comparison page: answers, curves, differences, tables and verdicts, for the template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from feedforward.analysis import claims, comparisons, numerals
from feedforward.analysis.claims import Verdict
from feedforward.analysis.comparisons import Difference, Ranking
from feedforward.analysis.curves import mean_band
from feedforward.analysis.findings import Findings
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.statistics import STATISTICS
from feedforward.reports import svg_charts, tables
from feedforward.reports.svg_charts import Level, Row, Series

FOREST_PLOTS = ("best_val_cross_entropy", "best_epoch", "rise")
TONES = {"supported": "good", "contradicted": "bad", "no difference that matters": "same", "undecided": "note"}


@dataclass(frozen=True)
class Reference:
    """A model that is not a variant and has no epochs, shown as a gray line among the curves and as a row of the table.

    estimates: statistic → mean and intervals; `best_val_cross_entropy` is drawn among the validation losses.
    """

    name: str
    estimates: Mapping[str, Estimate]

    def level(self, statistic: str) -> list[Level]:
        """The gray line for a statistic, as a list; empty if the model does not have that statistic."""
        return [Level(self.name, self.estimates[statistic].mean)] if statistic in self.estimates else []


def variant_class(index: int) -> str:
    """The CSS class for the color of the variant at this position."""
    return f"v{index % 7}"


# --- answers ---------------------------------------------------------------------------------

# the lists of an answer that compares no variants
NO_VARIANTS: dict[str, Any] = dict.fromkeys(("beaten", "beaten_only_by_others", "equivalent", "undecided"), ())


def answers(findings: Findings) -> list[dict[str, Any]]:
    """Which variant overfits least, and which predicts best, with the certainty of each answer."""
    cards = []
    questions = {"rise": "Overfits least", "best_val_cross_entropy": "Reaches the lowest validation loss"}
    for statistic, question in questions.items():
        margin = findings.margins.get(statistic)
        # a network that hardly learns cannot overfit, which does not make it better
        left_out = [failure.variant for failure in findings.failures if failure.stuck] if statistic == "rise" else []
        candidates = [variant for variant in findings.variants if variant not in left_out]
        ranking = comparisons.rank(findings.runs, candidates, statistic, margin)
        if left_out and len(candidates) < 2:
            answer = {
                "winner": "No ranking",
                "sentence": "Fewer than two variants are left to compare.",
                "single": False,
            }
        elif len(ranking.order) == 1:
            answer = _answer(findings, ranking, statistic)
            sentence = f"Only {answer['winner']} has results. {answer['sentence']}"
            answer |= {"winner": "No ranking", "sentence": sentence, "single": False}
        elif ranking.order:
            answer = (statistic == "rise" and _no_overfitting(ranking)) or _answer(findings, ranking, statistic)
        else:
            continue
        card = {"question": question, "margin": margin, "left_out": left_out, "seeds": findings.seeds}
        cards.append({**card, **NO_VARIANTS, **answer})
    return cards


def _no_overfitting(ranking: Ranking) -> dict[str, Any] | None:
    """The answer if several variants do not overfit, so that none of them is ahead; otherwise None."""
    flat = [variant for variant, estimate in ranking.order if not estimate.mean]
    if len(flat) < 2:
        return None
    names, decimals = f"{', '.join(flat[:-1])} and {flat[-1]}", STATISTICS["rise"].decimals
    others = [f"{variant} {tables.interval(e, decimals)}" for variant, e in ranking.order if variant not in flat]
    sentence = f"The validation losses of {names} are lowest at the last epoch; training longer may show overfitting."
    return {
        "winner": "No overfitting yet"
        if not others
        else f"{len(flat)} of {len(ranking.order)} variants do not overfit yet",
        "sentence": f"{sentence} Rise of the others: {'; '.join(others)}." if others else sentence,
        "single": ranking.order[0][1].n == 1,
    }


def _answer(findings: Findings, ranking: Ranking, statistic: str) -> dict[str, Any]:
    (winner, best), others = ranking.order[0], dict(ranking.order[1:])
    decimals = STATISTICS[statistic].decimals
    other = findings.baseline if findings.baseline in others else next(iter(others), None)
    first, second = (tables.interval(e, decimals) if e else "" for e in (best, others[other] if other else None))
    if statistic == "rise":
        sentence = f"At the last epoch its validation loss is {first} above its minimum"
        sentence = sentence if best.mean else "Its validation loss is lowest at the last epoch"
        if other:
            sentence += f"; that of {other} is {second} above its minimum"
        if stopping := findings.dataset.training.early_stopping:
            after = f"at most {stopping.patience} epochs after its lowest loss"
            sentence += f". Each seed stopped {after}, so later rises are unknown"
    else:
        sentence = f"Its lowest validation loss is {first}" + (f"; that of {other} is {second}" if other else "")
    return {
        "winner": winner,
        "sentence": f"{sentence}.",
        "beaten": ranking.beaten,
        "beaten_only_by_others": [variant for variant in others if variant not in ranking.tied + ranking.beaten],
        "equivalent": ranking.equivalent,
        "undecided": [variant for variant in ranking.tied if variant not in ranking.equivalent],
        "single": best.n == 1,
        "seeds": best.n,
    }


def failures(findings: Findings) -> list[dict[str, str]]:
    """Variants with seeds that got stuck, with the mean and two robust averages of the loss."""
    decimals, lines = STATISTICS[tables.HEADLINE].decimals, []
    for failure in findings.failures:
        e = findings.summary[failure.variant][tables.HEADLINE]
        values = {"mean": e.mean, "median": e.median, "interquartile mean": e.iqm}
        averages = ", ".join(f"{name} {numerals.number(v, decimals)}" for name, v in values.items() if v is not None)
        averages = f"Lowest validation loss: {averages}."
        lines.append({"variant": failure.variant, "text": str(failure), "averages": averages})
    return lines


# --- figures ---------------------------------------------------------------------------------


def all_curves(findings: Findings, references: Sequence[Reference], wide: bool) -> Markup:
    """Mean validation losses with bands, and the losses of the references as gray lines."""
    series = [
        Series(variant, "line", variant_class(index), band)
        for index, variant in enumerate(findings.variants)
        if (band := mean_band(findings.runs, variant, "val_cross_entropy"))
    ]
    levels = [level for reference in references for level in reference.level("best_val_cross_entropy")]
    title = f"{findings.name}: validation loss of all variants"
    return svg_charts.curves(series, title, "validation loss", wide, ends=True, levels=levels)


def forest(findings: Findings) -> list[dict[str, Any]]:
    """Forest plots of the differences from the baseline, one per statistic."""
    panels = []
    for name in FOREST_PLOTS:
        rows = [
            Row(d.left, d.estimate.mean, d.estimate.low, d.estimate.high, d.decided)
            for d in findings.differences
            if d.statistic == name
        ]
        if rows:
            label = STATISTICS[name].label
            panels.append({"title": label, "svg": svg_charts.forest(rows, label, STATISTICS[name].decimals)})
    return panels


# --- tables ----------------------------------------------------------------------------------


def table(findings: Findings, references: Sequence[Reference]) -> dict[str, Any]:
    """Header, rows of cells for variants and references, and the metrics of the final models; see `grid`."""
    summary = {variant: findings.summary[variant] for variant in findings.variants}
    summary |= {reference.name: dict(reference.estimates) for reference in references}
    header, rows = tables.cells(summary, tables.REPLICA)
    final = [
        (
            variant,
            tables.SHORT_LABELS[name],
            tables.interval(estimates[name], STATISTICS[name].decimals),
            estimates[name].n,
        )
        for variant, estimates in findings.summary.items()
        for name in tables.FINAL
        if name in estimates
    ]
    return {**grid(header, rows), "final": final}


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Header and rows for the template's macro `grid`; each cell is (mean, interval) or, for other text, (text, "")."""
    return {"header": header, "rows": [[_two_lines(cell) for cell in row] for row in rows]}


def _two_lines(cell: str) -> tuple[str, str]:
    """Split a cell into its mean and, for a second line, its interval; other text is not split."""
    mean, bracket, rest = cell.partition(" [")
    return (mean, f"[{rest}") if bracket else (cell, "")


def pairs(findings: Findings) -> dict[str, Any]:
    """Headline statistic: differences from the baseline with both intervals, and the probability that it is better."""
    rows = [_pair(d) for d in findings.differences if d.statistic == tables.HEADLINE]
    header = ["variant", "difference [this data]", "[new data]", "P(better), same seed", "P(better), any two seeds"]
    return {**grid(header, rows), "label": STATISTICS[tables.HEADLINE].label}


def _pair(difference: Difference) -> list[str]:
    e, decimals = difference.estimate, STATISTICS[difference.statistic].decimals
    new = "–" if e.new_low is None else tables.span(e.new_low, e.new_high, decimals)
    beats = difference.beats() or (float("nan"), float("nan"))
    return [difference.left, tables.interval(e, decimals), new, *(f"{p:.2f}" for p in beats)]


def verdict_entry(verdict: Verdict) -> dict[str, Any]:
    """A verdict with the CSS class of its outcome, both sides in words, and charts of its interval."""
    claim, interval = verdict.claim, verdict.interval
    decimals, tone = STATISTICS[claim.statistic].decimals, TONES[verdict.outcome]
    strip = history = None
    if verdict.difference and interval and interval.low is not None and interval.high is not None:
        region = claims.region(claim)
        other = claim.right or numerals.number(claim.value or 0.0, decimals)
        name = f"{claim.left} − {other}"
        row = Row(name, verdict.difference.mean, interval.low, interval.high, verdict.decided)
        strip = svg_charts.strip(row, region, decimals, tone)
        history = svg_charts.history(verdict.history, region, f"{name}: interval by number of seeds", decimals, tone)
    return {
        "verdict": verdict,
        "tone": tone,
        "statistic": STATISTICS[claim.statistic].label,
        "sides": tables.sides(verdict),
        "wins": tables.wins(verdict),
        "needed": tables.more_seeds(verdict),
        "strip": strip,
        "history": history,
    }


def protocols(fair: Findings, lecture: Findings) -> dict[str, Any]:
    """Both protocols side by side, for the variants that have runs under both.

    on_test: the variants for which the slides use the test split as validation data.
    """
    slides = fair.dataset.training.lecture
    on_test = slides.validated_on_test if slides else ()
    names = ("best_val_cross_entropy", "best_epoch", "best_val_accuracy")
    rows = [
        {
            "variant": variant,
            "on_test": variant in on_test,
            "cells": [
                _two_lines(tables.interval(entry.summary[variant][name], STATISTICS[name].decimals))
                if name in entry.summary[variant]
                else ("–", "")
                for name in names
                for entry in (fair, lecture)
            ],
        }
        for variant in fair.summary
        if variant in lecture.summary
    ]
    return {
        "findings": fair,
        "rows": rows,
        "labels": [tables.SHORT_LABELS[name] for name in names],
        "on_test": [row["variant"] for row in rows if row["on_test"]],
    }
