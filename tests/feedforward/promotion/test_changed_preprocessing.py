"""Champions whose preprocessing differs from today's, with real training: comparison, backtest and rollback."""

from pathlib import Path
from typing import Any

import numpy as np
import own_data
import own_tables
import pytest
import workspaces

import feedforward as ff
from feedforward.config.schema import Params
from feedforward.core import paths
from feedforward.data.readers import image_preprocessing
from feedforward.data.splits import Split
from feedforward.diff import run_side
from feedforward.experiments import plan, runner
from feedforward.promotion import backtest, promote, rollback
from feedforward.promotion.evaluator import EvaluationFailed
from feedforward.serving import prediction
from feedforward.tracking import model_versions, open_store

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path, tensorflow: None) -> None:
    """A workspace with an empty store."""
    workspaces.create(tmp_path / "checkout", monkeypatch)
    workspaces.add_store(tmp_path / "checkout", empty_database)


def configured(source: Path, *targets: str) -> Params:
    """Run `init` on the source; return its params, with a rule that suits small data."""
    _, params = own_tables.initialize(source, *targets)
    rule = params.promotion.model_copy(update={"class_accuracy": 0.0})
    return params.model_copy(update={"promotion": rule})


def train(params: Params, **reader: Any) -> Params:
    """Change the reader, prepare the data and train the final model; return the changed params."""
    own = params.datasets["own"]
    own = own.model_copy(update={"reader": own.reader.model_copy(update=reader)})
    params = params.model_copy(update={"datasets": {"own": own}})
    ff.prepare(params)
    for pack in plan.plan(params, "fair", seeds=[0]):
        if pack.role == "final":
            runner.train_pack(pack, params, open_store())
    return params


@pytest.mark.proves("A text model with fewer words and no pairs does not replace a champion that is better with more")
def test_a_champion_with_more_words_is_compared_with_all_of_them(tmp_path: Path) -> None:
    params = train(configured(own_data.texts(tmp_path / "own.csv"), "label"), num_words=60, ngrams=2)
    assert promote.promote(params, "own").decision.promoted
    fewer = train(params, num_words=6, ngrams=1)
    outcome = promote.promote(fewer, "own")
    assert (outcome.decision.promoted, outcome.champion) == (False, 1)
    assert outcome.decision.gain is not None
    assert outcome.decision.gain.high < 0
    [comparison] = backtest.run(fewer, "own", last=5).comparisons
    assert comparison.scores[0].loss[0] < 0.2  # the champion's, with all of its words and pairs
    champion = model_versions.find("own")
    assert champion is not None
    answers = run_side._answers_of_version(champion, fewer)
    assert (answers.outputs.argmax(axis=1) == answers.truth).all()


@pytest.mark.proves("After a change of the size of images, rollback restores the earlier champion")
def test_a_champion_for_images_of_another_size_is_restored(tmp_path: Path) -> None:
    params = train(configured(own_data.picture_folder(tmp_path / "own")), height=8, width=8)
    assert promote.promote(params, "own").decision.promoted
    larger = train(params, height=12, width=12)
    with pytest.raises(
        EvaluationFailed, match=r"takes images of 8 × 8 pixels, but the data have 12 × 12: .*skip-comparison"
    ):
        promote.promote(larger, "own")
    assert promote.promote(larger, "own", skip_comparison="sharper images").decision.promoted
    assert rollback.rollback(larger, "own", None, "worse").number == 1


@pytest.mark.proves("A champion that changed the pixels of training images is replaced by the same model that does not")
def test_a_champion_of_an_earlier_release_that_cut_out_objects_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = train(configured(own_data.idx_folder(tmp_path / "own")))
    with monkeypatch.context() as earlier:
        earlier.setattr(image_preprocessing, "AGREEMENT", 0.0)  # earlier releases cut out objects in all idx images
        assert promote.promote(params, "own").decision.promoted
        assert prediction.champion("own").served.encoder.settings()["kind"] == "pixels"
    outcome = promote.promote(params, "own")
    assert (outcome.champion, outcome.decision.promoted) == (2, True)
    assert "version 1 is the same model, with other names, variants or preprocessing" in outcome.decision.reason
    served = prediction.champion("own").served
    assert served.encoder.settings()["kind"] == "scaled pixels"
    test = np.asarray(Split.load(paths.vectorized("own") / "test").features)
    images = list(test.reshape(-1, 12, 10))
    np.testing.assert_array_equal(served.encoder.encode([served.encoder.check(image, "") for image in images]), test)
    expected = [served.description.labels[k] for k in served.predict(test).argmax(axis=1)]
    assert [answer["label"] for answer in ff.predict("own", images)] == expected


@pytest.mark.proves("A column may change between numeric and categorical: promote, backtest and rollback work")
def test_a_champion_for_which_a_column_has_another_type_is_kept_or_restored(tmp_path: Path) -> None:
    rows = range(150)
    columns = {"grade": [str(k % 4) for k in rows], "size": [f"{k * 7 % 50}.5" for k in rows]}
    source = own_tables.table(tmp_path / "own.csv", **columns, label=["low" if k % 4 < 2 else "high" for k in rows])
    params = train(configured(source, "label"), numeric=("grade", "size"), categorical=())
    assert promote.promote(params, "own").decision.promoted
    changed = train(params, numeric=("size",), categorical=("grade",))
    with pytest.raises(EvaluationFailed, match=r"grade as numeric, but the data do not: .*skip-comparison"):
        promote.promote(changed, "own")
    assert promote.promote(changed, "own", skip_comparison="grades are not numbers").decision.promoted
    assert backtest.run(changed, "own", last=5).skipped == {
        1: "own version 1: it reads the column grade as numeric, but the data do not"
    }
    assert rollback.rollback(changed, "own", None, "worse").number == 1
