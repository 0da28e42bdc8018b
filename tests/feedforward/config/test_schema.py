"""params.yaml: valid files are accepted, and all mistakes are listed together before any work starts."""

import contextlib
import itertools
from pathlib import Path
from typing import Any

import mistakes
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from shell import Shell

from feedforward.config import cross_checks, yaml_reader
from feedforward.config.schema import Params, check, load_params
from feedforward.core.errors import ParamsError

CHECKOUT = Path(__file__).resolve().parents[3]
VALUES = yaml_reader.read(CHECKOUT / "params.yaml")


def write_yaml(path: Path, values: Any) -> Path:
    """Write values as YAML, with tuples as lists; return the path."""
    yaml = YAML(typ="safe")
    yaml.sort_base_mapping_type_on_output = False
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    return path


def problems(path: Path) -> list[str]:
    """Return the lines of the error message for an invalid file."""
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert caught.value.exit_code == 2
    assert all(line.startswith("params.yaml") and line.isprintable() for line in caught.value.problems)
    assert len(set(caught.value.problems)) == len(caught.value.problems)
    return caught.value.problems


def test_both_params_files_in_the_repository_are_valid() -> None:
    assert list(load_params(CHECKOUT / "params.yaml").datasets) == ["mnist", "imdb"]
    assert all(data.demo for data in load_params(CHECKOUT / "demo" / "params.yaml").datasets.values())


NAMES = tuple(f"abcdefghijklmnopqrstuvwxyz_abcdefghijklmn_{i:04d}" for i in range(2000))
SPELLINGS = tuple(name[::-1] for name in NAMES)
MANY_MISTAKES = {
    "keys": dict.fromkeys(NAMES, 1),
    "names": {"variants": VALUES["variants"] | {name: {} for name in NAMES}},
    "datasets": {"datasets": VALUES["datasets"] | dict.fromkeys(NAMES, 1)},
}


@pytest.mark.proves(
    "Of thousands of mistakes in a params.yaml, the first twenty are reported, and the others are not looked for"
)
@pytest.mark.parametrize("kind", MANY_MISTAKES)
def test_the_report_of_thousands_of_mistakes_is_limited(kind: str) -> None:
    values = mistakes.with_value(VALUES | MANY_MISTAKES[kind], "datasets/imdb/training/variants", SPELLINGS)
    with pytest.raises(ParamsError) as caught:
        check(values, "params.yaml")
    *reported, last = caught.value.problems
    assert len(reported) == cross_checks.MOST_PROBLEMS
    assert last == "params.yaml: there are more than 20 mistakes; correct these first"
    assert len(str(caught.value)) < 50_000


@pytest.mark.proves(
    "Of thousands of mistakes in a params.yaml, the first twenty are reported, and the others are not looked for"
)
def test_mistakes_that_are_not_reported_are_not_looked_for() -> None:
    endless = (f"mistake {i}" for i in itertools.count())
    assert len(list(cross_checks.first(endless))) == cross_checks.MOST_PROBLEMS + 1
    assert next(endless) == f"mistake {cross_checks.MOST_PROBLEMS + 1}"
    assert list(cross_checks.first(iter(("a", "b")))) == ["a", "b"]


def test_the_names_that_a_message_offers_are_limited() -> None:
    assert cross_checks.choices(NAMES[: cross_checks.MOST_CHOICES]).endswith(NAMES[cross_checks.MOST_CHOICES - 1])
    assert cross_checks.choices(NAMES).endswith(" and 1980 more")  # of 2,000
    with pytest.raises(ParamsError, match=r"and 1985 more$"):  # of 2,005: params.yaml has five variants of its own
        check(VALUES | MANY_MISTAKES["names"], "params.yaml").variant("?")
    name = "a" * cross_checks.LONGEST_NAME
    assert cross_checks.nearest(f"{name}b", [name]) == ""  # longer names are not compared


def test_an_empty_variant_has_default_values() -> None:
    assert Params.model_validate(VALUES).variant("original").model_dump() == {
        "size": "base",
        "l2": 0.0,
        "dropout_rate": 0.0,
    }


@pytest.mark.proves("A mistake in params.yaml is reported with its key, the allowed range, and the nearest valid name")
@pytest.mark.parametrize(("key", "value", "line"), mistakes.PARAMS, ids=lambda value: str(value)[:60])
def test_a_mistake_is_reported_with_its_key_value_and_allowed_range(
    tmp_path: Path, key: Any, value: Any, line: str
) -> None:
    lines = problems(write_yaml(tmp_path / "params.yaml", mistakes.with_value(VALUES, key, value)))
    assert [problem for problem in lines if problem.startswith(f"params.yaml: {line}")], lines


