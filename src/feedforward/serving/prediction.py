"""Predictions of the champion and its variants for raw samples, and the words that drive the predictions."""

import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, load_params
from feedforward.core.errors import DataError, FeedforwardError, NothingToServe, ParamsError, TrackingError
from feedforward.data.readers import tokenizer, word_pairs
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import Features, MultiHot
from feedforward.models import attribution
from feedforward.models.numpy_network import Network
from feedforward.promotion import compatibility, version_bundles
from feedforward.promotion.bundle import Servable
from feedforward.serving import problems
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version

log = logging.getLogger(__name__)

ALL = "all"  # selects the champion and all variants
RESERVED = (model_version.CHAMPION, ALL)  # no variant may have these names, which have a meaning in answers and options
EXPLAINED_WORDS = 512  # per batch: 1 MB of sums for 512 units, computed in a millisecond


@dataclass(frozen=True)
class Word:
    """A word of a text, or a pair of neighboring words. effect: by how much it raises the log odds (nats).

    known: whether it is in the vocabulary.
    """

    word: str
    effect: float
    known: bool


@dataclass(frozen=True)
class LoadedVersion:
    """A loaded version: the champion of a dataset, or its challenger. failure: why its variants could not be loaded."""

    version: Version
    served: Servable
    failure: FeedforwardError | None = None

    @functools.cached_property
    def variants(self) -> dict[str, Servable]:
        """A replica of each variant, loaded on first use.

        Raises:
            DataError: a replica was changed or does not match the champion, or a variant has a name in RESERVED.
        """
        if self.failure is not None:  # so that requests do not try to load them again
            raise DataError(problems.without_folders(str(self.failure)))  # the complete message has been logged
        digests = self.version.variants()
        if ambiguous := next((name for name in RESERVED if name in digests), None):
            remedy = f"rename it in params.yaml, then run `feedforward promote {self.version.dataset}`"
            raise DataError(f"{self.version.name}: its variant {ambiguous} has a reserved name; {remedy}")
        return {name: self._variant(name, digest) for name, digest in digests.items()}

    def _variant(self, name: str, digest: str) -> Servable:
        variant = version_bundles.variant(self.version, name, digest)
        if variant.encoder != self.served.encoder or variant.description.labels != self.served.description.labels:
            problem = f"variant {name} encodes samples differently from the champion, or has other labels"
            raise DataError(f"{self.version.name}: {problem}; do not use this version")
        return variant

    def select(self, variant: str | None) -> dict[str, Servable]:
        """The champion alone (None), one variant, or the champion and all variants (`all`), by name.

        Raises:
            ParamsError: there is no such variant.
        """
        if variant == ALL:
            return {model_version.CHAMPION: self.served, **self.variants}
        return {variant or model_version.CHAMPION: self.select_one(variant, ALL)}

    def select_one(self, variant: str | None, *others: str) -> Servable:
        """The champion (None) or one variant. others: what the caller accepts besides variants, for the message.

        Raises:
            ParamsError: there is no such variant.
        """
        if variant is None:
            return self.served
        if variant not in self.variants:
            names = ", ".join([*others, *self.variants]) or "none"
            raise ParamsError([f"unknown variant {variant!r}: must be one of {names}"])
        return self.variants[variant]


def champion(name: str, version: Version | None = None, dataset: Dataset | None = None) -> LoadedVersion:
    """Load and verify the champion of a dataset.

    version: load this version instead. dataset: the entry in params.yaml; a version with a different task, different
    labels or different columns is refused.

    Raises:
        NothingToServe: there is no champion, or it does not fit `dataset`. DataError: it was changed, was not promoted,
            or is a model for another dataset. ParamsError: params.yaml lacks the dataset or, if the champion does not
            fit `dataset`, is invalid.
        TrackingError: the registry does not answer.
    """
    version = version or _find(name)
    if version is None:
        remedy = compatibility.champion_remedy(name, dataset or load_params().dataset(name))
        raise NothingToServe(f"{name}: there is no champion yet; {remedy}")
    if model_version.DIGEST not in version.tags:
        raise DataError(f"{version.name}: is not the result of a promotion; run `feedforward promote {name}`")
    served = version_bundles.served(version)
    if served.description.dataset != name:  # a signature does not tie a version to its dataset
        raise DataError(
            f"{version.name}: is a model for {served.description.dataset}; run `feedforward promote {name}`"
        )
    if dataset is not None and (problem := compatibility.mismatch(served, dataset)):
        if load_params().datasets.get(name) != dataset:  # only in a service, which has read the file at its start
            reason = f"datasets.{name} in params.yaml has changed since the service started"
            raise NothingToServe(f"{version.name} cannot be served: {reason}; restart the service")
        reason = f"{version.name} does not match this dataset: {problem}"
        raise NothingToServe(f"{reason}; run `feedforward promote {name}`")
    return LoadedVersion(version, served)


def _find(name: str) -> Version | None:
    """Find the champion. If the tracking server does not answer, use the local copy of the last known one, if any."""
    try:
        return model_versions.find(name)
    except TrackingError as error:
        last_known = model_versions.last_known_champion(name)
        if last_known is None:
            raise
        log.warning("%s; using the local copy of %s", error, last_known.name)
        return last_known


def answers(served: Servable, samples: Sequence[Any]) -> list[dict[str, Any]]:
    """Predict checked samples; return one JSON-serializable answer per sample.

    For a single label: `label`, `probability`, and `probabilities` by label. For multiple labels: `labels` and
    `probabilities`. For regression: `value`, in the target's unit. For `warnings`, see `with_warnings`.
    """
    features = served.encoder.encode(samples)
    return with_warnings(served, samples, features, as_answers(served, served.predict(features)))


