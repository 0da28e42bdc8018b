"""The playground file, opened from disk in a real browser: answers like `feedforward predict`, no requests."""

import base64
import dataclasses
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networks
import numpy as np
import pytest
import registered
from chromium import CONTRAST, pytestmark, sync, watched_page  # noqa: F401
from live_service import GLAD
from pictures import centered_strokes, encoded, stroke
from registered import NAME
from shell import Shell

import feedforward as ff
from feedforward.config.schema import Params
from feedforward.core.errors import InputError
from feedforward.data.readers import cells
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.image_encoder import ImageEncoder, ScaledEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.models import browser_network
from feedforward.models.numpy_network import ACTIVATIONS, Network
from feedforward.promotion.bundle import Description, Servable
from feedforward.serving import playground_file, prediction
from feedforward.serving.prediction import LoadedVersion
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from feedforward.tracking import Store

ASK = "async (body) => (await call('predict', body)).predictions"
TEXTS = (
    "word1 WORD2 nobody",
    f"{GLAD}, and <b>word3</b>…word4\u2028word5\x85word6",
    "İstanbul ΟΔΥΣΣΕΥΣ 東京word7 café\u00a0word8",
    "nobody",
    unicodedata.normalize("NFD", "„word1“ Käse»word2« ‘word3’ don’t Й 한 word4´s wo\u00adrd5—word6، \x93word7\x94 l·l"),
)


class OpenedFile:
    """The playground file of a dataset's champion, opened in a browser."""

    def __init__(
        self, browser: "Browser", folder: Path, dataset: str, champion: LoadedVersion | None = None, **options: Any
    ) -> None:
        self.champion = champion or prediction.champion(dataset)
        self.built = playground_file.build(self.champion, 10**6)
        self.path = folder / f"{dataset}.html"
        self.path.write_text(self.built.text, encoding="utf-8")
        self.context = browser.new_context(**options)
        self.page, self.errors = watched_page(self.context, self.path.as_uri())
        self.page.goto(self.path.as_uri())

    def answers(self, samples: Sequence[Any], **options: bool) -> list[dict[str, Any]]:
        predictions: list[dict[str, Any]] = self.page.evaluate(ASK, {"samples": list(samples), **options})
        return predictions

    def close(self) -> None:
        self.context.close()
        assert not self.errors


@pytest.fixture
def playground(browser: "Browser", small: Params, small_store: "Store", tmp_path: Path) -> Iterator[OpenedFile]:
    registered.champion(small_store, small, 1.0, original=2.0, dropout=-1.0)
    opened = OpenedFile(browser, tmp_path, NAME)
    yield opened
    opened.close()


def assert_same(received: dict[str, Any], expected: dict[str, Any], tolerance: float = 1e-5) -> None:
    assert received.get("label") == expected.get("label")
    assert received.get("warnings") == expected.get("warnings")
    for label, probability in expected["probabilities"].items():
        assert received["probabilities"][label] == pytest.approx(probability, abs=tolerance)


def test_page_predicts_texts_like_predict(playground: OpenedFile) -> None:
    received = playground.answers(TEXTS, variants=True, explain=True)
    for k, text in enumerate(TEXTS):
        assert_same(received[k], ff.predict(NAME, [text])[0])
        for variant in ("original", "dropout"):
            assert_same(received[k]["variants"][variant], ff.predict(NAME, [text], variant)[0] | {"warnings": None})
        served = playground.champion.served
        towards, words = prediction.explain(served, served.encoder.check(text, ""))
        explanation = received[k]["words"]
        assert explanation["towards"] == towards
        assert [word["word"] for word in explanation["effects"]] == [word.word for word in words]
        for word, expected in zip(explanation["effects"], words, strict=True):
            assert word["known"] == expected.known
            assert word["effect"] == pytest.approx(expected.effect, abs=1e-4)


