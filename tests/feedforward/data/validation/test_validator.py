"""Expectations on valid and broken profiles. Great Expectations is slow, so one test has a profile with many faults."""

import json
import re
import resource

import numpy as np
import pandas as pd
import profile_rows
import pytest
from profile_rows import dataset, digest
from ruamel.yaml import YAML

from feedforward.config.schema import Expectations
from feedforward.core import atomic_files, paths
from feedforward.core.errors import ValidationFailed
from feedforward.data.validation import profile
from feedforward.data.validation.expectations import rules_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def validator():
    from feedforward.data.validation import validator

    return validator


@pytest.fixture
def evaluate(validator):
    """A function that checks rows against bounds and returns the checks by (name, split)."""

    def evaluate_rows(rows, **bounds):
        checks = validator.evaluate(profile.describe(rows), rules_of(dataset(**bounds)))
        return {(check.name, check.split): check for check in checks}

    return evaluate_rows


def failed_keys(checks):
    return {key for key, check in checks.items() if not check.success}


def overlapping_rows():
    """Return rows in which two texts of train also occur in test, one of them twice; one text occurs twice in train."""
    rows = profile_rows.rows()
    rows.loc[[40, 41, 42], "digest"] = [digest(0), digest(0), digest(1)]
    rows.loc[39, "digest"] = digest(2)
    return rows


def test_valid_data_are_accepted_and_outputs_are_reproducible(validator, root, capfd):
    folder = profile_rows.save(profile_rows.rows(), root / "vectorized")
    summary = validator.validate("texts", dataset(), folder)
    assert summary.success
    target = paths.validation("texts")
    outputs = {path.name: path.read_bytes() for path in target.iterdir()}
    assert set(outputs) == {"summary.json", "index.html"}
    validator.validate("texts", dataset(), folder)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == outputs
    assert str(root).encode() not in b"".join(outputs.values())
    assert (paths.data_docs("texts") / "index.html").is_file()
    assert list(paths.data_docs("texts").glob("validations/*/*/*/*.html"))
    assert capfd.readouterr() == ("", "")