def with_warnings(
    served: Servable, samples: Sequence[Any], features: Features, answers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Add `warnings` to the answers for samples about which there are any; see `warnings`."""
    for answer, lines in zip(answers, warnings(served, samples, features), strict=True):
        if lines:
            answer["warnings"] = lines
    return answers


def warnings(served: Servable, samples: Sequence[Any], features: Features) -> list[list[str]]:
    """For each sample, lines about what it contains that was not seen in training.

    There is one line for a text without any known word, and one for each unknown category of a row.
    """
    if isinstance(features, MultiHot):
        unknown = "no word of this text is in the vocabulary"
        return [[] if _has_known_word(features, index) else [unknown] for index in range(len(samples))]
    return [
        [f"{name}: does not occur in the training data and is ignored" for name in served.encoder.unknown(sample)]
        for sample in samples
    ]


def _has_known_word(features: MultiHot, index: int) -> bool:
    columns = features.indices[features.indptr[index] : features.indptr[index + 1]]
    return bool(len(columns)) and int(columns.max()) > tokenizer.DROPPED


def as_answers(served: Servable, outputs: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """The answers without warnings. outputs: from `Servable.predict`, of shape (samples, labels)."""
    labels, kind = served.description.labels, served.description.task_definition.answers
    if kind == "value":
        return [{"value": value} for value in outputs[:, 0].tolist()]
    if kind == "labels":
        by_label = [dict(zip(labels, row, strict=True)) for row in outputs.tolist()]
        return [{"labels": [k for k, p in row.items() if p > 0.5], "probabilities": row} for row in by_label]
    answers = []
    for row, best in zip(outputs.tolist(), outputs.argmax(axis=1).tolist(), strict=True):
        answers.append(
            {"label": labels[best], "probability": row[best], "probabilities": dict(zip(labels, row, strict=True))}
        )
    return answers


def in_words(answer: dict[str, Any]) -> str:
    """The predicted label, labels or value as text, without probabilities.

    >>> in_words({"label": "positive", "probability": 0.9}), in_words({"labels": []}), in_words({"value": 12.5})
    ('positive', 'none', '12.5')
    """
    if "value" in answer:
        return f"{answer['value']:.6g}"
    return str(answer["label"]) if "label" in answer else ", ".join(answer["labels"]) or "none"


def explain(served: Servable, text: str) -> tuple[str, list[Word]]:
    """Return the label whose log odds are explained, and the distinct words of a text in order, each with its effect.

    The effects are exact, because features are multi-hot: for each word, the network predicts the text without any
    occurrence of the word and without the pairs that contain it. The words are followed by the pairs in the vocabulary,
    each with the effect of leaving out only that pair. With two labels, the second one is explained; with more, the
    predicted one. Both results are empty unless the model predicts one label for a text.
    """
    encoder, network = served.encoder, served.network
    if not isinstance(encoder, TextEncoder) or served.description.task_definition.answers != "class":
        return "", []
    columns_of, unknown = _columns_to_omit(encoder, encoder.split(text))
    sums = network.first_sums(encoder.encode([text]))
    logits = network.logits_from_sums(sums)
    label = 1 if len(served.description.labels) == 2 else int(logits.argmax())
    [log_odds] = attribution.log_odds(network.log_probabilities(logits), label)
    effective = [word for word, columns in columns_of.items() if columns]
    effects = dict.fromkeys(columns_of, 0.0)  # a word without columns has no effect
    for start in range(0, len(effective), EXPLAINED_WORDS):
        batch = effective[start : start + EXPLAINED_WORDS]
        logits = network.logits_from_sums(sums - _contributions(network, [columns_of[word] for word in batch]))
        without_word = attribution.log_odds(network.log_probabilities(logits), label)
        effects |= zip(batch, (log_odds - without_word).tolist(), strict=True)
    return served.description.labels[label], [Word(word, effects[word], word not in unknown) for word in columns_of]


def _contributions(network: Network, columns: Sequence[list[int]]) -> npt.NDArray[np.float32]:
    """What groups of columns, none empty, contribute to the sums of the first layer: shape (groups, units)."""
    starts = np.cumsum([0, *map(len, columns[:-1])])
    sums = np.add.reduceat(network.layers[0].kernel[list(itertools.chain.from_iterable(columns))], starts, axis=0)
    return np.multiply(sums, network.scale, dtype=np.float32)


def _columns_to_omit(encoder: TextEncoder, words: Sequence[str]) -> tuple[dict[str, list[int]], set[str]]:
    """The columns to leave out for each word and pair of a text, in order, and the words not in the vocabulary."""
    distinct, pairs = list(dict.fromkeys(words)), encoder.known_pairs(words)
    columns_of = {word: [column] for word, column in zip(distinct, encoder.columns_of(distinct), strict=True)}
    unknown = {word for word, columns in columns_of.items() if columns == [tokenizer.DROPPED]}
    if len(unknown) > 1:
        columns_of |= {word: [] for word in unknown}  # without one of them, the others still set their shared column
    for pair, column in zip(pairs, encoder.columns_of(pairs), strict=True):
        for word in set(pair.split(word_pairs.SPACE)):
            columns_of[word].append(column)
    return columns_of | {pair: [column] for pair, column in zip(pairs, encoder.columns_of(pairs), strict=True)}, unknown


def as_json(word: Word) -> dict[str, Any]:
    """The word as a JSON-serializable dictionary."""
    return dict(vars(word))  # `asdict` takes ten times as long
