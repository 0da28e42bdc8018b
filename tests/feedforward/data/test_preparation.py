"""Fetching and vectorizing write complete, reproducible outputs, or leave the old ones unchanged."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import workspaces
from prepared_data import CHECKOUT, PARAMS, file_digests, images, prepare, put_images, put_texts, texts
from raw_files import REVIEWS, reviews_file, sha256

from feedforward.core import atomic_files, paths, processes
from feedforward.core.errors import DataError
from feedforward.data import collected_files, preparation
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import encoders
from feedforward.data.readers.reading import Part, Reading
from feedforward.data.splits import Split
from feedforward.promotion import candidate

MIRRORS = [os.environ.get("FEEDFORWARD_MIRROR"), CHECKOUT.parent / "shared" / "datasets"]
MIRROR = next((Path(folder) for folder in MIRRORS if folder and (Path(folder) / "aclImdb_v1.tar.gz").is_file()), None)
needs_mirror = pytest.mark.skipif(not MIRROR, reason="no mirror of the real data")


def profile(folder: Path) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "profile.parquet").to_pylist()


def test_texts_give_splits_vocabulary_profile_and_manifest(root):
    put_texts(root)
    folder = prepare("reviews", texts())
    train, test = Split.load(folder / "train"), Split.load(folder / "test")
    manifest = atomic_files.read_json(folder / "manifest.json")
    vocabulary = (folder / "vocabulary.txt").read_bytes()
    assert vocabulary.decode().split("\n") == ["bad", "a", "film", "good", "and", "fun", "long", ""]
    digests = {"train": train.digest(), "test": test.digest(), "vocabulary": hashlib.sha256(vocabulary).hexdigest()}
    assert manifest == {
        **digests,
        "data_digest": atomic_files.digest(digests),
        "samples": {"train": 3, "test": 2},
        "features": 12,
        "distinct_words": 7,
        "settings": manifest_file.settings_digest(texts()),
        "files": {key: file.sha256 for key, file in texts().files.items()},
    }


@pytest.mark.proves("Data that were vectorized with another reader or other labels are not used for training")
@pytest.mark.parametrize("change", [{"labels": ("positive", "negative")}, {"reader": {"num_words": 11}}], ids=str)
def test_data_vectorized_with_other_settings_are_rejected(root, change):
    put_texts(root)
    prepare("reviews", texts())
    assert manifest_file.load_current("reviews", texts()) == manifest_file.load("reviews")
    changed = texts(**change.get("reader", {})).model_copy(update={k: v for k, v in change.items() if k != "reader"})
    with pytest.raises(DataError, match=r"^reviews: `reader`, `labels` or `task` .*; run `feedforward run`"):
        manifest_file.load_current("reviews", changed)


@pytest.mark.proves("Changed files in data/vectorized are not used for training")
def test_a_changed_split_is_rejected_even_after_it_was_loaded(root):
    put_images(root)
    folder = prepare("numbers", images())
    assert manifest_file.load_split("numbers", "train").digest() == manifest_file.load("numbers")["train"]
    features = np.load(folder / "train" / "features.npy")
    features[3, 2] += 1
    np.save(folder / "train" / "features.npy", features)
    with pytest.raises(DataError, match=r"train: differs from what was vectorized; run `dvc repro --force vectorize`"):
        manifest_file.load_split("numbers", "train")


@pytest.mark.proves("Vectorizing on one and on two threads writes identical files")
@pytest.mark.parametrize("ngrams", [1, 2])
def test_one_and_two_threads_write_identical_files(root, monkeypatch, ngrams):
    monkeypatch.setattr(collected_files, "ROW_GROUP_BYTES", 500)  # many row groups
    reviews = {
        f"set/{part}/{label}/{k:03}.txt": f"word{k * k % 17} {label} film {k % 7} Über{k}".encode()
        for part in ("train", "test")
        for label in ("neg", "pos")
        for k in range(100)
    }
    put_texts(root, reviews)
    file = reviews_file(sha256=None, file_count=len(reviews))
    dataset = texts(num_words=40, ngrams=ngrams).model_copy(update={"files": {"set.tar.gz": file}})
    outputs = []
    for cores in (1, 2):
        monkeypatch.setattr(processes, "cores", lambda cores=cores: cores)
        outputs.append(file_digests(prepare("reviews", dataset)))
    assert outputs[0] == outputs[1]
    assert Split.load(paths.vectorized("reviews") / "train").features.shape == (200, 40)


def test_images_have_no_vocabulary(root):
    put_images(root)
    folder = prepare("digits", images())
    manifest = atomic_files.read_json(folder / "manifest.json")
    assert manifest["vocabulary"] is None
    assert manifest["samples"] == {"train": 30, "test": 10}
    assert manifest["features"] == 16
    assert not (folder / "vocabulary.txt").exists()


@pytest.mark.proves("The size of images is known even if their raw files were removed after vectorizing")
@pytest.mark.parametrize(("shape", "size"), [((2, 8), (2, 8)), ((5, 3), (5, 3)), ((16,), (4, 4)), ((15,), (1, 15))])
def test_the_size_of_images_is_known_without_the_raw_files(root, shape, size):
    put_images(root, *shape)
    prepare("digits", images())
    shutil.rmtree(paths.raw("digits"))
    assert encoders.image_size(candidate.encoder_of("digits", images())) == size


@pytest.mark.parametrize("kind", ["texts", "images"])
def test_the_profile_has_one_row_per_sample_in_the_order_of_the_splits(root, kind, monkeypatch):
    monkeypatch.setattr(preparation, "PROFILE_ROWS", 2)
    put_texts(root)
    put_images(root)
    folder = prepare("data", globals()[kind]())
    rows = profile(folder)
    assert [*rows[0]] == ["split", "label", "raw_length", "ones", "minimum", "maximum", "digest"]
    for name in ("train", "test"):
        split, profile_rows = Split.load(folder / name), [row for row in rows if row["split"] == name]
        dense = split.features if isinstance(split.features, np.ndarray) else split.features.dense()
        assert [row["label"] for row in profile_rows] == split.labels.tolist()
        assert [row["ones"] for row in profile_rows] == np.count_nonzero(dense, axis=1).tolist()
        assert [row["minimum"] for row in profile_rows] == dense.min(axis=1).tolist()
        assert [row["maximum"] for row in profile_rows] == dense.max(axis=1).tolist()
        if kind == "images":
            assert [row["digest"] for row in profile_rows] == [sha256(image.tobytes()) for image in dense]
            assert {row["raw_length"] for row in profile_rows} == {16}
        else:
            raw = {sha256(text): len(text) for text in REVIEWS.values()}
            assert all(raw[row["digest"]] == row["raw_length"] for row in profile_rows)


@pytest.mark.parametrize("kind", ["texts", "images"])
def test_equal_data_give_identical_files(root, kind):
    put_texts(root)
    put_images(root)
    first = file_digests(prepare("one", globals()[kind]()))
    assert file_digests(prepare("one", globals()[kind]())) == first == file_digests(prepare("two", globals()[kind]()))


def test_vocabulary_does_not_depend_on_the_test_texts(root):
    put_texts(root)
    before = file_digests(prepare("reviews", texts()))
    changed_reviews = REVIEWS | {"set/test/pos/1_8.txt": b"bad bad unheard unheard unheard of"}
    file = reviews_file(sha256=None)
    put_texts(root, changed_reviews)
    after = file_digests(prepare("altered", texts().model_copy(update={"files": {"set.tar.gz": file}})))
    assert {key for key in before if before[key] != after[key]} == {
        "manifest.json",
        "profile.parquet",
        "test/indices.npy",
        "test/indptr.npy",
    }


def test_damaged_raw_files_do_not_change_the_old_outputs(root):
    put_texts(root)
    folder = prepare("reviews", texts())
    before = file_digests(folder)
    (paths.raw("reviews") / "set.tar.gz.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"set\.tar\.gz\.parquet"):
        preparation.vectorize("reviews", texts())
    with pytest.raises(DataError, match="no text in the class folders nowhere/"):
        prepare("reviews", texts(test="nowhere"))
    assert file_digests(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["reviews"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["fetch.before_rename", "vectorize.before_rename"])
def test_a_second_run_succeeds_after_a_kill_before_the_rename(root, fault):
    put_images(root)
    expected = file_digests(prepare("digits", images()))
    shutil.rmtree(root / "data")
    script = "import prepared_data as t; t.prepare('digits', t.images())"
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT / 'tests' / 'support'}", "FAULT": fault}
    process = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert process.returncode == -9
    assert not (paths.vectorized("digits")).exists()
    assert file_digests(prepare("digits", images())) == expected
    assert not [*root.rglob("*.partial")]


# --- the real data ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = workspaces.create(tmp_path_factory.mktemp("real"), patch)
        patch.setenv("FEEDFORWARD_MIRROR", str(MIRROR))
        for name in ("mnist", "imdb"):
            preparation.fetch(name, PARAMS.dataset(name), PARAMS)
            preparation.vectorize(name, PARAMS.dataset(name))
        yield folder / "data" / "vectorized"


@pytest.mark.real
@pytest.mark.slow
@needs_mirror
def test_real_digits_have_the_expected_shapes_and_labels(real_data):
    train, test = Split.load(real_data / "mnist" / "train"), Split.load(real_data / "mnist" / "test")
    assert (train.features.shape, test.features.shape) == ((60_000, 784), (10_000, 784))
    assert train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert len({row["digest"] for row in profile(real_data / "mnist")}) == 70_000


@pytest.mark.real
@pytest.mark.slow
@needs_mirror
def test_real_reviews_have_the_expected_vocabulary_and_splits(real_data):
    folder = real_data / "imdb"
    manifest = atomic_files.read_json(folder / "manifest.json")
    # Keras counts 88,582, because it splits words only at ASCII punctuation and common whitespace
    assert manifest["distinct_words"] == 87_532
    vocabulary = (folder / "vocabulary.txt").read_text().split("\n")[:-1]
    assert vocabulary[:5] == ["the", "and", "a", "of", "to"]
    assert len(vocabulary) == 9_996
    train, test = Split.load(folder / "train"), Split.load(folder / "test")
    for split in (train, test):
        assert split.features.shape == (25_000, 10_000)
        assert np.bincount(split.labels).tolist() == [12_500, 12_500]
        assert 128 < len(split.features.indices) / len(split) < 133  # the mean number of different words
    assert 0.45 < train.labels[:10_000].mean() < 0.55  # shuffled, so the validation split contains both classes
    digests = {name: {row["digest"] for row in profile(folder) if row["split"] == name} for name in ("train", "test")}
    assert len(digests["train"] & digests["test"]) == 123  # different texts that are in both splits


@pytest.mark.proves("`vectorize` refuses a target that would overflow in training, and names its value and a remedy")
@pytest.mark.parametrize("value", [1e90, -1e90])
@pytest.mark.filterwarnings("error")
def test_a_target_that_overflows_is_refused_with_its_value(root, value):
    def read(*_: object) -> Reading:
        targets = {"train": np.array([1.0, 2, 3, 4]), "test": np.array([2.0, value, 3])}
        return Reading(
            Part(name, Split(np.ones((len(y), 16), np.uint8), y), np.ones(len(y), int), np.zeros((len(y), 32), "u1"))
            for name, y in targets.items()
        )

    dataset = images().model_copy(update={"task": "regression", "labels": ("price",)})
    with pytest.raises(DataError) as failure:
        preparation.vectorize("houses", dataset, read=read)
    assert str(failure.value) == (
        f"houses: the target {value} in test is too far from the others; correct or remove its row in the source, then"
        " run `feedforward fetch houses`"
    )
    assert not paths.vectorized("houses").exists()
