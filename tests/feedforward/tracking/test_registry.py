"""Versions, aliases and tags in a real store, read with and without MLflow."""

import resource
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import registered
from registered import NAME
from tracked_runs import DIGEST, client, result, tags

from feedforward.config.schema import Params
from feedforward.core.errors import DataError, TrackingError
from feedforward.promotion import bundle
from feedforward.tracking import LoggedRun, model_versions, records
from feedforward.tracking.registry import Registry, download

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def test_versions_read_without_mlflow_match_mlflow(small: Params, small_store: "Store") -> None:
    registry = Registry()
    assert model_versions.find(NAME) is None
    assert registry.find(NAME, "champion") is None
    run = registered.final_run(small_store, small)
    versions = [registered.version(registry, run, strength) for strength in (1.0, 2.0)]
    assert [version.number for version in versions] == [1, 2]
    registry.set_alias(versions[1], "champion")
    registry.tag(versions[1], {"decision": "promoted", "empty": ""})
    for alias_or_number in ("champion", "challenger", 1, 2, 3):
        assert model_versions.find(NAME, alias_or_number) == registry.find(NAME, alias_or_number)
    assert model_versions.find(NAME).number == 2  # type: ignore[union-attr]
    assert model_versions.find("unknown") is None
    assert [version.number for version in registry.versions(NAME)] == [2, 1]
    assert registry.versions(NAME, "another run") == []
    assert model_versions.is_registered(versions[0].tags["digest"])
    assert not model_versions.is_registered("0" * 64)


def test_a_version_can_be_read_if_a_variable_that_looks_secret_contains_a_key_of_its_tags(
    small: Params, small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SORT_KEY", "temperature")
    registry = Registry()
    version = registered.version(registry, registered.final_run(small_store, small), 1.0)
    registry.tag(version, {"calibration": '{"samples": 9, "temperature": 0.43}', "note": "temperature"})
    found = registered.find_version(version.number)
    assert found.calibration() == {"samples": 9, "temperature": 0.43}
    assert found.tags["note"] == "***"


def test_a_version_contains_its_files_and_moves_with_the_store(
    small: Params, small_store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    version = registered.version(registry, registered.final_run(small_store, small), 1.0)
    servable = bundle.read(model_versions.folder(version, "served"), version.tags["digest"])
    features = servable.encoder.encode(["word1 word2"])
    assert np.isfinite(servable.network.logits(features)).all()
    with pytest.raises(DataError, match="nothing"):
        model_versions.folder(version, "nothing")

    shutil.move(tmp_path / "mlruns", tmp_path / "moved")
    monkeypatch.setenv("FEEDFORWARD_STORE", str(tmp_path / "moved"))
    found = model_versions.find(NAME, 1)
    assert found is not None
    assert model_versions.folder(found, "served").is_relative_to(tmp_path / "moved")


def test_a_run_without_a_model_has_no_files_to_register(small: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, small)
    with pytest.raises(DataError, match="logged no complete model"):
        Registry().model_files(run)


@pytest.mark.proves("A run whose model is lost can be trained again as its message says")
def test_the_remedy_for_a_lost_model_makes_training_repeat_the_run(
    small: Params, small_store: "Store", tmp_path: Path
) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])

    def train() -> LoggedRun:
        small_store.finish(small_store.start(tags("final"), "final"), result=result(), model=model, network={"a": b"1"})
        return small_store.find_runs("words", role="final")[0]

    run = train()
    assert Registry().model_files(run)
    shutil.rmtree(tmp_path / "mlruns" / "artifacts" / "words" / "models")
    with pytest.raises(TrackingError, match=f"cannot be fetched .* {records.TRAIN_AGAIN}"):
        Registry().model_files(run)
    assert small_store.find_results("words", "fair", "final", [DIGEST])  # training alone would not repeat it
    client().delete_run(run.run_id)
    assert not small_store.find_results("words", "fair", "final", [DIGEST])
    assert Registry().model_files(train())


@pytest.mark.proves("If the temporary folder is full, nothing in the store has to be restored or deleted")
def test_a_download_for_which_there_is_no_space_names_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    target = tmp_path / "temporary" / "download"
    for folder in (tmp_path / "model", target):
        folder.mkdir(parents=True)
    (tmp_path / "model" / "network.json").write_text("{}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # no file may contain a byte
    try:
        with pytest.raises(TrackingError, match=f"; free space in {target.parent}, or set TMPDIR") as caught:
            download((tmp_path / "model").as_uri(), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "delete" not in str(caught.value)


@pytest.mark.proves("`mlflow.keras.load_model` loads a champion")
def test_a_version_can_be_loaded_as_a_keras_model(small: Params, small_store: "Store", tmp_path: Path) -> None:
    import keras
    import mlflow

    model = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(0.5), keras.layers.Dense(2, "softmax")])
    (tmp_path / "files").mkdir()
    model.save(tmp_path / "files" / "model.keras")
    registry, run = Registry(), registered.final_run(small_store, small)
    version = registry.register(NAME, run.run_id, {"served": tmp_path / "files"}, {})
    registry.set_alias(version, "champion")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    loaded = mlflow.keras.load_model(f"models:/{NAME}@champion")
    features = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(loaded.predict(features, verbose=0), model.predict(features, verbose=0))
