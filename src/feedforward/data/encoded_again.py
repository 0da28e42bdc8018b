"""Samples of a vectorized dataset with the features of another encoder, such as that of an earlier model."""

from typing import Literal

import numpy as np

from feedforward.config.schema import Dataset, TextReader
from feedforward.core import paths
from feedforward.core.errors import DataError
from feedforward.data import feedback, feedback_features, sample_digests
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import encoders, labeled_text
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.sources import download
from feedforward.data.splits import Split, Subset


def samples(name: str, dataset: Dataset, part: Literal["train", "test"], chosen: Subset, encoder: Encoder) -> Split:
    """The chosen samples of a part of the vectorized dataset, with features from `encoder`.

    Their features are translated if these contain everything that `encoder` uses. Otherwise, texts are encoded again
    from the raw files, so that words and pairs that only the vocabulary of `encoder` contains do not count as unknown.

    Raises:
        DataError: the features lack something that `encoder` uses, and either the samples are not texts, or the raw
            files are missing or not those that were vectorized.
    """
    current = encoders.of_dataset(dataset.reader, paths.vectorized(name))
    lacking = encoders.lacking(current, encoder)
    if lacking is None:
        split = chosen.to_split()
        return Split(encoders.translate(split.features, current, encoder), split.labels)
    if not (isinstance(encoder, TextEncoder) and isinstance(dataset.reader, TextReader)):
        raise DataError(lacking)
    try:
        texts = _from_raw_files(name, dataset, dataset.reader, part, encoder)
    except (DataError, OSError) as error:
        raise DataError(f"{lacking}, and the raw texts cannot be encoded again ({error})") from None
    return Subset(texts, chosen.rows).to_split()


def _from_raw_files(
    name: str, dataset: Dataset, reader: TextReader, part: Literal["train", "test"], encoder: TextEncoder
) -> Split:
    """The whole part, in the order of the vectorized split."""
    texts = labeled_text.encode_part(reader, download.stored_files(dataset.files, paths.raw(name)), part, encoder)
    manifest = manifest_file.load(name)
    collected = feedback.usable(name, dataset) if part == "train" and manifest.get("collected") else []
    if collected:
        texts = feedback_features.join(
            texts, feedback_features.part(collected, dataset, encoder), dataset.training.validation.take
        )
    digests = sample_digests.of_split(name, part, int(manifest["samples"][part]))
    if not np.array_equal(sample_digests.shorten(texts.digests), digests):
        raise DataError(f"{paths.raw(name)}: its texts are not those that were vectorized; run `dvc repro vectorize`")
    return texts.split
