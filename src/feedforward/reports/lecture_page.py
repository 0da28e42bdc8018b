"""The lecture as one explorable HTML page: combinations of size, L2 and dropout, and what a single run gets wrong.

The page makes no request and shows only its input: the same runs give the same bytes. Without JavaScript it shows the
curves of the variants and the claims; sliders and single runs need the script.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedforward.analysis import numerals, single_runs, statistics
from feedforward.analysis.findings import Findings
from feedforward.analysis.intervals import CONFIDENCE, t_quantile, this_data
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.single_runs import SingleRuns
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.tasks import TASKS
from feedforward.reports import chart_data, html_page, tables
from feedforward.reports import comparison_section as contents

FIELDS = ("size", "l2", "dropout_rate")  # fields of a variant that have a slider
LABELS = ("Units of the hidden layers", "L2 penalty", "Dropout rate")
MOST_NUMBERS = 200_000  # maximum number of values in curves of single seeds, about 1.5 MB
MOST_POINTS = 256  # maximum number of points in the grid of a sweep


@dataclass(frozen=True)
class Story:
    """What the page shows about a dataset.

    findings: the findings for the variants. points: text of a combination → its size, L2 and dropout as on the command
    line. variants: text of a combination → the variant that has it. base: the combination of the baseline, one of the
    points. runs: replicas, each with the text of its combination as variant. others: how many runs were trained with
    other code or libraries, or on another kind of CPU, than new runs would be.
    """

    findings: Findings
    points: Mapping[str, tuple[str, ...]]
    variants: Mapping[str, str]
    base: str
    runs: Sequence[RunResult]
    others: int = 0


def render(stories: Sequence[Story], command: str, prefix: str = "") -> str:
    """Render the page as HTML.

    command: the command that writes it. prefix: what precedes commands for this workspace (core.demo_workspace).
    """
    most = MOST_NUMBERS // max(1, len(stories))
    page = html_page.render(
        "lecture.html",
        sections=[_section(story, prefix) for story in stories],
        data=html_page.json_for_script(
            {
                "datasets": [chart_data.dataset(story.findings, most=most // 4) for story in stories],
                "stories": [_data(story, most, prefix) for story in stories],
            }
        ),
        script=html_page.script("charts.js", "lecture.js"),
        command=prefix + command,
        prefix=prefix,
        this_data=this_data(),
        wrong=single_runs.RULE,
    )
    return html_page.with_policy(page)


# --- without the script ------------------------------------------------------------------------


def _section(story: Story, prefix: str) -> dict[str, Any]:
    findings, axes = story.findings, _axes(story)
    training, judged = findings.dataset.training, single_runs.judge(findings)
    seeds = {sum(run.variant == name and run.role == "replica" for run in findings.runs) for name in findings.variants}
    grid = math.prod(len(axis["values"]) for axis in axes)
    return {
        "findings": findings,
        "network": _network(story),
        "training": training,
        "epochs": tables.epochs(training),
        "seeds": f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else seeds.pop(),
        "curves": [contents.all_curves(findings, (), wide) for wide in (True, False)],
        "claims": [_claim(entry) for entry in judged],
        "by_seed": _mistakes_by_seed(judged),
        "combinations": len(story.points),
        "runs": len(story.runs),
        "others": story.others,
        "missing": grid - len(story.points),
        "grid_command": prefix + _grid_command(findings.name, axes) if len(story.points) < grid <= MOST_POINTS else "",
    }


def _network(story: Story) -> list[str]:
    """The layers and the loss of the baseline."""
    dataset = story.findings.dataset
    task, units = TASKS[dataset.task], dataset.network.sizes[story.points[story.base][0]]
    hidden = [f"Dense {count} {dataset.network.activation}" for count in units]
    return [*hidden, f"Dense {task.outputs(len(dataset.labels))} {task.activation}", task.loss.replace("_", " ")]


def _claim(entry: SingleRuns) -> dict[str, Any]:
    verdict = entry.verdict
    decimals = STATISTICS[verdict.claim.statistic].decimals
    return {
        "text": verdict.claim.text,
        "outcome": verdict.outcome,
        "tone": contents.TONES[verdict.outcome],
        "statistic": STATISTICS[verdict.claim.statistic].label,
        "summary": str(entry),
        "seeds": [
            {"seed": seed, "difference": numerals.number(difference, decimals), "wrong": seed in entry.wrong}
            for seed, difference in entry.differences.items()
        ],
    }


def _mistakes_by_seed(judged: Sequence[SingleRuns]) -> dict[str, Any]:
    """How many claims a single seed gets wrong: minimum, maximum and mean over the seeds."""
    seeds = sorted(set.intersection(*(set(entry.differences) for entry in judged))) if judged else []
    counts = [sum(seed in entry.wrong for entry in judged) for seed in seeds]
    if not counts:
        return {}
    mean = numerals.number(sum(counts) / len(counts), 1)
    return {"low": min(counts), "high": max(counts), "mean": mean, "seeds": len(seeds), "claims": len(judged)}


def _grid_command(name: str, axes: Sequence[Mapping[str, Any]]) -> str:
    """The command that trains every combination."""
    return " ".join(
        [f"feedforward sweep {name} --confirm 0", *(f"{axis['field']}={','.join(axis['values'])}" for axis in axes)]
    )


# --- for the script ----------------------------------------------------------------------------


def _axes(story: Story) -> list[dict[str, Any]]:
    """The sliders: the sorted values of each field in the trained combinations, as typed and as displayed."""
    sizes = story.findings.dataset.network.sizes
    chosen, *numbers = (set(column) for column in zip(*story.points.values(), strict=True))
    columns = [sorted(chosen, key=lambda size: sizes[size]), *(sorted(values, key=float) for values in numbers)]
    return [
        {
            "field": field,
            "label": label,
            "values": values,
            "shown": [" – ".join(map(str, sizes[value])) if field == "size" else value for value in values],
        }
        for field, label, values in zip(FIELDS, LABELS, columns, strict=True)
    ]


def _data(story: Story, most: int, prefix: str) -> dict[str, Any]:
    findings, kinds, axes = story.findings, chart_data.curve_kinds(story.runs), _axes(story)

    def position(point: Sequence[str]) -> list[int]:  # on each slider
        return [axis["values"].index(value) for axis, value in zip(axes, point, strict=True)]

    summary = statistics.summarize(story.runs, story.points)
    names = [name for name in STATISTICS if any(name in estimates for estimates in summary.values())]
    epochs = max(len(run.curves["loss"]) for run in story.runs)
    seeds = max(1, most // (epochs * len(kinds) * len(story.points)))
    settings = [
        chart_data.variant(story.runs, text, "lecture", kinds, summary[text], seeds)
        | {
            "at": position(point),
            "variant": story.variants.get(text),
            "shown": story.variants.get(text, "this network"),
        }
        for text, point in story.points.items()
    ]
    largest = max(len(setting["seeds"]) for setting in settings)
    return {
        "name": findings.name,
        "base": position(story.points[story.base]),
        "axes": axes,
        "curves": kinds,
        "statistics": [chart_data.statistic(name) for name in names],
        "settings": settings,
        "command": f"{prefix}feedforward sweep {findings.name} --confirm 0",
        "t": [round(t_quantile((1 + CONFIDENCE) / 2, n), 6) for n in range(2, largest + 1)],
    }
