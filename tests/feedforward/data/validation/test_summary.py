"""The validation summary as JSON, as a table and as a page."""

import json
import re

import profile_rows
import pytest

from feedforward.data.validation import profile
from feedforward.data.validation.summary import Check, Summary


def summary(**changes: object) -> Summary:
    rows = profile_rows.rows()
    checks = (
        Check("samples", "train", "40", "40", True, "Number of samples."),
        Check("overlap", "both", "at most 3", "2 (10 % of test)", True, "In both.", noted=True),
        Check("samples", "test", "30", "20", False, "Number of samples."),
    )
    values = {
        "dataset": "texts", "title": "Some <i>texts</i>", "sample": False, "data_digest": "0" * 64,
        "expectations": None, "features": 60, "samples": profile_rows.SAMPLES, "checks": checks,
        "distributions": profile.distributions(rows, profile_rows.dataset()), **changes,
    }  # fmt: skip
    return Summary(**values)


def page(tmp_path, **changes: object) -> str:
    summary(**changes).save(tmp_path)
    return (tmp_path / "index.html").read_text(encoding="utf-8")


def test_equal_summaries_give_identical_files(tmp_path):
    for folder in ("one", "two"):
        summary().save(tmp_path / folder)
    for name in ("summary.json", "index.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_page_makes_no_requests_and_contains_no_scripts(tmp_path):
    text = page(tmp_path)
    assert not re.search(r"https?://|<script|<link|<img|url\(|@import", text)


def test_page_escapes_values_from_params(tmp_path):
    assert "Some &lt;i&gt;texts&lt;/i&gt;" in page(tmp_path)


def test_page_lists_failures_and_accepted_deviations(tmp_path):
    text = page(tmp_path)
    assert "1 of 3 expectations" in text
    assert "✗ refused" in text
    assert "! accepted" in text


def test_page_without_failures_counts_accepted_deviations(tmp_path):
    text = page(tmp_path, checks=summary().checks[:2])
    assert "all 2 expectations are met; 1 of them has deviations within" in text


@pytest.mark.parametrize("sample", [True, False])
def test_page_marks_demo_data(tmp_path, sample):
    assert ("Embedded sample." in page(tmp_path, sample=sample)) is sample


def test_page_has_no_figures_without_samples(tmp_path):
    assert "<svg" not in page(tmp_path, distributions={})


def test_json_contains_every_check(tmp_path):
    summary().save(tmp_path)
    saved = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert saved["success"] is False
    assert saved["checks"][1] == {
        "name": "overlap", "split": "both", "expected": "at most 3", "found": "2 (10 % of test)", "success": True,
        "explained": "In both.", "noted": True,
    }  # fmt: skip


def test_table_has_one_line_per_failed_check():
    header, *lines = summary().table().splitlines()
    assert header.split() == ["check", "split", "expected", "found"]
    assert [line.split() for line in lines] == [["samples", "test", "30", "20"]]


def test_checks_are_grouped_by_name():
    assert [(name, [check.split for check in checks]) for name, checks in summary().groups()] == [
        ("samples", ["train", "test"]),
        ("overlap", ["both"]),
    ]
