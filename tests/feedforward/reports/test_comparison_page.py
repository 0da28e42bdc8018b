"""The comparison page: its answer, its charts, optional sections, and protection against hostile names."""

import base64
import dataclasses
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from markupsafe import Markup
from synthetic_runs import Shape, replica_run, synthetic_runs

from feedforward.analysis.failures import RULE
from feedforward.analysis.findings import find
from feedforward.analysis.intervals import NEW_DATA, Estimate, this_data
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import EarlyStopping, Params, load_params
from feedforward.reports import chart_data, comparison_page
from feedforward.reports.comparison_page import Additions, HardSample
from feedforward.reports.comparison_section import Reference

VOID = {"meta", "br", "img", "line", "circle", "path", "rect", "polyline", "polygon", "link", "hr", "input"}


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params()


@pytest.fixture(scope="module")
def page(params: Params) -> str:
    return comparison_page.render(find(synthetic_runs(params, range(4)), params))


def all_additions(params: Params) -> Additions:
    """Return content for all optional sections."""
    first = next(iter(params.datasets))
    check = {"name": "duplicates", "split": "train", "found": "96", "noted": True, "success": True}
    return Additions(
        lecture=find(synthetic_runs(params, [0], "lecture"), params, "lecture"),
        hardest={first: [HardSample("no", "yes", 0.998, text="a <b>&amp; film", words=(("film", 1.5), ("a", -0.25)))]},
        validation={first: {"success": True, "samples": {"train": 60000, "test": 10000}, "checks": [check]}},
        origin={"libraries": "keras 3.15"},
        commands=["make run"],
    )


