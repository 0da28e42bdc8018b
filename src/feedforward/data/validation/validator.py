"""Validate the profile of a dataset with expectation suites, and write a summary.

Great Expectations raises no error if data fails, and both an empty suite and a suite on zero rows pass. So this module
requires a result for each rule, and a check without samples fails.
"""

import contextlib
import io
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from ruamel.yaml import YAML

from feedforward.config.schema import Dataset
from feedforward.core import atomic_files, paths
from feedforward.core.errors import ValidationFailed, one_line
from feedforward.data.validation import profile
from feedforward.data.validation.expectations import BOTH, Rule, rules_of
from feedforward.data.validation.profile import SPLITS
from feedforward.data.validation.summary import Check, Summary

DERIVED_FILE = "expectations.yaml"
ALWAYS_ENFORCED = (
    "samples",
    "labels",
    "splits",
    "missing measurements",
)  # rules that must be met even if bounds are derived
MOST_COPIES = 0.01  # share of copies up to which there is no warning
REMOTE_RESOURCE = re.compile(
    r"""<(link|script|img)\b[^>]*\b(?:href|src)=["']?(?:https?:)?//[^>]*>(?:\s*</script>)?""", re.IGNORECASE
)
LOGGED_ERROR = re.compile(r"information follows:\s*(.+?)\.\s+Traceback:", re.DOTALL)

log = logging.getLogger(__name__)


def validate(name: str, dataset: Dataset, folder: Path) -> Summary:
    """Validate the profile in `folder` against `dataset.expectations`.

    Great Expectations' pages and the summary are always written into `paths.data_docs(name)`. If all expectations are
    met, the summary is also written into `paths.validation(name)`, which DVC tracks.

    Raises:
        ValidationFailed: an expectation is not met; the message gives expected and observed values and the page's path.
        DataError: the profile or the manifest cannot be read, or they do not match.
    """
    rows, manifest = profile.load(folder)
    collected, is_derived = manifest.get("collected", 0), dataset.expectations is None
    if collected:
        rows = profile.without_users(rows, collected, dataset.training.validation.take)
    expectations = dataset.model_dump(mode="json")["expectations"]
    if is_derived:
        dataset = dataset.model_copy(update={"expectations": profile.derive(rows, dataset, collected)})
    docs = paths.data_docs(name)
    with atomic_files.writing_folder(docs, "data_docs") as target:
        checks = evaluate(rows, rules_of(dataset, collected), target)
        if is_derived:
            checks = _accept_test_split(name, checks)
            _warn_about_copies(name, rows)
        summary = Summary(
            dataset=name,
            title=dataset.title,
            sample=dataset.demo,
            data_digest=manifest["data_digest"],
            expectations=expectations,
            features=manifest["features"],
            samples={split: manifest["samples"][split] for split in SPLITS},
            checks=tuple(checks),
            distributions=profile.distributions(rows, dataset),
        )
        summary.save(target, "summary.html")
        if is_derived:
            _write_derived(name, dataset, target)
    if summary.failed:
        hint = f" (they were derived from train; copy them from {DERIVED_FILE}, next to that page)"
        from_users = f"; {collected} training samples are from users (`feedforward feedback {name} --all` lists them)"
        raise ValidationFailed(
            f"{name}: {len(summary.failed)} of {len(summary.checks)} expectations are not met\n{summary.table()}\n"
            f"see {(docs / 'summary.html').relative_to(paths.root())}; then correct the data and run `dvc repro`,"
            f" or change datasets.{name}.expectations in params.yaml if the data is correct"
            + (hint if is_derived else "")
            + (from_users if collected else "")
        )
    with atomic_files.writing_folder(paths.validation(name), "validate") as target:
        summary.save(target)
        if is_derived:
            _write_derived(name, dataset, target)
    return summary


def _accept_test_split(name: str, checks: Sequence[Check]) -> list[Check]:
    """Accept a test split that violates bounds derived from the training split, but mark and log the violations."""
    accepted = []
    for check in checks:
        if check.split == "test" and not check.success and check.name not in ALWAYS_ENFORCED:
            log.warning(
                "%s: %s of test: expected %s (derived from train), got %s; accepted. To enforce such bounds, copy"
                " %s into params.yaml",
                name, check.name, check.expected, check.found, DERIVED_FILE,
            )  # fmt: skip
            check = replace(check, success=True, noted=True)
        accepted.append(check)
    return accepted


def _warn_about_copies(name: str, rows: pd.DataFrame) -> None:
    """Log a warning if so many samples are copies that results look better than they are."""
    train, test = (rows[rows["split"] == split] for split in SPLITS)
    for found, samples, kind, consequence in (
        (int(train["duplicate"].sum()), len(train), "training samples are copies of others", "validation"),
        (int(test["overlap"].sum()), len(test), "test samples are also in the training split", "test"),
    ):
        if found > MOST_COPIES * samples:
            log.warning(
                "%s: %d of %d %s, so %s results look better than they are, unless the samples are equal by chance;"
                " remove the copies from the data, or accept them with datasets.%s.expectations in params.yaml",
                name, found, samples, kind, consequence, name,
            )  # fmt: skip


