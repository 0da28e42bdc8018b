"""Samples are encoded again for an earlier encoder: from vectorized data if possible, otherwise from raw texts."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from prepared_data import prepare, put_texts, reviews, store_correction

from feedforward.config.schema import Dataset
from feedforward.core import paths
from feedforward.core.errors import DataError
from feedforward.data import encoded_again, feedback, preparation
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import encoders
from feedforward.data.splits import MultiHot, Split, Subset


def with_reader(**changes: Any) -> Dataset:
    """The text dataset with another reader."""
    dataset = reviews()
    return dataset.model_copy(update={"reader": dataset.reader.model_copy(update=changes)})


def encoder_of(dataset: Dataset) -> encoders.Encoder:
    return encoders.of_dataset(dataset.reader, paths.vectorized("reviews"))


def encoded(dataset: Dataset, part: Literal["train", "test"], encoder: encoders.Encoder) -> Split:
    return encoded_again.samples("reviews", dataset, part, Subset(manifest_file.load_split("reviews", part)), encoder)


@pytest.mark.proves(
    "An earlier model is measured with all its words and pairs, even after num_words or ngrams was lowered"
)
@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("later", [{"num_words": 6}, {"ngrams": 1}, {"num_words": 6, "ngrams": 1}])
def test_texts_have_the_features_of_an_earlier_vocabulary(root: Path, later: dict[str, int], collect: bool) -> None:
    earlier = {"num_words": 30, "ngrams": 2, "shuffle_seed": 5}
    put_texts(root)
    prepare("reviews", with_reader(**earlier))
    if collect:
        store_correction("reviews", "positive", "good fun, good größe")
        feedback.take("reviews", with_reader(**earlier), collect=True)
        preparation.vectorize("reviews", with_reader(**earlier), collect=True)
    encoder = encoder_of(with_reader(**earlier))
    expected = {part: Split.load(paths.vectorized("reviews") / part).digest() for part in ("train", "test")}
    changed = with_reader(**earlier | later)
    preparation.vectorize("reviews", changed, collect=collect)
    assert manifest_file.load("reviews")["train"] != expected["train"]
    for part in ("train", "test"):
        assert encoded(changed, part, encoder).digest() == expected[part]


def test_raw_texts_are_needed_only_for_words_that_have_no_column_now(root: Path) -> None:
    put_texts(root)
    prepare("reviews", with_reader(num_words=6))
    fewer = encoder_of(with_reader(num_words=6))
    preparation.vectorize("reviews", with_reader(num_words=30))
    more = encoder_of(with_reader(num_words=30))
    [raw_file] = [path for path in paths.raw("reviews").iterdir() if path.name != "digests.json"]
    content = raw_file.read_bytes()
    raw_file.unlink()
    features = encoded(with_reader(num_words=30), "train", fewer).features
    assert isinstance(features, MultiHot)
    assert features.columns == 6
    raw_file.write_bytes(content)
    preparation.vectorize("reviews", with_reader(num_words=6))
    np.testing.assert_array_equal(features.indices, manifest_file.load_split("reviews", "train").features.indices)
    raw_file.unlink()
    with pytest.raises(DataError, match=r"it uses \d+ words .* have no column in the data, and the raw texts cannot"):
        encoded(with_reader(num_words=6), "train", more)
    raw_file.write_bytes(content)
    with pytest.raises(DataError, match=r"data/raw/reviews: its texts are not those that were vectorized; run `dvc"):
        encoded(with_reader(num_words=6, shuffle_seed=9), "train", more)
