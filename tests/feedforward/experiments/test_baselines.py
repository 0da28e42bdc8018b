"""Baselines: fitted and tested on the same samples as the variants, and compared with scikit-learn."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from small_data import HELD_OUT, TEST, TRAIN, multihot, split

from feedforward.analysis import run_result
from feedforward.config.schema import Dataset, Params
from feedforward.config.tasks import BASELINES, TASKS
from feedforward.core import paths
from feedforward.data import validation_split
from feedforward.data.splits import MultiHot, Split
from feedforward.experiments import baseline_models, baselines
from feedforward.models import metrics


def tones_with(params: Params, **changes: object) -> Dataset:
    return params.dataset("tones").model_copy(update=changes)


def random_features(rows: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def loss(baseline: baseline_models.Baseline, training: Split, test: Split, dataset: Dataset) -> float:
    """Return the lowest loss on `test`, over the settings of the baseline."""
    networks = baseline.fit(baseline_models.problem(training, dataset))
    return min(float(metrics.losses(n, n.logits(test.features), test.labels).mean()) for n in networks)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("tones", ["majority class", "logistic regression"]),
        ("notes", ["majority class", "logistic regression", "NB-SVM"]),
    ],
)
def test_replicas_are_measured_on_the_split_of_their_seed_and_final_models_on_the_test_split(
    small: Params, dataset: str, expected: list[str]
) -> None:
    results = baselines.measure(small, dataset)
    assert [(r.variant, r.seed, r.role) for r in results] == [
        *((baseline, seed, "replica") for seed in range(small.seeds) for baseline in expected),
        *((baseline, 0, "final") for baseline in expected),
    ]
    train = Split.load(paths.vectorized(dataset) / "train")
    for result in results:
        counts = {"train": TRAIN, "test": TEST}
        if result.role == "replica":
            counts = {"train": TRAIN - HELD_OUT, "validation": HELD_OUT}
            training, validation = validation_split.draw(train, small.dataset(dataset), result.seed)
            if result.variant == "majority class":
                accuracy = np.mean(validation.labels == np.bincount(training.labels.astype(int)).argmax())
                assert result.metrics["best_val_accuracy"] == accuracy
        assert result.samples == counts
        assert ("best_val_cross_entropy" in result.metrics) == (result.role == "replica" and result.variant != "NB-SVM")
        assert ("test_loss" in result.metrics) == (result.role == "final" and result.variant != "NB-SVM")
    test_accuracy = {r.variant: r.metrics["test_accuracy"] for r in results if r.role == "final"}
    assert all(test_accuracy[name] > test_accuracy["majority class"] + 0.1 for name in expected[1:])


def test_rerunning_the_baselines_stage_writes_identical_files(small: Params) -> None:
    baselines.stage(small, "notes")
    before = paths.baselines("notes").read_bytes()
    baselines.stage(small, "notes")
    assert paths.baselines("notes").read_bytes() == before
    assert run_result.load(paths.baselines("notes")) == sorted(
        baselines.measure(small, "notes"), key=lambda r: (r.role, r.variant, r.seed)
    )


@pytest.mark.parametrize("name", ["tones", "notes"])
def test_logistic_regression_predicts_like_scikit_learn(small: Params, name: str) -> None:
    training, test = split(name), split(name, 40, seed=3)
    samples = baseline_models.problem(training, small.dataset(name))
    network = list(baseline_models._logistic(samples))[-1]
    reference = LogisticRegression(C=baseline_models.C_VALUES[-1], tol=1e-6, max_iter=1000)
    reference.fit(samples.matrix, training.labels)
    expected = reference.predict_proba(baseline_models.problem(test, small.dataset(name)).matrix)
    np.testing.assert_allclose(network.probabilities(test.features), expected, atol=0.02)


def test_the_reserved_names_are_those_of_all_baselines(small: Params) -> None:
    names = {
        baseline.name
        for task in TASKS
        for is_text in (False, True)
        for baseline in baseline_models.baselines(tones_with(small, task=task), is_text)
    }
    assert names == set(BASELINES)


def test_multilabel_and_regression_tasks_have_baselines(small: Params) -> None:
    features, test_features = random_features(200), random_features(100, seed=1)
    noise = np.random.default_rng(2).normal(size=300)
    for task, labels, compute, constant_name in [
        ("multilabel", ("a", "b", "c"), lambda x, _: (x[:, :3] > [0, 0, 9]).astype(np.uint8), "label frequencies"),
        ("regression", ("y",), lambda x, e: (x[:, 0] + 0.1 * e).astype(np.float32), "mean"),
        ("unit_regression", ("y",), lambda x, _: (1 / (1 + np.exp(-2 * x[:, 1]))).astype(np.float32), "mean"),
    ]:
        dataset = tones_with(small, task=task, labels=labels, network=small.dataset("notes").network)
        training = Split(features, compute(features, noise[:200]))
        test = Split(test_features, compute(test_features, noise[200:]))
        constant, linear = baseline_models.baselines(dataset, is_text=False)
        assert constant.name == constant_name
        assert loss(linear, training, test, dataset) < loss(constant, training, test, dataset) - 0.05


def test_nb_svm_separates_several_classes(small: Params) -> None:
    features = multihot(300, seed=4)
    labels = features.dense()[:, [30, 40, 50]].argmax(axis=1).astype(np.uint8)
    dataset = small.dataset("notes").model_copy(update={"task": "multiclass", "labels": ("a", "b", "c")})
    *_, nb_svm = baseline_models.baselines(dataset, is_text=True)
    networks = list(nb_svm.fit(baseline_models.problem(Split(features, labels), dataset)))
    accuracies = [np.mean(network.logits(features).argmax(axis=1) == labels) for network in networks]
    assert len(networks) == len(baseline_models.SVM_C_VALUES) * len(baseline_models.INTERPOLATIONS)
    assert max(accuracies) > np.bincount(labels).max() / 300 + 0.05


def test_a_class_without_training_samples_is_never_predicted(small: Params) -> None:
    training = Split(random_features(60), (random_features(60)[:, 0] > 0).astype(np.uint8))
    dataset = tones_with(small, labels=("a", "b", "never"))
    for baseline in baseline_models.baselines(dataset, is_text=False):
        for network in baseline.fit(baseline_models.problem(training, dataset)):
            assert network.probabilities(training.features).argmax(axis=1).max() < 2


def test_multi_hot_features_become_an_equal_sparse_matrix(small: Params) -> None:
    features = multihot(20, seed=1)
    samples = baseline_models.problem(Split(features, np.zeros(20, np.uint8)), small.dataset("notes"))
    assert isinstance(samples.matrix, csr_matrix)
    assert isinstance(features, MultiHot)
    np.testing.assert_array_equal(samples.matrix.toarray(), features.dense())


def test_missing_data_are_reported(small: Params, tmp_path: Path) -> None:
    (tmp_path / "data" / "vectorized" / "notes" / "train" / "labels.npy").unlink()
    with pytest.raises(Exception, match=r"labels\.npy: cannot be read"):
        baselines.measure(small, "notes")