def test_page_preprocesses_and_predicts_images_like_predict(
    browser: "Browser", small_store: "Store", tmp_path: Path
) -> None:
    registered.pictures_champion(small_store)
    playground = OpenedFile(browser, tmp_path, "tones")
    noise = np.random.default_rng(0).integers(0, 12, (60, 70))
    gray = [stroke(28, 28), stroke(90, 60), 255 - stroke(41, 200, seed=1), stroke(15, 12), *centered_strokes(2)]
    gray.append(np.clip(stroke(60, 70).astype(int) * 0.8 + noise, 0, 255).astype(np.uint8))
    transparent = np.dstack([stroke(80, 70) // 2, stroke(80, 70) // 5, np.zeros((80, 70), np.uint8), stroke(80, 70)])
    colored = [np.dstack([stroke(50, 64), 255 - stroke(50, 64), np.full((50, 64), 9, np.uint8)]), transparent]
    levels = [image.tolist() for image in gray]
    files = [encoded(image) for image in [*gray, *colored]]
    predictions = playground.answers([*levels, *(base64.b64encode(file).decode() for file in files)], explain=True)
    encoder = playground.champion.served.encoder
    for received, sample in zip(predictions, [*levels, *files], strict=True):
        assert_same(received, ff.predict("tones", [sample])[0], 0.01)
        difference = np.abs(np.array(received["seen"]["levels"], int) - encoder.check(sample, "").astype(int))
        assert difference.max() <= 1  # because Pillow calculates with fixed-point numbers
    with pytest.raises(Exception, match="the image is blank"):
        playground.answers([[[7, 7], [7, 7]]])
    playground.close()


CELLS = (
    "1,234.5 €", "(1 200)", "1e3", " +7 ", "-", "n/a", "∞", "-inf", "2024-02-29", "2024-02-29T12:30:15.5+02:00",
    "2023-02-29", "$ 5 USD", "5 %", "1.2.3", "many", "1,23,456", "\u22125", ".5", "5.", "\ufeff8\u200b", "TRUE",
    "007", "1.50", "-0.0", "+3", "NULL", "Zu\u0308rich", "", "2024-02-29T24:00", "2024-02-29T10:60",
    "2024-02-29T10:20+25:00",
)  # fmt: skip


def test_page_parses_and_predicts_rows_like_predict(
    browser: "Browser", small: Params, small_store: "Store", tmp_path: Path
) -> None:
    registered.grades_champion(small_store)
    playground = OpenedFile(browser, tmp_path, "grades")
    playground.page.evaluate("() => { encoder.dates = null; }")  # it is unknown which columns have dates
    parse = "(cell) => { try { return String(number(cell, 'x')); } catch { return 'none'; } }"
    for cell in CELLS:
        assert playground.page.evaluate("(cell) => category(cell)", cell) == cells.category(cell)
        expected = cells.number(cell) if cells.is_number(cell) else None
        value_in_page = playground.page.evaluate(parse, cell)
        assert (value_in_page == "none") == (expected is None), cell
        if expected is not None:
            assert float(value_in_page) == pytest.approx(expected, nan_ok=True), cell
    rows = [
        {"hours": hours, "school": school} for hours in ("9", 6.5, None, "1e9") for school in ("north", "east", None)
    ]
    for received, row in zip(playground.answers(rows), rows, strict=True):
        assert_same(received, ff.predict("grades", [row])[0])
    playground.page.get_by_label("hours").fill("9")
    sync.expect(playground.page.locator("#answer")).to_contain_text("10, 99.8 %")
    playground.page.evaluate("() => { encoder.dates = []; }")
    for cell in ("1,234", "2024-02-29", "2023-02-29", "2024-02-29T24:00"):
        playground.page.get_by_label("hours").fill(cell)
        with pytest.raises(InputError) as refused:
            ff.predict("grades", [{"hours": cell, "school": "north"}])
        message = "hours: " + str(refused.value).split("hours: ")[1]
        sync.expect(playground.page.locator("#wrong")).to_contain_text(message)
    assert playground.page.evaluate("() => { encoder.grouped = null; return number('1,234', 'hours'); }") == 1234
    playground.page.get_by_label("hours").fill("many")
    sync.expect(playground.page.locator("#wrong")).to_contain_text("hours: expected a number, got 'many'")
    playground.close()


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "elu", "gelu", "silu"])
def test_page_computes_every_activation(browser: "Browser", playground: OpenedFile, name: str) -> None:
    inputs = [*np.linspace(-9, 9, 41).tolist(), 0.0]
    outputs = playground.page.evaluate("([name, all]) => all.map(ACTIVATIONS[name])", [name, inputs])
    assert outputs == pytest.approx(ACTIVATIONS[name](np.array(inputs, np.float32)).tolist(), abs=1e-6)


def new_champion(task: str, network: Network, encoder: Encoder, labels: tuple[str, ...], **facts: Any) -> LoadedVersion:
    """Return a champion for another task, without a registry."""
    description = Description(
        "made", "Made", labels, "original", 0, 2, 90, "r", "f", "d", network.weights_digest(), task, **facts
    )
    return LoadedVersion(Version("made", 1, "r", "", {}), Servable(description, encoder, network, "x", 1))


