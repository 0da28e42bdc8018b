"""An archive contains only results that belong to its params.yaml, as DVC recorded them."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from dvc_projects import PIPELINE, dvc, repro
from ruamel.yaml import YAML

from feedforward.archive import writing
from feedforward.config import yaml_reader
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, dvc_cache, paths
from feedforward.core.errors import DataError
from pipelines import dvc_repro


def change(key: str, value: object) -> None:
    """Set a value in params.yaml, or remove it."""
    yaml, (*parents, name) = YAML(), key.split(".")
    values = branch = yaml.load(paths.params())
    for parent in parents:
        branch = branch[parent]
    if value is None:
        del branch[name]
    else:
        branch[name] = value
    yaml.dump(values, paths.params())


def write(path: Path, content: bytes | None) -> None:
    """Replace or delete a file, which may be a link into DVC's cache."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def refusal() -> str:
    with pytest.raises(DataError) as caught:
        writing.collect(load_params())
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.proves("`export` refuses results of another params.yaml, and results that were edited")
def test_results_of_other_parameters_are_not_exported_until_the_next_run(finished: Path) -> None:
    writing.collect(load_params())
    change("seeds", 77)
    remedy = "run `feedforward run`, then export again"
    assert refusal() == f"params.yaml: seeds is 77, but the last run used 2; {remedy}"
    repro(finished)
    assert "data/baselines/notes.json" in writing.collect(load_params())
    change("variants.extra", {"l2": 0.5})
    assert refusal() == f'params.yaml: variants.extra is {{"l2": 0.5}}, but the last run did not have it; {remedy}'
    repro(finished)
    change("variants.extra.l2", 0.25)
    assert refusal() == f"params.yaml: variants.extra.l2 is 0.25, but the last run used 0.5; {remedy}"
    change("variants.extra", None)
    assert refusal() == f'params.yaml: variants.extra is missing, but the last run used {{"l2": 0.5}}; {remedy}'


@pytest.mark.slow
@pytest.mark.proves("`export` refuses results of another params.yaml, and results that were edited")
def test_results_that_were_edited_are_not_exported_until_the_next_run(finished: Path) -> None:
    writing.collect(load_params())
    edited = {
        "data/raw/tones/digests.json": "data/raw/tones",
        "data/vectorized/tones/manifest.json": "data/vectorized/tones",
        "data/baselines/tones.json": "data/baselines/tones.json",
        "reports/comparison/table.md": "reports/comparison/table.md",
        "reports/comparison/plots/é/a.csv": "reports/comparison/plots",
        "reports/comparison/plots/new.csv": "reports/comparison/plots",
        "reports/comparison/plots/a.csv.partial": None,
    }
    for path, reported in edited.items():
        content = (finished / path).read_bytes() if (finished / path).exists() else None
        write(finished / path, b"edited")
        if reported:
            assert refusal() == f"{reported}: differs from the last run; run `feedforward run`, then export again"
            write(finished / path, content)
        writing.collect(load_params())
    write(finished / "reports/comparison/table.md", b"edited")
    repro(finished)
    writing.collect(load_params())


@pytest.mark.slow
def test_a_run_without_all_of_its_results_is_not_exported(finished: Path) -> None:
    write(finished / "reports/comparison/table.md", None)
    remedy = "run `feedforward run`, then export again"
    assert refusal() == f"reports/comparison/table.md: is missing; {remedy}"
    repro(finished)
    shutil.rmtree(finished / "data/raw/tones")  # the archive has no raw files
    writing.collect(load_params())
    lock = yaml_reader.read(finished / "dvc.lock")
    rest = {name: stage for name, stage in lock["stages"].items() if name != "compare"}
    YAML().dump({**lock, "stages": rest}, finished / "dvc.lock")  # like a first run that was interrupted
    assert refusal() == f"dvc.lock: the last run did not finish (stage compare is missing); {remedy}"
    repro(finished)
    writing.collect(load_params())


@pytest.mark.slow
@pytest.mark.proves("`export` refuses results that were computed from other data than those in the workspace")
def test_results_of_data_that_were_vectorized_again_are_not_exported(finished: Path) -> None:
    manifest = finished / "data/made/tones/manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    repro(finished, "vectorize@tones")  # so that the manifest is as its own stage wrote it
    assert refusal() == "data/vectorized/tones: differs from the last run; run `feedforward run`, then export again"
    repro(finished)
    writing.collect(load_params())