def test_the_lists_of_mistakes_are_long_enough_and_have_no_duplicates() -> None:
    assert len(mistakes.PARAMS) >= 40
    assert len({(str(key), str(value)) for key, value, _ in mistakes.PARAMS}) == len(mistakes.PARAMS)
    assert len(set(mistakes.COMMANDS)) >= 20


@pytest.mark.parametrize(("content", "line"), mistakes.FILES, ids=lambda value: str(value)[:40])
def test_invalid_yaml_is_reported_in_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    [problem] = problems(tmp_path / "params.yaml")
    assert line in problem


def test_all_mistakes_are_listed_together(tmp_path: Path) -> None:
    values: Any = VALUES
    expected = [
        "seeds: must be at most 1000",
        "sedes: unknown key",
        "variants.larger.size: must be one of",
        "variants.l2.l2: must be at least 0",
        "datasets.imdb.training.final.variant: must be one of",
        "datasets.imdb.claims.0.left: must be one of",
        "datasets.imdb.claims.1.tolerance: is required with",
        "datasets.imdb.reader.file: must be one of",
        "datasets.imdb.expectations.nonzero_features: must be the lowest",
        "datasets.imdb.expectations.overlap: must be at least 0",
        "datasets.mnist.reader.test.labels: must be one of",
        "datasets.mnist.training.lecture.validated_on_test.0: must be one of",
    ]
    for prefix in expected:
        key, value = next((key, value) for key, value, line in mistakes.PARAMS if line.startswith(prefix))
        values = mistakes.with_value(values, key, value)
    lines = problems(write_yaml(tmp_path / "params.yaml", values))
    for prefix in expected:
        assert [line for line in lines if line.startswith(f"params.yaml: {prefix}")], (prefix, lines)


COMMANDS = (["params"], ["train", "imdb"], ["predict", "imdb", "a"], ["promote", "imdb"], ["serve"], ["verify"])


@pytest.mark.slow
def test_commands_exit_with_2_before_any_work_starts_if_params_contain_a_mistake(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, (key, value, line) in enumerate(mistakes.PARAMS):
        write_yaml(tmp_path / "params.yaml", mistakes.with_value(VALUES, key, value))
        assert shell.run(*COMMANDS[index % len(COMMANDS)]) == 2
        assert f"params.yaml: {line}" in shell.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_anchors_and_merge_keys_are_accepted(tmp_path: Path) -> None:
    text = (CHECKOUT / "params.yaml").read_text()
    text = text.replace("smaller: {size: small}", "smaller: &small {size: small}")
    text = text.replace("l2: {l2: 0.001} ", "l2: {<<: *small, l2: 0.001} ")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").variant("l2").model_dump() == {
        "size": "small",
        "l2": 0.001,
        "dropout_rate": 0.0,
    }


# --- arbitrary content -----------------------------------------------------------------------

_keys = st.sampled_from(
    ["seeds", "datasets", "variants", "imdb", "files", "reader", "kind", "claims", "size", "<<", ""]
)
_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates() | st.binary(max_size=4)
)
_trees = st.recursive(
    _leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(_keys, below, max_size=3), max_leaves=8
)


def key_paths(values: Any, parent: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to each value, including nested ones and `values` itself: a tuple of keys and indexes."""
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, tuple) else ()
    return [parent, *(path for key, entry in entries for path in key_paths(entry, (*parent, key)))]


KEY_PATHS = ["/".join(map(str, path)) for path in key_paths(VALUES) if path]


@pytest.mark.slow
@examples(200)
@given(st.lists(st.tuples(st.sampled_from(KEY_PATHS), _trees | st.just(mistakes.REMOVED)), min_size=1, max_size=4))
def test_arbitrary_values_are_accepted_or_reported(changes: list[tuple[str, Any]]) -> None:
    values: Any = VALUES
    for key, value in changes:
        try:
            values = mistakes.with_value(values, key, yaml_reader.freeze(value))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # an earlier change removed this key
    with contextlib.suppress(ParamsError):
        check(values, "params.yaml")


@examples(150)
@given(data=st.data())
def test_arbitrary_bytes_are_read_or_reported(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "params.yaml"
    valid = (CHECKOUT / "params.yaml").read_bytes()[:1500]
    position = data.draw(st.integers(0, len(valid)))
    inserted = data.draw(st.binary(max_size=8) | st.text("&*!|>%@`{}[]:,-?#'\"\\ \n\t<0a", max_size=12).map(str.encode))
    path.write_bytes(valid[:position] + inserted + valid[position + data.draw(st.integers(0, 9)) :])
    with contextlib.suppress(ParamsError):
        yaml_reader.read(path)