def test_page_predicts_regression_and_multilabel_datasets(browser: "Browser", small: Params, tmp_path: Path) -> None:
    encoder = RowEncoder(Columns((("hours", 5.0, 2.0),), (("school", ("north", "south")),)))
    price = new_champion(
        "regression", networks.network([3, 4, 1], ["tanh", "linear"]), encoder, ("price",), target=(300.0, 40.0)
    )
    playground = OpenedFile(browser, tmp_path, "price", price)
    row = {"hours": "7.5", "school": "south"}
    [expected] = prediction.answers(price.served, [encoder.check(row, "")])
    assert playground.answers([row]) == [{"value": pytest.approx(expected["value"], rel=1e-6)}]
    playground.close()

    network = dataclasses.replace(networks.network([35, 6, 3], ["gelu", "sigmoid"], 1 / 255), temperature=1.5)
    scaled = ScaledEncoder(ImageGeometry(5, 7, None, (2.0, 3.0)))
    genres = new_champion("multilabel", network, scaled, ("drama", "war", "music"))
    playground = OpenedFile(browser, tmp_path, "genres", genres)
    images = [stroke(5, 7), stroke(40, 21), stroke(9, 60, seed=1)]
    predictions = playground.answers([image.tolist() for image in images])
    checked = [scaled.check(image.tolist(), "") for image in images]
    for received, answer in zip(predictions, prediction.answers(genres.served, checked), strict=True):
        assert received["labels"] == answer["labels"]
        assert_same(received, answer, 0.01)
    playground.close()


