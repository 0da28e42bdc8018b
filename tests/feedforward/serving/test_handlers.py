"""Which requests are answered on the event loop, because they cannot block it for long; how large answers may be."""

import base64
import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image
from registered import ENCODER
from small_data import WORDS

from feedforward.config.schema import Serving
from feedforward.core.errors import InputError
from feedforward.data.readers.image_encoder import ScaledEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.models.numpy_network import Layer, Network
from feedforward.promotion.bundle import Description, Servable
from feedforward.serving import handlers, schemas
from feedforward.serving.prediction import LoadedVersion
from feedforward.serving.schemas import Question
from feedforward.tracking.model_version import Version


def pictures_champion(side: int, *labels: str) -> LoadedVersion:
    """Return a champion for images of side × side pixels."""
    size = side * side, len(labels)
    network = Network(1.0, (Layer(np.zeros(size, np.float32), np.zeros(size[1], np.float32), "softmax"),))
    encoder = ScaledEncoder(ImageGeometry(side, side, side, (0, 0)))
    description = Description("tones", "Tones", labels, "original", 0, 2, 90, "r", "f", "d", "w")
    return LoadedVersion(Version("tones", 1, "", "", {}), Servable(description, encoder, network, "0", 0))


def champion(*units: int) -> LoadedVersion:
    """Return a champion for texts, with hidden layers of these numbers of units."""
    sizes = [*itertools.pairwise([WORDS, *units, 1])]
    layers = [Layer(np.zeros(size, np.float32), np.zeros(size[1], np.float32), "relu") for size in sizes]
    network = Network(1.0, (*layers[:-1], dataclasses.replace(layers[-1], activation="sigmoid")))
    description = Description("notes", "Notes", ("sad", "glad"), "original", 0, 2, 90, "r", "f", "d", "w")
    return LoadedVersion(Version("notes", 1, "", "", {}), Servable(description, ENCODER, network, "0", 0))


@pytest.mark.proves("A request that needs a large network or a long explanation is not answered on the event loop")
@pytest.mark.parametrize(
    ("units", "text", "explain", "is_quick"),
    [
        ((16, 16), "word1", True, True),
        ((16, 16), "word1 " * 300, True, True),
        ((16, 16), "word1 " * 400, True, False),  # too long
        ((16, 16), "word1 " * 400, False, True),
        ((512, 512), "word1", True, True),
        ((512, 512), "word1 " * 300, False, True),
        ((512, 512), "word1 " * 300, True, False),  # a text of 1,800 bytes has up to 900 words, each with a pass
        ((6000, 6000), "word1", False, False),
    ],
)
def test_requests_that_take_milliseconds_count_as_quick(
    units: tuple[int, ...], text: str, explain: bool, is_quick: bool
) -> None:
    question = Question(samples=[text], explain=explain)
    assert handlers._is_quick(champion(*units), question, len(text)) == is_quick


@pytest.mark.parametrize(("side", "explain", "is_quick"), [(28, True, True), (280, True, False), (280, False, True)])
def test_large_images_to_show_are_not_quick(side: int, explain: bool, is_quick: bool) -> None:
    question = Question(samples=[[[0, 255]]], explain=explain)
    assert handlers._is_quick(pictures_champion(side, "dark", "light"), question, 99) == is_quick


@pytest.mark.proves("An image is held to the same limit as the body of a request as in JSON")
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_an_image_above_the_limit_is_refused_in_every_form(kind: str) -> None:
    file = io.BytesIO()
    Image.new("L", (4097, 4096)).save(file, kind)
    in_json = json.dumps({"samples": [base64.b64encode(file.getvalue()).decode()]}).encode()
    for media_type, body in ((schemas.JSON, in_json), (f"image/{kind}", file.getvalue())):
        question = schemas.question("image", media_type, body, 1)
        with pytest.raises(InputError, match=r"^samples\.0: must have at most 16777216 pixels .* got 4097 × 4096"):
            schemas.answer(pictures_champion(2, "dark", "light"), question, Serving())


@pytest.mark.proves("The size of a response is limited, whatever the images, labels and variants")
@pytest.mark.parametrize(
    ("side", "label_size", "options", "most"),
    [
        (128, 5, {"explain": True}, 127),
        (2, 4000, {}, 1042),
        (2, 4000, {"variants": True}, 521),
        (1024, 5, {"explain": True}, 1),
        (2, 5_000_000, {}, 1),
    ],
    ids=["images", "long labels", "variants", "largest image", "one sample"],
)
def test_samples_are_refused_if_the_answer_would_be_too_large(
    side: int, label_size: int, options: dict[str, bool], most: int
) -> None:
    loaded = pictures_champion(side, *(letter * label_size for letter in "ab"))
    vars(loaded)["variants"] = {"wide": loaded.served}

    def size(samples: int) -> int:
        question = Question(samples=[[[0, 255]]] * samples, **options)
        return len(schemas.answer(loaded, question, Serving()))

    assert size(most) < 2 * schemas.MAX_ANSWER_BYTES  # not exact: sizes are estimated, and one sample is always allowed
    with pytest.raises(InputError, match=f"samples: must have at most {most} items, since .*; got {most + 1}"):
        size(most + 1)
