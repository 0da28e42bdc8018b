"""DVC knows no default values, so params.yaml must have each key that dvc.yaml lists; missing keys are named."""

from pathlib import Path
from typing import Any

import dvc_projects
import pytest
import small_data
from ruamel.yaml import YAML

from feedforward.config.schema import load_params
from feedforward.core.errors import ParamsError
from pipelines import dvc_parameters

ROOT = Path(__file__).parents[2]


def write(folder: Path, values: dict[str, Any]) -> Path:
    """Write a workspace with these parameters and the pipeline of this repository; return its params.yaml."""
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    small_data.write_params(folder / "params.yaml", values)
    return folder / "params.yaml"


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("protocols", '`protocols: ["fair"]`'),
        ("pack_units", "`pack_units: "),
        ("retraining", "`use_feedback: false`, under `retraining`"),
    ],
)
def test_a_missing_key_is_named_with_its_default_value(tmp_path: Path, key: str, advice: str) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    del values[key]
    params = write(tmp_path, values)
    load_params(params)
    with pytest.raises(ParamsError) as caught:
        dvc_parameters.check(tmp_path)
    assert [problem for problem in caught.value.problems if advice in problem]


@pytest.mark.slow
def test_dvc_accepts_parameters_without_any_key_that_can_be_left_out(tmp_path: Path) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    values["datasets"] = {"mnist": values["datasets"]["mnist"] | {"claims": [], "literature": []}}
    params = write(tmp_path, _without_optional_keys(values, values, tmp_path))
    load_params(params)
    dvc_parameters.check(tmp_path)
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    kept = {name: {k: v for k, v in stage.items() if k in ("matrix", "params")} for name, stage in stages.items()}
    small_data.write_params(tmp_path / "dvc.yaml", {"stages": {name: s | {"cmd": "true"} for name, s in kept.items()}})
    dvc_projects.init(tmp_path)
    dvc_projects.dvc(tmp_path, "repro", "-q")


def _without_optional_keys(values: dict[str, Any], node: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Remove all keys from `node`, and from dictionaries in it, that the parameters do not need; return `values`."""
    for key in list(node):
        removed = node.pop(key)
        try:
            load_params(write(folder, values))
            dvc_parameters.check(folder)
        except ParamsError:
            node[key] = removed
            if isinstance(removed, dict):
                _without_optional_keys(values, removed, folder)
    return values