def test_validation_fails_without_partial_output_if_a_page_cannot_be_written(validator, root, capfd):
    folder = profile_rows.save(profile_rows.rows(), root / "vectorized")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))  # bytes per file; a page of Data Docs has more
    try:
        with pytest.raises(OSError, match="File too large"):
            validator.validate("texts", dataset(), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not paths.data_docs("texts").exists()
    assert not paths.validation("texts").exists()
    assert capfd.readouterr() == ("", "")


def test_an_error_that_great_expectations_only_logs_is_reported_in_one_line(validator, tmp_path, capfd):
    (tmp_path / "validations").write_text("a file where a page's folder should be", encoding="utf-8")
    with pytest.raises(ValidationFailed, match=r"could not write its pages \(\w+Error: .*\); check the disk"):
        validator.evaluate(profile_rows.rows(), rules_of(dataset(), 0), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_rejected_data_are_reported_in_a_table_and_on_a_page(validator, root):
    rows = profile_rows.rows()
    rows["label"] = 0
    tracked = paths.validation("texts")
    tracked.mkdir(parents=True)
    with pytest.raises(ValidationFailed) as failure:
        validator.validate("texts", dataset(), profile_rows.save(rows, root / "vectorized"))
    first, header, *lines, last = str(failure.value).splitlines()
    assert first == "texts: 4 of 23 expectations are not met"
    assert header.split() == ["check", "split", "expected", "found"]
    assert [line.split()[:3] for line in lines] == [
        ["classes", "train", "all"], ["class", "share", "train"],
        ["classes", "test", "all"], ["class", "share", "test"],
    ]  # fmt: skip
    assert "negative: 40, positive: 0" in lines[0]
    assert "40 % to 60 %" in lines[1]
    assert "100 %" in lines[1]
    assert last.startswith("see reports/data_docs/texts/summary.html; then correct the data and run `dvc repro`")
    assert not list(tracked.iterdir()), "the outputs that DVC tracks must not contain refused data"
    docs = paths.data_docs("texts")
    assert "Refused:" in (docs / "summary.html").read_text(encoding="utf-8")
    assert json.loads((docs / "summary.json").read_text(encoding="utf-8"))["success"] is False
    assert not list(root.rglob("*" + atomic_files.TEMPORARY_SUFFIX))


def test_every_value_out_of_bounds_is_detected(evaluate):
    rows = profile_rows.rows()
    rows.loc[3, "minimum"] = -1.0
    rows.loc[4, "maximum"] = np.inf
    rows.loc[[5, 6], "ones"] = [0, 99]
    rows.loc[50, "raw_length"] = 201
    rows.loc[51, "label"] = 7
    checks = evaluate(rows)
    assert failed_keys(checks) == {
        ("lowest value", "train"), ("highest value", "train"), ("non-zero features", "train"), ("empty", "train"),
        ("raw length", "test"), ("labels", "test"), ("class share", "test"),
    }  # fmt: skip
    assert checks["non-zero features", "train"].found == "0 to 99; outside in 2 (5 %)"
    assert checks["lowest value", "train"].found == "-1 to 0; outside in 1 (2.5 %)"
    assert checks["labels", "test"].found == "negative: 10, positive: 9, unknown 7: 1"
    assert checks["labels", "test"].expected == "only negative, positive"


def test_a_missing_class_is_reported_with_counts(evaluate):
    rows = profile_rows.rows()
    rows.loc[rows["split"] == "test", "label"] = 1
    checks = evaluate(rows, class_share=(0.01, 1.0))
    assert failed_keys(checks) == {("classes", "test")}
    assert checks["classes", "test"].found == "negative: 0, positive: 20"
    assert checks["classes", "test"].expected == "all of negative, positive, because class_share must be above 0"


@pytest.mark.proves("A class must occur in training; `class_share` decides whether the test split may lack it")
def test_a_test_split_may_lack_a_class_if_its_share_may_be_zero(evaluate):
    rows = profile_rows.rows()
    rows.loc[rows["split"] == "test", "label"] = 1
    assert failed_keys(evaluate(rows, class_share=(0.0, 1.0))) == set()
    rows["label"] = 1
    assert failed_keys(evaluate(rows, class_share=(0.0, 1.0))) == {("classes", "train")}


@pytest.mark.proves("If bounds are derived from training, a class that the test split lacks causes only a warning")
def test_a_class_missing_in_test_is_only_noted_if_bounds_are_derived(validator, root, caplog):
    rows = profile_rows.rows()
    rows.loc[rows["split"] == "test", "label"] = 1
    without_expectations = dataset().model_copy(update={"expectations": None})
    summary = validator.validate("texts", without_expectations, profile_rows.save(rows, root / "vectorized"))
    [check] = [check for check in summary.checks if (check.name, check.split) == ("classes", "test")]
    assert check.noted
    assert f"classes of test: expected {check.expected} (derived from train), got negative: 0" in caplog.text


def test_a_missing_value_fails_the_check(evaluate):
    rows = profile_rows.rows()
    rows.loc[7, "maximum"] = np.nan
    checks = evaluate(rows)
    assert failed_keys(checks) == {("missing measurements", "both")}
    assert checks["missing measurements", "both"].found == "1 (1.67 %)"


def test_a_split_without_rows_fails_every_check(evaluate):
    rows = profile_rows.rows()
    checks = evaluate(rows[rows["split"] == "train"], test_samples=(0, 30))
    test_keys = {key for key in checks if key[1] == "test"}
    assert failed_keys(checks) == test_keys | {("splits", "both")}
    assert {checks[key].found for key in test_keys} == {"no samples"}


def test_an_empty_profile_fails_every_check(evaluate):
    checks = evaluate(profile_rows.rows().iloc[:0])
    assert failed_keys(checks) == set(checks)


def test_an_empty_suite_fails_validation(validator):
    with pytest.raises(ValidationFailed, match="suite is empty"):
        validator.evaluate(profile.describe(profile_rows.rows()), [])


def test_a_rule_without_a_result_fails_validation(validator):
    rules = rules_of(dataset())
    with pytest.raises(ValidationFailed, match="no result"):
        validator._check(rules[0], profile_rows.rows(), {})


def test_overlap_and_duplicates_within_their_bounds_are_accepted_but_noted(evaluate):
    checks = evaluate(overlapping_rows(), overlap=2, duplicates=1)
    assert failed_keys(checks) == set()
    assert {key for key, check in checks.items() if check.noted} == {
        ("overlap", "both"), ("duplicates", "train"), ("duplicates", "test"),
    }  # fmt: skip
    assert checks["overlap", "both"].found == "2 (10 % of test)"
    assert checks["overlap", "both"].expected == "at most 2"
    assert checks["duplicates", "train"].found == "1 (2.5 %)"


@pytest.mark.proves("Copies of samples that make results look better cause a warning, unless params.yaml accepts them")
def test_copies_cause_a_warning_only_if_bounds_are_derived(validator, root, caplog):
    folder = profile_rows.save(overlapping_rows(), root / "vectorized")
    without_expectations = dataset().model_copy(update={"expectations": None})
    assert validator.validate("texts", without_expectations, folder).success
    assert "texts: 1 of 40 training samples are copies of others, so validation results look better" in caplog.text
    assert "texts: 2 of 20 test samples are also in the training split, so test results look better" in caplog.text
    caplog.clear()
    assert validator.validate("texts", dataset(overlap=2, duplicates=1), folder).success
    assert "results look better" not in caplog.text


def test_overlap_and_duplicates_above_their_bounds_fail(evaluate):
    checks = evaluate(overlapping_rows(), overlap=1, duplicates=0)
    assert failed_keys(checks) == {("overlap", "both"), ("duplicates", "train"), ("duplicates", "test")}
    assert not any(check.noted for check in checks.values())


@pytest.mark.parametrize(("samples", "met"), [((40, 40), True), ((0, 40), True), ((41, 50), False), ((0, 39), False)])
def test_the_number_of_samples_is_checked_against_both_bounds(validator, samples, met):
    rules = [rule for rule in rules_of(dataset(train_samples=samples)) if rule.name == "samples"]
    train, _ = validator.evaluate(profile.describe(profile_rows.rows()), rules)
    assert train.success is met


@pytest.mark.proves("Validation pages load nothing from a network, and validation leaves no temporary files")
def test_pages_make_no_requests_and_temporary_files_are_removed(validator, root, monkeypatch):
    scratch = root / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    validator.validate("texts", dataset(), profile_rows.save(profile_rows.rows(), root / "vectorized"))
    assert not list(scratch.iterdir())
    pages = list(paths.data_docs("texts").glob("**/*.html"))
    assert pages
    for page in pages:
        assert not re.search(r"<(link|script|img|iframe)[^>]*(href|src)=.?(https?:)?//", page.read_text("utf-8"))


def test_a_test_split_outlier_is_only_noted_if_bounds_are_derived_from_training(validator, root, caplog):
    rows = profile_rows.rows()
    rows.loc[rows.index[rows["split"] == "test"][0], "raw_length"] = 10**9
    without_expectations = dataset().model_copy(update={"expectations": None})
    summary = validator.validate("texts", without_expectations, profile_rows.save(rows, root / "vectorized"))
    assert summary.success
    [check] = [check for check in summary.checks if (check.name, check.split) == ("raw length", "test")]
    assert check.noted
    assert "raw length of test: expected" in caplog.text


@pytest.mark.proves("Users' samples of one class do not violate `class_share`, so they do not stop later runs")
@pytest.mark.parametrize("held_out", ["first", "last"])
@pytest.mark.parametrize("derived", [False, True])
def test_class_shares_do_not_count_samples_from_users(validator, root, held_out, derived):
    config = dataset(**({} if derived else {"class_share": (0.5, 0.5)}))
    validation = config.training.validation.model_copy(update={"take": held_out})
    config = config.model_copy(update={"training": config.training.model_copy(update={"validation": validation})})
    if derived:
        config = config.model_copy(update={"expectations": None})
    rows = profile_rows.rows()
    users = pd.concat([rows[:1]] * 200, ignore_index=True).assign(label=1)
    users["digest"] = [profile_rows.digest(f"user {k}") for k in range(len(users))]
    train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
    parts = [train, users] if held_out == "first" else [users, train]
    table = pd.concat([*parts, test], ignore_index=True)
    summary = validator.validate("texts", config, profile_rows.save(table, root / "vectorized", collected=len(users)))
    [check] = [check for check in summary.checks if (check.name, check.split) == ("class share", "train")]
    assert check.found == "50 %"
    assert "not counting 200 samples of users" in check.explained


@pytest.mark.proves("Derived expectations, and their written copy in params.yaml, hold with users' samples in training")
def test_derived_expectations_do_not_count_samples_from_users(validator, root):
    folder = profile_rows.save(profile_rows.rows(), root / "vectorized", collected=5)
    without_expectations = dataset().model_copy(update={"expectations": None})
    assert validator.validate("texts", without_expectations, folder).success
    written = YAML(typ="safe").load((paths.validation("texts") / "expectations.yaml").read_text(encoding="utf-8"))
    assert written["train_samples"] == [35, 35]
    copied = without_expectations.model_copy(
        update={"expectations": Expectations.model_validate_json(json.dumps(written))}
    )
    assert validator.validate("texts", copied, folder).success
