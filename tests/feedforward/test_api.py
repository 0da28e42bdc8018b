"""The functions of `import feedforward` refuse invalid arguments in one line, and accept what their docstrings name."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import registered
from pictures import stroke
from raw_files import idx
from small_data import HELD_OUT, params, params_with, values, write_params
from synthetic_runs import SHAPES, final_run, replica_run

import feedforward as ff
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths, processes
from feedforward.core.errors import Busy, DataError, InputError, NothingToServe, ParamsError, TrainingError
from feedforward.data import manifest
from feedforward.promotion import backtest, rollback
from feedforward.tracking import names

if TYPE_CHECKING:
    from feedforward.tracking import Store

Image = npt.NDArray[np.uint8]


def test_a_workspace_without_params_is_refused_and_changes_nothing(
    tmp_path: Path, small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEEDFORWARD_ROOT", raising=False)
    for root in (None, str(tmp_path)):
        with pytest.raises(ParamsError, match=r"params\.yaml: not found in .*/empty"):
            ff.use_workspace("empty")
        assert os.environ.get("FEEDFORWARD_ROOT") == root
        assert ff.use_workspace(".") == tmp_path
    monkeypatch.chdir(empty)
    assert paths.root() == tmp_path  # a relative folder does not depend on the later working directory


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda params: ff.train(params, protocol="lectur"),
            "train: protocol: must be one of fair, lecture, got 'lectur'",
        ),
        (lambda params: ff.train(params, seeds=[0, -5]), "seed -5: must be from 0 to 2147482"),
        (lambda params: ff.split_training(params, "notes", -1), "seed -1: must be from 0 to 2147482"),
        (lambda params: ff.column_names(params, "tones")(-1), "column -1: must be from 0 to 11"),
        (lambda params: ff.build_network(params, "notes", "l2", 9, 10**7), "seed 10000000: must be from 0 to 2147482"),
    ],
)
def test_an_invalid_argument_is_refused_before_anything_is_trained(
    small: Params, tmp_path: Path, call: Callable[[Params], Any], message: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        call(small)
    assert str(caught.value) == message
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.proves("`ff` refuses an argument of the wrong type in one line that names it")
@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("train", (params(), "notes"), "datasets: must be a list, got 'notes'; write ['notes']"),
        ("train", (params(), (), (), 3), "seeds: must be a list, got 3"),
        ("train", (params(), (), (), [0.5]), "seeds: each element must be an integer, got 0.5"),
        ("predict", (params(), "notes", ["word1"]), "dataset: must be a text, got an object of type Params"),
        ("predict", ("notes", "word1"), "samples: must be a list, got 'word1'; write ['word1']"),
        ("predict", ("grades", {"hours": 1}), "samples: must be a list, got an object of type dict"),
        ("predict", ("notes", ["word1"], 2), "variant: must be a text or None, got 2"),
        ("validate", ("notes", params()), "params: must be what `ff.load_params` returns, got 'notes'"),
        ("results", ("notes",), "protocol: must be one of fair, lecture, got 'notes'"),
        ("load_split", ("notes", "val"), "part: must be one of train, test, got 'val'"),
        ("compare", (np.array(1.0), params()), "results: must be a list, got an object of type ndarray"),
        ("compare", (["notes"], params()), "results: each element must be a result of `ff.train`"),
        ("summary_table", ([],), "findings: must be a result of `ff.compare`, got an object of type"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_in_one_line(
    name: str, arguments: tuple[Any, ...], problem: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        getattr(ff, name)(*arguments)
    assert str(caught.value).startswith(f"{name}: {problem}")
    assert "\n" not in str(caught.value)


def test_arguments_may_have_any_type_that_can_be_used_as_the_annotated_one(small: Params, tmp_path: Path) -> None:
    assert ff.load_params(str(tmp_path / "params.yaml")) == ff.load_params(tmp_path / "params.yaml") == small
    with pytest.raises(ParamsError, match="unknown"):
        ff.train(small, small.datasets, (name for name in ["none"]), np.array([1]))
    with pytest.raises(TypeError, match=r"train\(\) missing 1 required positional argument: 'params'"):
        ff.train()  # type: ignore[call-arg]


@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow")
def test_the_largest_seed_can_be_trained(small: Params, small_store: "Store") -> None:
    largest = 2147482
    variants = ["dropout", "l2"]
    assert [run.seed for run in ff.train(small, ["notes"], variants, [largest])] == [largest] * len(variants)
    with processes.only_one(paths.lock("training"), "feedforward train"):  # finished runs need no lock
        assert len(ff.train(small, ["notes"], variants, np.array([largest]))) == len(variants)


@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow")
def test_runs_are_logged_under_the_project_of_the_given_params(small: Params, small_store: "Store") -> None:
    course = small.model_copy(update={"project": "course"})
    assert len(ff.train(course, ["notes"], ["l2"], [0])) == 1
    assert not small_store.find_runs("notes")
    with names.fixed("course"):
        assert len(small_store.find_runs("notes", role="replica")) == 1


@pytest.mark.proves("If a run of `ff.train` fails, the others are trained, and no run is left open")
@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow")
def test_runs_that_fail_do_not_stop_the_others(small: Params, small_store: "Store") -> None:
    notes = small.datasets["notes"]
    optimizer = notes.training.optimizer.model_copy(update={"name": "sgd", "learning_rate": 1e30})
    diverging = notes.model_copy(update={"training": notes.training.model_copy(update={"optimizer": optimizer})})
    both = small.model_copy(update={"datasets": {"notes": diverging, "tones": small.datasets["tones"]}})
    with pytest.raises(TrainingError, match="original, seed 5: loss is nan at epoch 1"):
        ff.train(both, variants=["original"], seeds=[5, 5])
    notes_runs, tones_runs = (small_store.find_runs(name, status=None) for name in ("notes", "tones"))
    assert {run.status for run in notes_runs} == {"FAILED"}
    assert {run.status for run in tones_runs} == {"FINISHED"}
    assert sorted(run.tags["role"] for run in tones_runs) == ["final", "finals", "replica", "variant"]


@pytest.mark.proves("Two jobs in one checkout never train the same run, even if one of them is a notebook")
def test_a_notebook_does_not_train_while_another_job_does(small: Params, small_store: "Store") -> None:
    message = r"process \d+ \(feedforward train\) is running here; wait until it ends"
    with processes.only_one(paths.lock("training"), "feedforward train"), pytest.raises(Busy, match=message):
        ff.train(small, ["notes"])
    assert not small_store.find_runs("notes")


@pytest.mark.proves(
    "`ff` returns no data, samples or column names that belong to other parameters, and no damaged data"
)
def test_data_that_are_damaged_or_were_vectorized_with_other_parameters_are_refused(small: Params) -> None:
    content = manifest.load("notes")
    manifest_file = paths.vectorized("notes") / "manifest.json"
    atomic_files.write_json(manifest_file, content | {"settings": manifest.settings_digest(small.datasets["notes"])})
    assert len(ff.split_training(small, "notes")[1]) == HELD_OUT
    changed = params_with("datasets/notes/reader/num_words", 9)
    for call in (
        lambda: ff.split_training(changed, "notes"),
        lambda: ff.column_names(changed, "notes"),
        lambda: ff.raw_samples(changed, "notes", [0]),
    ):
        with pytest.raises(DataError, match="have changed since the dataset was vectorized; run `feedforward run`"):
            call()
    labels = paths.vectorized("notes") / "train" / "labels.npy"
    np.save(labels, 1 - np.load(labels))
    for call in (lambda: ff.load_split("notes", "train"), lambda: ff.split_training(small, "notes")):
        with pytest.raises(DataError, match="differs from what was vectorized"):
            call()


@pytest.fixture
def images(small: Params) -> list[Image]:
    """The raw test images of `tones`: noise around a bright bar."""
    images = [np.random.default_rng(seed).integers(0, 40, (6, 8), np.uint8) for seed in range(3)]
    for row, image in enumerate(images):
        image[row + 1] = 255
    folder = paths.raw("tones")
    folder.mkdir(parents=True)
    (folder / "features").write_bytes(idx(np.stack(images)))
    return images


@pytest.mark.proves("`ff.predict` accepts the images that `ff.raw_samples` returns")
def test_raw_images_are_predicted_like_rows_of_gray_levels(
    small: Params, small_store: "Store", images: list[Image]
) -> None:
    registered.pictures_champion(small_store)
    raw = ff.raw_samples(small, "tones", [0, 2])
    assert [image.tolist() for image in raw if not isinstance(image, str)] == [images[0].tolist(), images[2].tolist()]
    expected = ff.predict("tones", [images[0].tolist(), images[2].tolist()])
    assert ff.predict("tones", raw) == ff.predict("tones", np.stack([images[0], images[2]])) == expected
    assert ff.predict("tones", [np.asarray(stroke(60, 40), np.float64)])
    invalid: dict[str, Any] = {
        "must be rows of gray levels": images[0][0],
        "gray levels must be numbers": images[0][None],
        "got a value of type set": set(),
    }
    for message, sample in invalid.items():
        with pytest.raises(InputError, match=f"sample 2: .*{message}"):
            ff.predict("tones", [images[0], sample])


@pytest.mark.parametrize("row", [3, -1])
def test_a_row_that_does_not_exist_is_refused(small: Params, images: list[Image], row: int) -> None:
    with pytest.raises(ParamsError) as caught:
        ff.raw_samples(small, "tones", [0, row])
    assert str(caught.value) == f"row {row}: must be from 0 to 2, because there are 3 test samples"


def test_an_unknown_variant_is_refused_with_those_that_can_be_predicted(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small, 1.0, dropout=2.0, original=1.0)
    assert [answer["label"] for answer in ff.predict("notes", ["word1"], "dropout")] == ["sad"]
    for variant in ("all", "dropuot"):
        with pytest.raises(ParamsError) as caught:
            ff.predict("notes", ["word1"], variant)
        assert str(caught.value) == f"unknown variant '{variant}': must be one of dropout, original"


@pytest.mark.proves("`ff.predict` refuses a champion whose labels are not those in params.yaml, as `predict` does")
def test_a_champion_with_other_labels_than_params_yaml_is_refused(
    tmp_path: Path, small: Params, small_store: "Store"
) -> None:
    registered.champion(small_store, small, 1.0)
    changed = values()
    changed["datasets"]["notes"]["labels"] = ["bad", "good"]
    write_params(tmp_path / "params.yaml", changed)
    with pytest.raises(NothingToServe, match=r"its labels are sad, glad, params\.yaml says bad, good"):
        ff.predict("notes", ["word1"])


@pytest.mark.parametrize("call", [lambda: ff.load_split("nots", "train"), lambda: ff.predict("nots", ["word1"])])
def test_an_unknown_dataset_is_refused_with_those_that_exist(
    small: Params, small_store: "Store", call: Callable[[], Any]
) -> None:
    with pytest.raises(ParamsError, match="unknown dataset 'nots': must be one of tones, notes; did you mean notes"):
        call()


def test_results_of_a_protocol_that_the_pipeline_does_not_train_are_requested_in_params(small: Params) -> None:
    with pytest.raises(DataError, match=r"fair\.json: cannot be read .*; run `dvc repro train`"):
        ff.results()
    with pytest.raises(DataError) as caught:
        ff.results("lecture")
    assert str(caught.value) == (
        f"{paths.trained('lecture')}: is missing, because `protocols` in params.yaml is [fair]; add lecture, then run"
        " `feedforward run`"
    )


def test_a_champion_for_demo_data_is_not_promised(tmp_path: Path, small: Params, small_store: "Store") -> None:
    demo = values()
    demo["datasets"]["notes"]["demo"] = True
    write_params(tmp_path / "params.yaml", demo)
    with pytest.raises(NothingToServe) as caught:
        ff.predict("notes", ["word1"])
    problem = "models of demo data are never promoted, so use another dataset"
    assert str(caught.value) == f"notes: there is no champion yet; {problem}"
    with pytest.raises(NothingToServe, match=problem):
        backtest.run(ff.load_params(), "notes", last=1)
    with pytest.raises(NothingToServe, match=problem):
        rollback.rollback(ff.load_params(), "notes", None, "worse")


@pytest.mark.proves("`ff.compare` refuses results that cannot be compared: of other params, or with changed numbers")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"samples": {"train": 9, "validation": 20}}, "the same number of train samples, got 9 and 15000; train them"),
        ({"samples": {"validation": 20}}, "the same number of validation samples, got 20 and 10000; train them again"),
        ({"epochs": 20}, "notes: runs to be compared must have the same number of epochs, got 8 and 20; train them"),
        ({"rise": math.nan}, "notes l2 seed 1: rise must be finite, got nan; it was changed after training; load"),
        (
            {"best_val_cross_entropy": "0.3"},
            "notes l2 seed 1: best_val_cross_entropy must be finite, got '0.3'; it was",
        ),
        ({"curves": {}}, "notes l2 seed 1: curve cross_entropy must be finite, got None; it was changed"),
        ({"curves": {"cross_entropy": [0.3], "val_cross_entropy": [0.3, math.inf]}}, "curve val_cross_entropy must be"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(changes: dict[str, Any], problem: str) -> None:
    runs = [
        replica_run("notes", variant, seed, 8, SHAPES[variant]) for variant in ("original", "l2") for seed in (0, 1)
    ]
    assert ff.compare(runs, params())[0].variants == ["original", "l2"]
    last = replica_run("notes", "l2", 1, changes.pop("epochs", 8), SHAPES["l2"])
    fields = {name: changes.pop(name) for name in ("samples", "curves") if name in changes}
    runs[-1] = replace(last, metrics=last.metrics | changes, **fields)
    with pytest.raises(DataError) as caught:
        ff.compare(runs, params())
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_results_without_the_final_model_have_no_test_scores() -> None:
    [entry] = ff.compare([replica_run("notes", "l2", 0, 8, SHAPES["l2"])], params())
    with pytest.raises(DataError, match="notes: no final run is among the results; add original, the variant of the"):
        ff.test_scores(entry)
    [entry] = ff.compare([final_run("notes", "original", seed, 8, 0.9) for seed in (0, 1)], params())
    assert ff.test_scores(entry).startswith("test loss: 0.29")
