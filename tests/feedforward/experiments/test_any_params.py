"""With any params that `feedforward params` accepts, planning runs and sweeps and judging claims raises no error."""

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
VALID = values()
for _dataset in VALID["datasets"].values():
    _dataset["claims"] = CLAIMS
    _dataset["margins"] = {"best_epoch": 1.0}
    _dataset["training"]["variants"] = ["original", "smaller", "l2"]
    _dataset["training"]["optimizer"] = {"name": "sgd", "momentum": 0.5, "decay": {"kind": "cosine"}}
VALID["retraining"] = {"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}}


def _paths(value: Any, parent: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each key and each list item below `value`."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in entries for path in ((*parent, key), *_paths(item, (*parent, key)))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


PATHS = _paths(VALID)
REMOVED = object()
_replacements = st.one_of(
    st.sampled_from([REMOVED, None, [], {}, 0, 1, 2, 0.0, 0.5, True, "", "original", "smaller", "nobody", "test_auc"]),
    st.sampled_from(PATHS).map(lambda path: _at(VALID, path)),  # the value of another key
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_workspace(tmp_path_factory.mktemp("planned"))


def _params_with(changes: list[tuple[tuple[Any, ...], Any]]) -> Params | None:
    """Return VALID with these changes, as (path, value) pairs, or None if the result is rejected."""
    plain = copy.deepcopy(VALID)
    for path, value in changes:
        try:
            parent = _at(plain, path[:-1])
            if value is REMOVED:
                del parent[path[-1]]
            else:
                parent[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed or replaced its parent
    try:
        return check(yaml_reader.freeze(json.loads(json.dumps(plain))), "params.yaml")
    except ParamsError:
        return None


@pytest.mark.proves("Every params.yaml that is accepted can be planned without a traceback")
@pytest.mark.slow
@examples(300)
@given(st.lists(st.tuples(st.sampled_from(PATHS), _replacements), min_size=1, max_size=3))
def test_any_accepted_params_can_be_planned(workspace: Path, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    params = _params_with(changes)
    if params is None:
        return
    with workspaces.inside(workspace):
        datasets = {name: data for name, data in params.datasets.items() if name in ("tones", "notes")}
        for protocol in ("fair", "lecture"):
            packs = plan.plan(params, protocol, list(datasets)) if datasets else []
            assert all(pack.members for pack in packs)
        claims.judge([], params)
        for name, dataset in datasets.items():
            variant = dataset.training.final.variant
            axes = search_space.parse(["dropout_rate=0.1,0.2", "epochs=1,2"], params, name, variant, search=False)
            assert len(list(search_space.grid(axes))) == 4


def test_unchanged_params_are_accepted_and_only_some_keys_may_be_missing() -> None:
    assert _params_with([]) is not None
    optional = [path for path in PATHS if _params_with([(path, REMOVED)])]
    assert 10 < len(optional) < len(PATHS)
