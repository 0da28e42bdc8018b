"""The dependencies of each stage in dvc.yaml cover exactly the code that the stage imports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from feedforward.config.schema import Params
from feedforward.core.code_digest import closure
from feedforward.experiments import plan

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# The modules that a stage calls first. What else `pipelines.stages` imports only decides when and where a stage runs.
ENTRIES = {
    "fetch": ["feedforward.data.preparation"],
    "vectorize": ["feedforward.data.preparation", "pipelines.dask_text"],
    "validate": ["feedforward.data.preparation"],
    "train": ["pipelines.training_flow"],
    "baselines": ["feedforward.experiments.baselines"],
    "compare": ["feedforward.experiments.runner"],
}
# Modules of `pipelines` that affect no output: servers, locks, signals, settings and what Prefect displays
MODULES_WITHOUT_EFFECT = {
    "cancellation",
    "environment",
    "interruption",
    "locks",
    "prefect_server",
    "prefect_database",
    "host_check",
    "run_artifacts",
    "running_code",
    "log_notification",
}


def code_of(stage: str) -> set[str]:
    """Return the Python files that a stage runs, relative to the checkout."""
    files = {str(path.relative_to(ROOT)) for path in closure(ENTRIES[stage]).values()} | {"pipelines/stages.py"}
    ignored = {f"pipelines/{name}.py" for name in MODULES_WITHOUT_EFFECT}
    return files - ignored - {"src/feedforward/__init__.py", "pipelines/__init__.py"}


def code_dependencies(stage: str) -> list[str]:
    return [path for path in STAGES[stage]["deps"] if path.startswith(("src/", "pipelines/"))]


def uncovered(files: set[str], dependencies: list[str]) -> set[str]:
    """Return the files that no dependency covers."""
    return {file for file in files if not any(file == path or file.startswith(f"{path}/") for path in dependencies)}


@pytest.mark.proves("DVC runs a stage again after a change to any code that the stage imports")
@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_all_code_that_it_imports(stage: str) -> None:
    assert uncovered(code_of(stage), code_dependencies(stage)) == set()


@pytest.mark.proves("DVC runs a stage again after a change to any code that the stage imports")
@pytest.mark.parametrize(("stage", "path"), [(stage, path) for stage in STAGES for path in code_dependencies(stage)])
def test_a_removed_dependency_is_detected(stage: str, path: str) -> None:
    remaining = [other for other in code_dependencies(stage) if other != path]
    assert uncovered(code_of(stage), remaining)


@pytest.mark.proves("DVC runs a stage again after a change to the locked library versions")
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "fetch"])
def test_stages_that_compute_depend_on_the_lock_files(stage: str) -> None:
    assert {"requirements/cpu.txt", "requirements/gpu.txt"} <= set(STAGES[stage]["deps"])


def test_train_stage_depends_on_all_code_covered_by_fingerprints() -> None:
    covered = {str(path.relative_to(ROOT)) for path in closure([*plan.WEIGHTS, *plan.EVALUATION]).values()}
    assert uncovered(covered - {"src/feedforward/__init__.py"}, code_dependencies("train")) == set()


# --- DVC's run cache -------------------------------------------------------------------------

IGNORED = {"size", "nfiles"}  # keys that DVC leaves out of the keys of its run cache
SCHEMA = Params.model_json_schema()


def resolve(schema: Any) -> Any:
    return (
        SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if isinstance(schema, dict) and "$ref" in schema else schema
    )


def values_of(mapping: Mapping[str, Any]) -> Any:
    """Return the JSON schema of the values of a mapping whose keys users choose; None if it is no such mapping."""
    return mapping.get("additionalProperties") or next(iter(mapping.get("patternProperties", {}).values()), None)


def of_param(name: str) -> Any:
    """Return the JSON schema of a parameter that a stage lists, such as `datasets.${item.dataset}.network`."""
    schema: Any = SCHEMA
    for key in name.replace("${item.dataset}", "NAME").split("."):
        schema = resolve(schema)
        schema = schema["properties"][key] if key in schema.get("properties", {}) else values_of(schema)
    return schema


def can_contain_ignored_keys(schema: Any, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a value can have a key that DVC ignores: a field of this name, or a name that users choose."""
    if isinstance(schema, list):
        return any(can_contain_ignored_keys(part, seen) for part in schema)
    if not isinstance(schema, Mapping):
        return False
    if reference := schema.get("$ref"):
        return reference not in seen and can_contain_ignored_keys(resolve(schema), seen | {reference})
    if values_of(schema) or IGNORED & {*schema.get("properties", {})}:
        return True
    parts = [
        *schema.get("properties", {}).values(),
        *(schema.get(key) for key in ("items", "anyOf", "oneOf", "prefixItems")),
    ]
    return any(can_contain_ignored_keys(part, seen) for part in parts)


@pytest.mark.proves("DVC's run cache never restores results of other parameters: it ignores keys named `size`")
@pytest.mark.parametrize("stage", STAGES)
def test_stages_with_keys_that_the_run_cache_ignores_do_not_use_it(stage: str) -> None:
    outs = STAGES[stage]["outs"]
    uses_run_cache = not any(isinstance(out, dict) and any(o.get("persist") for o in out.values()) for out in outs)
    unsafe = [name for name in STAGES[stage].get("params", ()) if can_contain_ignored_keys(of_param(name))]
    assert not (uses_run_cache and unsafe), unsafe
    if stage in ("train", "compare"):
        assert "variants" in unsafe
