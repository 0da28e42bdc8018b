"""Params that `feedforward params` accepts can be planned, compared and scheduled without a traceback."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import workspaces
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from small_data import values, write_workspace

from feedforward.analysis import claims
from feedforward.config import yaml_reader
from feedforward.config.schema import Params, check
from feedforward.core.errors import ParamsError
from feedforward.experiments import plan, search_space

CLAIMS = [
    {"text": "a", "statistic": "best_epoch", "left": "smaller", "direction": "higher", "right": "original"},
    {
        "text": "b",
        "statistic": "test_accuracy",
        "left": "original",
        "direction": "equal",
        "value": 0.9,
        "tolerance": 0.1,
    },
]
START = values()
for _dataset in START["datasets"].values():
    _dataset["claims"] = CLAIMS
    _dataset["margins"] = {"best_epoch": 1.0}
    _dataset["training"]["variants"] = ["original", "smaller", "l2"]
    _dataset["training"]["optimizer"] = {"name": "sgd", "momentum": 0.5, "decay": {"kind": "cosine"}}
START["retraining"] = {"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}}


def _paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in entries for path in ((*above, key), *_paths(item, (*above, key)))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


PATHS = _paths(START)
REMOVED = object()
_values = st.one_of(
    st.sampled_from([REMOVED, None, [], {}, 0, 1, 2, 0.0, 0.5, True, "", "original", "smaller", "nobody", "test_auc"]),
    st.sampled_from(PATHS).map(lambda path: _at(START, path)),  # the value of another key
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_workspace(tmp_path_factory.mktemp("planned"))


def _changed(changes: list[tuple[tuple[Any, ...], Any]]) -> Params | None:
    """Return START with other values, or None if the result is rejected."""
    plain = copy.deepcopy(START)
    for path, value in changes:
        try:
            parent = _at(plain, path[:-1])
            if value is REMOVED:
                del parent[path[-1]]
            else:
                parent[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed it
    try:
        return check(yaml_reader.freeze(json.loads(json.dumps(plain))), "params.yaml")
    except ParamsError:
        return None


@pytest.mark.proves("Every params.yaml that is accepted can be planned without a traceback")
@pytest.mark.slow
@examples(300)
@given(st.lists(st.tuples(st.sampled_from(PATHS), _values), min_size=1, max_size=3))
def test_any_accepted_params_can_be_planned(workspace: Path, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    params = _changed(changes)
    if params is None:
        return
    with workspaces.inside(workspace):
        known = {name: data for name, data in params.datasets.items() if name in ("tones", "notes")}
        for protocol in ("fair", "lecture"):
            packs = plan.plan(params, protocol, list(known)) if known else []
            assert all(pack.members for pack in packs)
        claims.judge([], params)
        for name, dataset in known.items():
            variant = dataset.training.final.variant
            axes = search_space.parse(["dropout_rate=0.1,0.2", "epochs=1,2"], params, name, variant, search=False)
            assert len(list(search_space.grid(axes))) == 4


def test_unchanged_params_are_accepted_and_only_some_keys_may_be_missing() -> None:
    assert _changed([]) is not None
    accepted = [path for path in PATHS if _changed([(path, REMOVED)])]
    assert 10 < len(accepted) < len(PATHS)