class ParsedPage(HTMLParser):
    """Collects ids, addresses and text, counts scripts, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.scripts += tag == "script"
        values = dict(attrs)
        self.ids += [str(values["id"])] if "id" in values else []
        self.addresses += [str(values[name]) for name in ("href", "src") if name in values]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_page_is_reproducible_and_makes_no_requests(params: Params) -> None:
    findings = find(synthetic_runs(params, range(2)), params)
    page = comparison_page.render(findings, all_additions(params))
    assert page == comparison_page.render(findings, all_additions(params))
    parsed = ParsedPage(page)
    assert not parsed.open
    assert parsed.scripts == 2  # the charts' data and code
    assert not [address for address in parsed.addresses if "//" in address]
    assert "url(" not in page
    assert Counter(parsed.ids).most_common(1)[0][1] == 1
    assert {address[1:] for address in parsed.addresses if address.startswith("#")} <= set(parsed.ids)


def test_the_answer_is_at_the_top_with_its_interval(page: str, params: Params) -> None:
    findings = find(synthetic_runs(params, range(4)), params)
    text = ParsedPage(page).text
    top = text[: text.index("Validation loss by epoch")]
    assert "Overfits least" in top
    for of_dataset in findings:
        summary = of_dataset.summary
        best = min(summary, key=lambda variant: summary[variant]["rise"].mean)
        assert f"Overfits least {best}" in top or "Overfits least Undecided after 4 seeds" in top
    assert re.search(r"is 0\.\d{4} \[", top)


def test_every_claim_has_a_verdict_and_every_variant_a_row(page: str, params: Params) -> None:
    text = ParsedPage(page).text
    for dataset in params.datasets.values():
        for claim in dataset.claims:
            assert re.search(
                rf"(supported|contradicted|no difference that matters|undecided) {re.escape(claim.text)}", text
            )
    page = page[: page.index("<script>")]
    for variant in params.variants:
        assert page.count(f'<th scope="row">{variant}</th>') >= 2 * len(params.datasets)


def test_sections_without_data_are_omitted(page: str, params: Params) -> None:
    text = ParsedPage(page).text
    for absent in ("Test samples with the largest loss", "The data", "Protocols “fair”", "keras 3.15"):
        assert absent not in text
    full_page = comparison_page.render(find(synthetic_runs(params, range(2)), params), all_additions(params))
    text = ParsedPage(full_page).text
    for present in (
        "Test samples with the largest loss",
        "The data",
        "Protocols “fair”",
        "libraries keras 3.15",
        "duplicates, train: 96",
    ):
        assert present in text


def test_names_in_chart_data_are_escaped(params: Params) -> None:
    findings = find(synthetic_runs(params, [0]), params)
    name = "</script><script>alert(1)</script>"
    references = {findings[0].name: [Reference(name, {"best_val_cross_entropy": Estimate(1, 0.5)})]}
    page = comparison_page.render(findings, Additions(references=references))
    assert ParsedPage(page).scripts == 2
    data = page.split('id="chart-data">')[1].split("</script>")[0]
    assert "<" not in data
    assert json.loads(data)["datasets"][0]["references"][0]["name"] == name


def test_content_security_policy_allows_only_the_pages_own_script(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    code = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}';" in html.unescape(policy[1])
    assert not re.findall(r'<[^>]+\son[a-z]+="', page)


def test_page_is_small_even_with_many_seeds(params: Params) -> None:
    findings = find(synthetic_runs(params, range(60)), params)
    page = comparison_page.render(findings)
    assert len(page.encode()) < 3_000_000
    most = 4 * 20 * 5 * 3  # kinds of curves × epochs × variants × seeds
    [data, *_] = [chart_data.dataset(one, most=most) for one in findings if one.name == "imdb"]
    assert [len(variant["curves"]["val_cross_entropy"]["runs"]) for variant in data["variants"]] == 5 * [3]
    assert len(data["variants"][0]["seeds"]) == 60


def test_charts_and_tables_show_the_same_numbers(params: Params) -> None:
    [*_, findings] = find(synthetic_runs(params, range(3)), params)
    data = chart_data.dataset(findings)
    for variant in data["variants"]:
        estimate = findings.summary[variant["name"]]["rise"]
        assert variant["statistics"]["rise"]["mean"] == pytest.approx(estimate.mean, rel=1e-5)
        assert [seed for seed, _ in variant["statistics"]["rise"]["values"]] == [0, 1, 2]
        curve = variant["curves"]["val_cross_entropy"]
        means = [sum(losses) / 3 for losses in zip(*curve["runs"], strict=True)]
        assert curve["mean"] == pytest.approx(means, rel=1e-4)
    differences = {d["name"]: d["mean"] for d in data["differences"] if d["statistic"] == "rise"}
    means = {d.left: d.estimate.mean for d in findings.differences if d.statistic == "rise"}
    assert differences == pytest.approx(means, rel=1e-4)


def test_sample_texts_are_escaped(params: Params) -> None:
    page = comparison_page.render(find(synthetic_runs(params, [0]), params), all_additions(params))
    assert "a &lt;b&gt;&amp;amp; film" in page
    assert "film +1.50" in page
    assert "a −0.25" in page


def test_page_warns_that_results_of_one_seed_are_unreliable(params: Params) -> None:
    text = ParsedPage(comparison_page.render(find(synthetic_runs(params, [0]), params))).text
    assert "One seed gives a ranking, but not a reliable one." in text
    assert "Better than" not in text
    assert "Seeds needed to decide it: at least 1 more." in text


def test_no_winner_is_named_if_variants_cannot_be_distinguished(params: Params) -> None:
    name, shape = next(iter(params.datasets)), Shape(0.3, 1.0, 0.03, spread=0.05)
    runs = [replica_run(name, variant, seed, 6, shape) for variant in params.variants for seed in range(3)]
    text = ParsedPage(comparison_page.render(find(runs, params))).text
    assert "Reaches the lowest validation loss Undecided after 3 seeds Ahead:" in text


def test_answers_count_the_shared_seeds_and_one_variant_alone_is_not_ranked(params: Params) -> None:
    name, shape = next(iter(params.datasets)), Shape(0.3, 1.0, 0.03, spread=0.05)
    runs = [replica_run(name, "original", seed, 6, shape) for seed in range(6)]
    top = ParsedPage(comparison_page.render(find(runs, params))).text.partition("Validation loss by epoch")[0]
    assert "Overfits least No ranking Only original has results. At the last epoch its validation loss is" in top
    assert "Reaches the lowest validation loss No ranking Only original has results. Its lowest" in top
    runs += [replica_run(name, "l2", seed, 6, shape) for seed in range(2)]
    assert "Undecided after 2 seeds Ahead:" in ParsedPage(comparison_page.render(find(runs, params))).text


def test_page_says_if_the_loss_of_no_variant_rises(params: Params) -> None:
    name, falling = next(iter(params.datasets)), Shape(0.3, 3.0, 0.0)
    runs = [replica_run(name, variant, seed, 4, falling) for variant in params.variants for seed in range(3)]
    text = ParsedPage(comparison_page.render(find(runs, params))).text
    assert "Overfits least No overfitting yet The validation losses of original, smaller, larger, l2 and" in text


def test_a_reference_has_a_gray_line_a_table_row_and_a_section_before_the_verdicts(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = find(synthetic_runs(params, range(2)), params)
    name = findings[0].name
    reference = Reference("always <the mean>", {"best_val_cross_entropy": Estimate(1, 0.5)})
    part = Markup("<h3>Part of {}</h3>")
    monkeypatch.setattr(comparison_page, "PARTS", [lambda of_dataset, _: part.format(of_dataset.name)])
    page = comparison_page.render(findings, Additions(references={name: [reference]}))
    assert page.count('<line class="level"') == 2  # in the wide and the narrow chart
    assert '<th scope="row">always &lt;the mean&gt;</th><td class="number">1</td><td class="number">0.5000</td>' in page
    assert f"<h3>Part of {name}</h3>" in page[: page.index("Verdicts on the lecture")]


def test_an_embedded_sample_is_marked(params: Params) -> None:
    name, dataset = next(iter(params.datasets.items()))
    sample = params.model_copy(update={"datasets": {name: dataset.model_copy(update={"demo": True})}})
    text = ParsedPage(comparison_page.render(find(synthetic_runs(sample, [0]), sample))).text
    assert "results say nothing about the real one" in text


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_curve_names_have_enough_contrast(page: str, dark: bool) -> None:
    colors: dict[str, str] = {}
    for block in re.finditer(r"(@media screen and \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*)\}", page):
        if dark or not block[1]:
            colors |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block[2]))
    on_paper = ["ink", "soft", "link", "lecture", *(f"v{i}" for i in range(7))]
    pairs = [(name, ground) for name in on_paper for ground in ("card", "ground")]
    pairs += [(tone, f"{tone}-ground") for tone in ("good", "bad", "note")]
    pairs += [("link", "line")]
    for ink, ground in pairs:
        lighter, darker = sorted((luminance(colors[ink]), luminance(colors[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


@pytest.mark.proves("The report's template does not name any dataset or variant")
def test_template_contains_no_dataset_or_variant_names(params: Params) -> None:
    template = files("feedforward").joinpath("reports/templates/comparison.html").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z0-9_-]+", template.lower()))
    assert not words & (set(params.datasets) | set(params.variants))


def test_page_names_both_populations_of_the_intervals(page: str) -> None:
    text = ParsedPage(page).text
    assert text.count(this_data()) >= 5
    assert NEW_DATA in text


def test_failed_seeds_and_robust_means_are_shown_at_the_top(params: Params) -> None:
    runs = [
        dataclasses.replace(
            run,
            curves=run.curves | {"cross_entropy": [0.6] * len(run.curves["loss"])},
            metrics=run.metrics | {"best_val_cross_entropy": 0.55},
        )
        if (run.dataset, run.variant, run.role) == ("imdb", "smaller", "replica") and run.seed in (1, 3)
        else run
        for run in synthetic_runs(params, range(5))
    ]
    text = ParsedPage(comparison_page.render(find(runs, params))).text
    top = text[: text.index("Validation loss by epoch")]
    assert "smaller: 2 of 5 seeds got stuck" in top
    assert re.search(r"mean 0\.\d{4}, median 0\.\d{4}, interquartile mean 0\.\d{4}", top)
    assert RULE in top
    assert RULE in text[text.index("Validation loss by epoch") :]


def changed(
    params: Params, variants: set[str], losses: Callable[[list[float]], list[float]], **metrics: float
) -> list[RunResult]:
    """Runs of two seeds; the replicas of `variants` have other validation losses, and other metrics."""
    return [
        dataclasses.replace(
            run,
            curves=run.curves | {"val_cross_entropy": losses(run.curves["val_cross_entropy"])},
            metrics=run.metrics | metrics,
        )
        if run.variant in variants and run.role == "replica"
        else run
        for run in synthetic_runs(params, range(2))
    ]


@pytest.mark.proves("The report calls no variant the least overfitted if several do not overfit")
def test_no_variant_is_ahead_if_several_do_not_overfit(params: Params) -> None:
    runs = changed(params, {"smaller", "l2"}, lambda losses: sorted(losses, reverse=True), rise=0.0)
    top = ParsedPage(comparison_page.render(find(runs, params))).text.partition("Validation loss by epoch")[0]
    assert (
        "Overfits least 2 of 5 variants do not overfit yet The validation losses of smaller and l2 are lowest at" in top
    )
    assert re.search(r"Rise of the others: \w+ 0\.\d{4} \[", top)
    assert "No overfitting yet" not in top


@pytest.mark.proves("A variant with a seed that got stuck is not said to overfit least")
def test_a_variant_with_a_stuck_seed_is_not_ranked_by_its_overfitting(params: Params) -> None:
    stuck = {"best_val_cross_entropy": 0.693, "best_epoch": 1.0, "rise": 0.0}
    runs = [
        dataclasses.replace(run, curves=run.curves | {"cross_entropy": [0.69] * len(run.curves["loss"])})
        if (run.variant, run.role, run.seed) == ("smaller", "replica", 1)
        else dataclasses.replace(run, metrics=synthetic.metrics)
        if (run.variant, run.role, run.seed) == ("smaller", "replica", 0)
        else run
        for run, synthetic in zip(
            changed(params, {"smaller"}, list, **stuck), synthetic_runs(params, range(2)), strict=True
        )
    ]
    top = ParsedPage(comparison_page.render(find(runs, params))).text.partition("Validation loss by epoch")[0]
    assert "Not ranked, because a seed got stuck: smaller." in top
    for answer in re.findall(r"Overfits least (.*?) Reaches", top):
        assert "Ahead: smaller" not in answer
        assert not answer.startswith("smaller")


@pytest.mark.proves("If seeds of all variants got stuck, the report says that it ranks none by its overfitting")
@pytest.mark.parametrize("learned", [(), ("l2",)])
def test_there_is_no_ranking_if_seeds_of_all_variants_but_one_got_stuck(
    learned: tuple[str, ...], params: Params
) -> None:
    runs = [
        dataclasses.replace(run, curves=run.curves | {"cross_entropy": [2.3] * len(run.curves["loss"])})
        if run.variant not in learned and run.role == "replica"
        else run
        for run in changed(params, set(params.variants) - set(learned), list, best_val_cross_entropy=2.3, rise=0.0)
    ]
    top = ParsedPage(comparison_page.render(find(runs, params))).text.partition("Validation loss by epoch")[0]
    stuck = [variant for variant in params.variants if variant not in learned]
    answer = "Overfits least No ranking Fewer than two variants are left to compare."
    assert f"{answer} Not ranked, because a seed got stuck: {', '.join(stuck[:-1])} and {stuck[-1]}." in top


def test_variants_that_only_memorize_are_ranked_by_their_overfitting(params: Params) -> None:
    runs = changed(params, set(params.variants), list, best_val_cross_entropy=2.4)
    top = ParsedPage(comparison_page.render(find(runs, params))).text.partition("Validation loss by epoch")[0]
    assert "smaller: 2 of 2 seeds learned nothing that holds for validation samples: the training loss fell" in top
    assert "No ranking" not in top
    assert "Not ranked" not in top


def test_page_says_what_early_stopping_hides(params: Params) -> None:
    for dataset in params.datasets.values():
        assert dataset.training.early_stopping is None
    findings = [
        dataclasses.replace(entry, dataset=entry.dataset.model_copy(update={"training": training}))
        for entry in find(synthetic_runs(params, range(2)), params)
        for training in [entry.dataset.training.model_copy(update={"early_stopping": EarlyStopping(patience=7)})]
    ]
    text = ParsedPage(comparison_page.render(findings)).text
    assert "at most 20 epochs, stopped early after 7 without a lower validation loss" in text
    assert "each curve ends where the variant's first seed stopped" in text
    assert "Each seed stopped at most 7 epochs after its lowest loss, so later rises are unknown" in text


def test_a_verdict_shows_its_intervals_by_number_of_seeds_and_the_probability_of_winning(page: str) -> None:
    assert page.count("by number of seeds</summary>") >= 1
    assert " of all pairs of two of them" in page  # how often a run beats another
