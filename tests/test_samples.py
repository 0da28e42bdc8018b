"""The sample data in the repository match demo/params.yaml and the scripts that generate them."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import scripts
import workspaces

from feedforward.config.schema import load_params
from feedforward.core import paths
from feedforward.data import preparation
from feedforward.data.splits import MultiHot, Split

CHECKOUT = Path(__file__).parents[1]
SAMPLES = CHECKOUT / "samples"
PARAMS = load_params(CHECKOUT / "demo" / "params.yaml")
MIRRORS = [os.environ.get("FEEDFORWARD_MIRROR"), CHECKOUT.parent / "shared" / "datasets"]
MIRROR = next((Path(path) for path in MIRRORS if path and (Path(path) / "t10k-images-idx3-ubyte.gz").is_file()), None)


@pytest.fixture(scope="module")
def sample_workspace(tmp_path_factory):
    """A workspace in which the samples have been fetched and vectorized."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(SAMPLES, folder / "samples")
    (folder / "demo").mkdir()
    shutil.copy(CHECKOUT / "demo" / "params.yaml", folder / "demo")
    with workspaces.inside(folder / "demo"):
        for name, dataset in PARAMS.datasets.items():
            preparation.fetch(name, dataset, PARAMS)  # also checks the digests
            preparation.vectorize(name, dataset)
        yield folder


def test_every_demo_dataset_is_marked_as_a_demo():
    assert all(name.endswith("-sample") and dataset.demo for name, dataset in PARAMS.datasets.items())


def test_demo_has_the_same_variants_as_the_real_params():
    assert PARAMS.variants == load_params(CHECKOUT / "params.yaml").variants


def test_every_sample_file_is_committed_and_has_a_digest():
    for dataset in PARAMS.datasets.values():
        for key, file in dataset.files.items():
            assert file.sha256
            assert (SAMPLES / key).is_file()


def test_sample_files_are_smaller_than_700_kb():
    assert sum(path.stat().st_size for path in SAMPLES.glob("*.gz")) < 700_000


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.gz")), ids=lambda path: path.name)
def test_gzip_headers_contain_no_timestamp_and_no_name(path):
    head = path.read_bytes()[:10]
    assert head[:3] == b"\x1f\x8b\x08"
    assert head[3] == 0, "the header must contain no name and no comment"
    assert head[4:8] == bytes(4), "the header must contain no timestamp"


def test_grammar_generates_the_committed_reviews():
    grammar = scripts.load(SAMPLES / "grammar.py")
    assert gzip.decompress(grammar.ARCHIVE.read_bytes()) == grammar.archive(grammar.reviews())


def test_another_seed_generates_different_reviews():
    grammar = scripts.load(SAMPLES / "grammar.py")
    reviews, other_reviews = grammar.reviews(), grammar.reviews(grammar.SEED + 1)
    assert reviews.keys() == other_reviews.keys()
    assert not set(reviews.values()) & set(other_reviews.values())


@pytest.mark.real
@pytest.mark.skipif(not MIRROR, reason="no mirror of the real data")
def test_sample_digits_are_the_first_digits_of_the_real_data():
    for name, content in scripts.load(SAMPLES / "digits.py").digits(MIRROR).items():
        assert gzip.decompress((SAMPLES / name).read_bytes()) == content, name


@pytest.mark.slow
def test_a_linear_model_reaches_an_accuracy_of_about_90_percent(sample_workspace):
    """Naive Bayes, a linear model with weights in closed form, classifies the sample reviews well but not perfectly."""
    train, test = (Split.load(paths.vectorized("imdb-sample") / split) for split in ("train", "test"))
    assert isinstance(train.features, MultiHot)
    shares = [train.features.take(np.flatnonzero(train.labels == label)).dense().mean(axis=0) for label in (0, 1)]
    negative, positive = (np.clip(share, 1e-3, 1 - 1e-3) for share in shares)
    weights = np.log(positive / negative) - np.log((1 - positive) / (1 - negative))
    scores = test.features.dense() @ weights + np.log((1 - positive) / (1 - negative)).sum()
    assert 0.85 <= np.mean((scores > 0) == test.labels) <= 0.93


@pytest.mark.slow
def test_samples_meet_their_expectations(sample_workspace):
    for name, dataset in PARAMS.datasets.items():
        preparation.validate(name, dataset)
        assert "Embedded sample." in (paths.validation(name) / "index.html").read_text(encoding="utf-8")
