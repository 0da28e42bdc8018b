"""Which requests are answered on the event loop: those that cannot block it for long, whatever the network."""

import dataclasses
import itertools

import numpy as np
import pytest
from registered import ENCODER
from small_data import WORDS

from feedforward.models.numpy_network import Layer, Network
from feedforward.promotion.bundle import Description, Servable
from feedforward.serving import handlers
from feedforward.serving.prediction import LoadedVersion
from feedforward.serving.schemas import Question
from feedforward.tracking.model_version import Version


def champion(*units: int) -> LoadedVersion:
    """Return a champion for texts whose hidden layers have these numbers of units."""
    sizes = [*itertools.pairwise([WORDS, *units, 1])]
    layers = [Layer(np.zeros(size, np.float32), np.zeros(size[1], np.float32), "relu") for size in sizes]
    network = Network(1.0, (*layers[:-1], dataclasses.replace(layers[-1], activation="sigmoid")))
    description = Description("notes", "Notes", ("sad", "glad"), "original", 0, 2, 90, "r", "f", "d", "w")
    return LoadedVersion(Version("notes", 1, "", "", {}), Servable(description, ENCODER, network, "0", 0))


@pytest.mark.proves("A large network or a long explanation never keeps other requests waiting")
@pytest.mark.parametrize(
    ("units", "text", "explain", "is_quick"),
    [
        ((16, 16), "word1", True, True),
        ((16, 16), "word1 " * 300, True, True),
        ((16, 16), "word1 " * 400, True, False),  # too long
        ((16, 16), "word1 " * 400, False, True),
        ((512, 512), "word1", True, True),
        ((512, 512), "word1 " * 300, False, True),
        ((512, 512), "word1 " * 300, True, False),  # up to 900 forward passes
        ((6000, 6000), "word1", False, False),
    ],
)
def test_requests_that_take_milliseconds_count_as_quick(
    units: tuple[int, ...], text: str, explain: bool, is_quick: bool
) -> None:
    question = Question(samples=[text], explain=explain)
    assert handlers._is_quick(champion(*units), question, len(text)) == is_quick