@pytest.mark.slow
@pytest.mark.parametrize("cache", [None, "elsewhere"])
def test_results_that_dvc_links_to_its_cache_are_exported(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, cache: str | None
) -> None:
    before = writing.collect(load_params())
    if cache:
        folder = tmp_path_factory.mktemp(cache) / "cache"
        shutil.move(finished / ".dvc" / "cache", folder)
        dvc(finished, "cache", "dir", str(folder))
    dvc(finished, "config", "cache.type", "symlink")
    dvc(finished, "checkout", "--relink", "-q")
    assert (finished / "reports" / "comparison" / "table.md").is_symlink()
    assert writing.collect(load_params()) == before


@pytest.mark.slow
@pytest.mark.proves("`export` refuses results that other code than the workspace's has computed")
def test_results_of_other_code_are_not_exported_until_the_next_run(finished: Path) -> None:
    code = finished / "code" / "compare.py"
    for ignored in ("__pycache__/compare.pyc", "compare.py.partial"):
        atomic_files.write_text(finished / "code" / ignored, "x")
    writing.collect(load_params())
    code.write_text("rate = 2\n")
    assert refusal() == "code: differs from the last run; run `feedforward run`, then export again"
    repro(finished)
    writing.collect(load_params())
    shutil.rmtree(finished / "code")
    assert refusal() == "code: is missing; run `feedforward run`, then export again"


@pytest.mark.slow
def test_only_stages_that_still_exist_and_match_each_other_are_exported(finished: Path) -> None:
    change("datasets.tones", None)
    pipeline = PIPELINE.replace("[notes, tones]", "[notes]")
    (finished / "dvc.yaml").write_text(pipeline)
    repro(finished)
    assert "baselines@tones" in yaml_reader.read(finished / "dvc.lock")["stages"]
    writing.collect(load_params())
    (finished / "dvc.yaml").write_text(pipeline.replace('{"runs":[]}', '{"runs":[ ]}'))
    repro(finished, "baselines@notes")  # like a run that was interrupted before `compare`
    assert refusal().startswith("data/baselines: differs from the last run")


@pytest.mark.slow
@pytest.mark.proves("A damaged file in DVC's cache never replaces a result: `run`, `demo` and retraining remove it")
def test_a_damaged_copy_in_the_cache_replaces_no_result(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = "data/baselines/${item.dataset}.json"
    pipeline = PIPELINE.replace('{"runs":[]}', '{"runs":[],"of":"${item.dataset} ${seeds}"}')
    pipeline = pipeline.replace("[notes, tones]", '"${datasets}"')  # `dvc_repro` reads no list
    (finished / "dvc.yaml").write_text(pipeline.replace(f'["{output}"]', f'[{{"{output}": {{persist: true}}}}]'))
    repro(finished)
    result = finished / "data" / "baselines" / "tones.json"
    md5, intact = hashlib.md5(result.read_bytes(), usedforsecurity=False).hexdigest(), result.read_bytes()
    copy = dvc_cache.folder() / md5[:2] / md5[2:]

    def damage(*, restore: bool = False) -> None:
        write(copy, b"damaged")
        copy.chmod(0o444)  # DVC believes that such a file is undamaged
        if restore:
            write(result, None)
            dvc(finished, "checkout", "-q")
            assert result.read_bytes() == b"damaged"

    def removed() -> list[str]:
        """The file in each line that is printed while `dvc repro` makes the result again."""
        capfd.readouterr()
        dvc_repro.repro(finished)
        assert result.read_bytes() == intact
        writing.collect(load_params())
        return re.findall("^(.+?): d.*, so it was removed", capfd.readouterr().err, re.MULTILINE)

    assert removed() == []
    damage(restore=True)
    assert refusal().startswith("data/baselines")
    assert removed() == [str(copy)]
    damage(restore=True)
    copy.unlink()  # as `feedforward verify` says
    assert removed() == [str(result)]
    used = load_params().seeds
    change("seeds", used + 1)
    repro(finished)
    damage()  # dvc.lock names another file now
    change("seeds", used)
    assert removed() == [str(copy)]


@pytest.mark.proves("`export` refuses results without a dvc.lock, which says what they were computed from")
def test_results_without_a_dvc_lock_are_not_exported(workspace: Path) -> None:
    (workspace / "dvc.lock").unlink()  # as after a killed DVC or a merge conflict, when `feedforward run` renames it
    assert refusal().startswith("dvc.lock: is missing, so nothing shows what the results were computed from; run `feed")


def test_results_of_a_protocol_that_is_no_longer_used_are_not_exported(workspace: Path) -> None:
    paths.trained("lecture").write_bytes(paths.trained("fair").read_bytes())
    assert "data/trained/lecture.json" not in writing.collect(load_params())
