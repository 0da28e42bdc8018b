"""docs/reference.md and docs/api.md document everything that a user can set, call or look up."""

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import feedforward
from feedforward.analysis.statistics import STATISTICS
from feedforward.cli import api_reference, reference
from feedforward.core import provenance
from feedforward.tracking import model_version, records
from feedforward.tracking.records import RunTags

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
SOURCES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").glob("*.py")]
KEYS = list(reference.keys())


@functools.cache
def words_in_backticks() -> set[str]:
    """Return all words in backticks on the page."""
    return {word for text in re.findall(r"`([^`\n]+)`", PAGE) for word in re.findall(r"[\w./-]+", text)}


@pytest.mark.proves("The reference is generated from the code")
def test_generated_sections_are_up_to_date() -> None:
    assert reference.regenerate(PAGE) == PAGE, "run `make reference`"


@pytest.mark.proves("Every public name of the Python API is documented")
def test_the_page_about_the_python_api_is_up_to_date_and_names_everything_public() -> None:
    page = api_reference.PAGE.read_text(encoding="utf-8")
    assert page == api_reference.page(), "run `make reference`"
    assert set(re.findall(r"\bff\.(\w+)", page)) == set(feedforward.__all__)
    for name in feedforward.__all__:
        assert re.search(rf"^(ff\.{name}\(|\| `ff\.{name}` \|)", page, re.MULTILINE), name


def test_every_params_key_has_a_description() -> None:
    undescribed = [key for key, _, meaning in KEYS if not meaning]
    assert not undescribed, "write a comment next to the field in src/feedforward/config"


@pytest.mark.proves("Every key of params.yaml is documented")
@pytest.mark.parametrize("key", [key for key, _, _ in KEYS])
def test_every_params_key_is_documented(key: str) -> None:
    assert f"| `{key}` |" in PAGE


def test_every_http_route_is_documented() -> None:
    paths = {path for _, path, _ in reference.routes()}
    assert {"/", "/docs", "/health", "/ready", "/metrics", "/datasets"} <= paths
    assert not [path for path in paths if f"`{path}`" not in PAGE]


def test_tags_statistics_and_the_result_artifact_are_documented() -> None:
    names = {field.name for field in dataclasses.fields(RunTags)} | set(STATISTICS) | {records.RESULT}
    names |= {f"version.{library}" for library in provenance.LIBRARIES}
    names |= {model_version.DIGEST, model_version.CHAMPION}
    assert not names - words_in_backticks()


def environment_variables() -> Iterator[str]:
    """Yield the environment variables that the code names or reads."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        yield from re.findall(r"\b(FEEDFORWARD_[A-Z]+(?:_[A-Z]+)*)\b", text)
        yield from re.findall(r"environ(?:\.get|\.setdefault|\.pop)?[\[(]\s*\"([A-Za-z_]+)\"", text)
        yield from re.findall(r"\"([A-Z_]+)\" in os\.environ", text)


@pytest.mark.parametrize("name", sorted(set(environment_variables())))
def test_every_environment_variable_is_documented(name: str) -> None:
    assert name in words_in_backticks()