@pytest.mark.parametrize(
    "encoder",
    [
        ScaledEncoder(ImageGeometry(28, 28, None, (13.5, 13.5))),
        ImageEncoder(ImageGeometry(28, 28, 20, (14.0, 14.0), 3.0)),
    ],
    ids=["any images", "objects that are nearly centered"],
)
def test_page_keeps_the_pixels_of_images_that_look_like_training_images(
    browser: "Browser", small: Params, tmp_path: Path, encoder: ImageEncoder
) -> None:
    network = networks.network([28 * 28, 4, 3], ["relu", "softmax"], 1 / 255)
    playground = OpenedFile(browser, tmp_path, "forms", new_champion("multiclass", network, encoder, ("a", "b", "c")))
    images = [np.roll(image, (-2, 1), (0, 1)) for image in centered_strokes(3)]
    if isinstance(encoder, ScaledEncoder):
        images += [230 - images[0] // 2, images[0] // 16, np.full((28, 28), 9, np.uint8)]
    for image, answer in zip(
        images, playground.answers([image.tolist() for image in images], explain=True), strict=True
    ):
        assert answer["seen"]["levels"] == image.reshape(-1).tolist() == encoder.check(image, "").tolist()
    playground.close()


@pytest.mark.proves("Drawings in the playground have the background of the training images")
@pytest.mark.parametrize("on_dark", [True, False])
def test_a_drawing_has_the_background_of_the_training_images(
    browser: "Browser", small: Params, tmp_path: Path, on_dark: bool
) -> None:
    network = networks.network([28 * 28, 4, 3], ["relu", "softmax"], 1 / 255)
    encoder = ScaledEncoder(ImageGeometry(28, 28, None, (13.5, 13.5)), on_dark)
    playground = OpenedFile(browser, tmp_path, "forms", new_champion("multiclass", network, encoder, ("a", "b", "c")))
    playground.page.locator("#sheet").click(position={"x": 140, "y": 140})
    sync.expect(playground.page.locator("#view")).to_be_visible()
    [answer] = playground.answers([playground.page.evaluate("picture")], explain=True)
    levels = np.array(answer["seen"]["levels"]).reshape(28, 28)
    is_light = levels > 128  # the edge of the dot is gray
    assert (is_light[0, 0], is_light[14, 14], np.median(levels)) == (not on_dark, on_dark, 0 if on_dark else 255)
    playground.close()


def test_the_form_of_a_table_with_decimal_commas_suggests_numbers_that_it_accepts(
    browser: "Browser", small: Params, tmp_path: Path
) -> None:
    encoder = RowEncoder(Columns((("hours", 54.321, 2.0),), (("school", ("north", "south")),), decimal=","))
    network = networks.network([3, 4, 1], ["tanh", "linear"])
    price = new_champion("regression", network, encoder, ("price",), target=(300.0, 40.0))
    playground = OpenedFile(browser, tmp_path, "price", price)
    field = playground.page.get_by_label("hours")
    assert field.get_attribute("placeholder") == "e.g. 54,3"
    field.fill("54,3")
    [expected] = prediction.answers(price.served, [encoder.check({"hours": 54.3, "school": None}, "")])
    sync.expect(playground.page.locator("#answer")).to_contain_text(f"{expected['value']:.6g}")
    field.fill("54.3")
    problem = "hours: expected a number with a decimal comma, got '54.3'"
    sync.expect(playground.page.locator("#wrong")).to_contain_text(problem)
    with pytest.raises(InputError, match=problem):
        encoder.check({"hours": "54.3", "school": None}, "samples.0")
    playground.close()


def test_large_kernels_are_rounded_and_variants_above_the_size_limit_left_out(
    browser: "Browser", small: Params, small_store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_network, "MAX_EXACT_WEIGHTS", 100)
    registered.champion(small_store, small, 0.1, original=0.2, dropout=-0.3)
    playground = OpenedFile(browser, tmp_path, NAME)
    received = playground.answers(TEXTS[:2])
    for answer, text in zip(received, TEXTS, strict=False):
        assert_same(answer, ff.predict(NAME, [text])[0], 0.002)
    assert playground.page.evaluate("model.networks.champion.layers[0].kernel.bits") == 16
    playground.page.evaluate("Object.assign(network('champion'), { temperature: 2 })")
    calibrated = dataclasses.replace(playground.champion.served.network, temperature=2.0)
    served = dataclasses.replace(playground.champion.served, network=calibrated)
    assert_same(playground.answers(TEXTS[:1])[0], prediction.answers(served, [TEXTS[0]])[0], 0.002)
    smaller = playground_file.build(playground.champion, len(playground.built.text.encode()) - 10)
    assert (len(smaller.variants), len(smaller.left_out)) == (1, 1)
    assert f"left out because of their size: {next(iter(smaller.left_out))}" in smaller.text
    assert playground_file.build(playground.champion, 1).variants == ()
    playground.close()


def test_page_works_in_a_frame_on_a_phone(browser: "Browser", playground: OpenedFile, tmp_path: Path) -> None:
    outer = tmp_path / "course.html"
    source = playground.path.name
    outer.write_text(f'<!doctype html><iframe sandbox="allow-scripts" src="{source}" width=390 height=700>')
    phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto(playground.path.as_uri())
    page.locator("#text").tap()
    page.keyboard.type(f"{GLAD} nobody")
    sync.expect(page.locator("#answer")).to_contain_text("glad, 100 %")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ratio, where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, where
    assert not page.locator("#correction:visible, #stopped:visible").count()
    page.goto(outer.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("#text").fill("word1")
    sync.expect(frame.locator("#answer")).to_contain_text("sad")
    phone.close()


def test_labels_in_the_page_are_escaped(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small, 1.0)
    champion = prediction.champion(NAME)
    description = dataclasses.replace(champion.served.description, labels=("</script><b>", "<!--"))
    served = dataclasses.replace(champion.served, description=description)
    text = playground_file.build(dataclasses.replace(champion, served=served)).text
    assert "</script><b>" not in text
    assert text.count("</script>") == 2  # those of the page itself


def test_playground_command_writes_the_page(
    small_shell: Shell, small: Params, small_store: "Store", tmp_path: Path
) -> None:
    registered.champion(small_store, small, 1.0, original=2.0)
    target = tmp_path / "page.html"
    target.symlink_to("pages/latest.html")
    assert small_shell.run("playground", NAME, "--out", str(target), "--max-bytes", "1") == 2
    assert not target.exists()
    required = small_shell.stderr.split("--max-bytes: must be at least ")[1].split()[0]
    assert small_shell.run("playground", NAME, "--out", str(target), "--max-bytes", required, "--json") == 0
    printed = json.loads(small_shell.stdout)
    assert target.is_symlink()
    assert printed["bytes"] == target.stat().st_size <= int(required)
    assert (printed["variants"], list(printed["left_out"])) == ([], ["original"])
    assert small_shell.run("playground", NAME, "--out", str(target), "--json") == 0
    assert json.loads(small_shell.stdout)["variants"] == ["original"]