def _write_derived(name: str, dataset: Dataset, folder: Path) -> None:
    """Write the derived expectations as a section of params.yaml."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(profile.bounds_of(dataset).model_dump(mode="json", exclude_none=True), text)
    comment = "# Derived from the training split. To enforce these bounds, edit them and put them below\n"
    atomic_files.write_text(
        folder / DERIVED_FILE,
        f"{comment}# datasets.{name}.expectations in params.yaml, in place of null.\n{text.getvalue()}",
        "derive",
    )


def evaluate(rows: pd.DataFrame, rules: Sequence[Rule], docs: Path | None = None) -> list[Check]:
    """Check every rule, in order. Great Expectations writes its own pages into `docs`, if given.

    rows: as returned by `profile.load`.

    Raises:
        ValidationFailed: there is no rule, or a rule got no result.
    """
    if not rules:
        raise ValidationFailed("the expectation suite is empty; set datasets.*.expectations in params.yaml")
    with _temporary_folder():
        return _evaluate(rows, rules, docs)


def _evaluate(rows: pd.DataFrame, rules: Sequence[Rule], docs: Path | None) -> list[Check]:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    parts = {BOTH: rows, **{split: rows[rows["split"] == split] for split in SPLITS}}
    met_by_rule: dict[tuple[str, str], bool] = {}
    for split in dict.fromkeys(rule.split for rule in rules):
        met_by_rule |= _run(context, split, parts[split], [rule for rule in rules if rule.split == split])
    if docs:
        context.add_data_docs_site("local", _site(docs))
        with _raise_logged_errors(docs):
            context.build_data_docs()
        _check_pages(docs, len({rule.split for rule in rules}))
    return [_check(rule, parts[rule.split], met_by_rule) for rule in rules]


@contextlib.contextmanager
def _raise_logged_errors(docs: Path) -> Iterator[None]:
    """Let Great Expectations build its pages in the block, and raise the first error, which it would only log.

    Raises:
        ValidationFailed: a page could not be built or written.
    """
    logger = logging.getLogger("great_expectations.render.renderer.site_builder")
    errors: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        errors.append(record.getMessage())
        return False

    logger.addFilter(collect)
    try:
        yield
    finally:
        logger.removeFilter(collect)
    if errors:
        reason = LOGGED_ERROR.search(errors[0])
        raise ValidationFailed(
            f"{docs}: Great Expectations could not write its pages"
            f" ({one_line(reason[1] if reason else errors[0])[:200]}); check the disk, then run again"
        )


def _check_pages(docs: Path, runs: int) -> None:
    """Check that all pages exist and are complete; remove links to style sheets and scripts on other hosts.

    A page must not load anything from a network.

    Raises:
        ValidationFailed: a page is missing or incomplete.
    """
    pages = list(docs.glob("**/*.html"))
    if not (docs / "index.html").is_file() or len(list(docs.glob("validations/**/*.html"))) < runs:
        raise ValidationFailed(f"{docs}: Great Expectations could not write its pages; check the disk, then run again")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if "</html>" not in text[-1000:]:
            raise ValidationFailed(f"{page}: is incomplete; check the disk, then run again")
        page.write_text(REMOTE_RESOURCE.sub("", text), encoding="utf-8")


@contextlib.contextmanager
def _temporary_folder() -> Iterator[None]:
    """Give Great Expectations a separate temporary folder, because it leaves megabytes of temporary files behind."""
    previous = tempfile.tempdir
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = previous


def _site(docs: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "show_how_to_buttons": False,
    }


def _run(context: Any, name: str, rows: pd.DataFrame, rules: Sequence[Rule]) -> dict[tuple[str, str], bool]:
    """Run the rules as a suite on the rows; return (split, name) → whether the rule is met."""
    expectations = [
        rule.kind(**rule.arguments, notes=rule.explained, meta={"rule": [rule.split, rule.name]}) for rule in rules
    ]
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
    asset = context.data_sources.add_or_update_pandas(name).add_dataframe_asset(name)
    data = asset.add_batch_definition_whole_dataframe(name)
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=name, data=data, suite=suite)
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(name=name, validation_definitions=[definition], result_format={"result_format": "BASIC"})
    )
    outcome = checkpoint.run(batch_parameters={"dataframe": rows})
    results = [result for run in outcome.run_results.values() for result in run.results]
    return {tuple(result.expectation_config.meta["rule"]): result.success is True for result in results}


def _check(rule: Rule, rows: pd.DataFrame, met_by_rule: dict[tuple[str, str], bool]) -> Check:
    if (rule.split, rule.name) not in met_by_rule:
        raise ValidationFailed(f"{rule.name} of {rule.split}: Great Expectations returned no result; report this")
    success = met_by_rule[rule.split, rule.name] and len(rows) > 0  # expectations on a column pass on zero rows
    found = rule.found(rows) if len(rows) else "no samples"
    noted = success and bool(rule.flaws) and int(rows[rule.flaws].sum()) > 0
    return Check(rule.name, rule.split, rule.expected, found, success, rule.explained, noted)
