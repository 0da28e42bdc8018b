"""Predictions for raw samples and their explanations: in Python, with a real registry, and from the command line."""

import csv
import hashlib
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import networks
import numpy as np
import pytest
import registered
from pictures import encoded, stroke
from registered import NAME
from shell import Shell

from feedforward.cli import serving
from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, NothingToServe, ParamsError
from feedforward.data.readers import tokenizer
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.image_encoder import ImageEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import MultiHot
from feedforward.models import network_files
from feedforward.models.numpy_network import Network
from feedforward.promotion.bundle import Description, Servable
from feedforward.serving import prediction, sample_files
from feedforward.tracking import model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

GLAD = " ".join(f"word{k}" for k in range(1, 21))  # words that raise the probability of `glad`


def served(network: Network, labels: tuple[str, ...], encoder: TextEncoder | ImageEncoder) -> Servable:
    description = Description("notes", "Notes", labels, "original", 0, 2, 90, "r", "f", "d", network.weights_digest())
    return Servable(description, encoder, network, "0", 0)


TEXTS = TextEncoder(tokenizer.Vocabulary(("the", "a", "good", "bad", "film"), 12))


# --- printed output ---------------------------------------------------------------------------


def test_labels_and_words_are_printed_without_interpreting_markup(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"label": "[/b]", "probability": 0.9, "probabilities": {"[/b]": 0.9, "[red]no": 0.1}}
    words = {"towards": "[/b]", "effects": [{"word": "a\x1bb\nc", "effect": 0.5}]}
    for answers in ({"original": answer}, {"original": answer, "larger": answer}):
        serving._show({"sample": "row 1", "answers": answers, "words": words})
        output = capsys.readouterr().out
        assert "[/b] ([/b] 90.0 %, [red]no 10.0 %)" in " ".join(output.replace("│", " ").split())
        assert r"toward [/b]: a\x1bb c +0.50" in output


# --- explanations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "activations", "labels"),
    [
        ([12, 5, 1], ["relu", "sigmoid"], ("sad", "glad")),
        ([12, 5, 2], ["tanh", "softmax"], ("sad", "glad")),
        ([12, 7, 4], ["relu", "softmax"], ("a", "b", "c", "d")),
    ],
)
@pytest.mark.parametrize(
    "text", ["The good, good FILM", "bad", "a film nobody knows, a BAD film", "unknown", "one unknown film"]
)
def test_an_effect_is_the_decrease_of_the_log_odds_if_the_word_is_left_out(
    units: list[int], activations: list[str], labels: tuple[str, ...], text: str
) -> None:
    model = served(networks.network(units, activations), labels, TEXTS)
    towards, words = prediction.explain(model, text)
    words_of_text = TEXTS.split(text)
    assert [word.word for word in words] == list(dict.fromkeys(words_of_text))

    def log_odds(remaining: list[str]) -> float:
        probability = model.network.probabilities(TEXTS.encode([" ".join(remaining)]))[0][labels.index(towards)]
        return math.log(probability / (1 - probability))

    for word in words:
        expected = log_odds(words_of_text) - log_odds([other for other in words_of_text if other != word.word])
        assert word.effect == pytest.approx(expected, abs=1e-4)
        assert word.known == (word.word in TEXTS.vocabulary.words)


def test_words_without_effect_are_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text may have more distinct words than the vocabulary; a forward pass for each would take seconds."""
    model = served(networks.network([12, 5, 1], ["relu", "sigmoid"]), ("sad", "glad"), TEXTS)
    rows_computed: list[int] = []
    original = Network.logits_from_sums
    monkeypatch.setattr(
        Network, "logits_from_sums", lambda self, sums: (rows_computed.append(len(sums)), original(self, sums))[1]
    )
    _, words = prediction.explain(model, "good film " + " ".join(f"unknown{k}" for k in range(5000)))
    assert sum(rows_computed) == 1 + 2  # the whole text, and the text without each of the two known words
    assert [word.effect for word in words[2:]] == [0.0] * 5000
    assert all(word.effect for word in words[:2])


def test_word_pairs_follow_the_words_in_the_list_and_are_left_out_with_each_of_their_words() -> None:
    encoder = TextEncoder(tokenizer.Vocabulary(("not", "good", "film", "not good", "good film", "bad film"), 14))
    model = served(networks.network([14, 5, 1], ["relu", "sigmoid"]), ("sad", "glad"), encoder)
    towards, words = prediction.explain(model, "Not good, odd film; not strange. Good film")
    assert towards == "glad"
    assert [word.word for word in words] == ["not", "good", "odd", "film", "strange", "not good", "good film"]
    assert [word.word for word in words if not word.known] == ["odd", "strange"]

    def log_odds(columns: list[int]) -> float:
        features = MultiHot(np.array([0, len(columns)]), np.array(columns, np.uint16), 14)
        [(sad, glad)] = model.network.probabilities(features)
        return math.log(glad / sad)

    all_columns = [1, 2, 4, 5, 6, 7, 8]  # start of a text, unknown words, and the vocabulary from column 4
    remaining = {
        "not": [1, 2, 5, 6, 8],
        "good": [1, 2, 4, 6],
        "odd": all_columns,
        "film": [1, 2, 4, 5, 7],
        "strange": all_columns,
    }
    for word, kept in (remaining | {"not good": [1, 2, 4, 5, 6, 8], "good film": [1, 2, 4, 5, 6, 7]}).items():
        [effect] = [entry.effect for entry in words if entry.word == word]
        assert effect == pytest.approx(log_odds(all_columns) - log_odds(kept), abs=1e-4)


def test_pictures_have_no_word_effects() -> None:
    model = served(
        networks.network([16, 3], ["softmax"]), ("a", "b", "c"), ImageEncoder(ImageGeometry(4, 4, None, (1.5, 1.5)))
    )
    assert prediction.explain(model, "x") == ("", [])
    pixels = model.encoder.check(encoded(stroke(8, 8)), "f")
    [answer] = prediction.answers(model, [pixels])
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["probability"] == max(answer["probabilities"].values())


def test_batched_and_single_predictions_are_the_same() -> None:
    model = served(networks.network([12, 5, 1], ["relu", "sigmoid"]), ("sad", "glad"), TEXTS)
    texts = [("t", f"{'good ' * (k % 3)}{'bad ' * (k % 2)}film {k}") for k in range(sample_files.CHUNK + 5)]
    chunks = list(sample_files.in_chunks(model, iter(texts)))
    assert [len(names) for names, _ in chunks] == [sample_files.CHUNK, 5]
    many = [answer for _, samples in chunks for answer in prediction.answers(model, samples)]
    for k in (0, 1, 2, sample_files.CHUNK, sample_files.CHUNK + 4):
        [single] = prediction.answers(model, [texts[k][1]])
        assert single["probability"] == pytest.approx(many[k]["probability"], abs=1e-6)


# --- the champion ----------------------------------------------------------------------------


@pytest.mark.slow
def test_error_without_a_champion_names_the_remedy(small: Params, small_store: "Store") -> None:
    with pytest.raises(NothingToServe, match=r"run `feedforward promote notes`") as caught:
        prediction.champion(NAME)
    assert caught.value.exit_code == 3


@pytest.mark.slow
def test_champion_and_variants_give_predictions(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small, 1.0, original=2.0, dropout=-1.0)
    result = prediction.champion(NAME)
    assert set(result.select("all")) == {"champion", "original", "dropout"}
    probabilities = {
        name: prediction.answers(model, [GLAD])[0]["probabilities"]["glad"]
        for name, model in result.select("all").items()
    }
    assert probabilities["dropout"] < 0.5 < probabilities["champion"] < probabilities["original"]
    assert list(result.select("dropout")) == ["dropout"]
    with pytest.raises(ParamsError, match="must be one of all, dropout, original"):
        result.select("larger")


@pytest.mark.slow
@pytest.mark.proves("A variant named `champion` or `all` never answers in place of the champion or of all variants")
@pytest.mark.parametrize("name", ["champion", "all"])
def test_a_variant_with_a_reserved_name_is_refused(
    small: Params, small_store: "Store", small_shell: Shell, name: str
) -> None:
    registered.champion(small_store, small, 3.0, **{"original": 1.0, name: 2.0})
    assert small_shell.run("predict", NAME, "word1", "--json") == 0
    assert json.loads(small_shell.stdout)["answers"].keys() == {"champion"}
    for command in (["predict", NAME, "word1", "--variant", "all"], ["playground", NAME, "--out", "page.html"]):
        assert small_shell.run(*command) == 1
        assert f"notes version 1: its variant {name} has a reserved name; rename it" in small_shell.stderr


@pytest.mark.slow
def test_a_tampered_champion_or_variant_gives_no_prediction(small: Params, small_store: "Store") -> None:
    version = registered.champion(small_store, small, 1.0, original=2.0)
    path = model_versions.folder(version, "variants/original") / network_files.WEIGHTS
    path.write_bytes(registered.weights(3.0))
    with pytest.raises(DataError, match="has changed since it was registered"):
        prediction.champion(NAME).select("all")
    (model_versions.folder(version, "served") / network_files.WEIGHTS).write_bytes(registered.weights(3.0))
    with pytest.raises(DataError, match="has changed since it was registered"):
        prediction.champion(NAME)


# --- the command -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("forged", ["?", "[]", "[" * 2000, '{"original": 1}', '{"../served": "%s"}' % ("0" * 64)])
def test_a_forged_list_of_variants_is_rejected_but_the_champion_still_predicts(
    small: Params, small_store: "Store", small_shell: Shell, forged: str
) -> None:
    version = registered.champion(small_store, small, original=2.0)
    Registry().tag(version, {"variants": forged})
    assert small_shell.run("predict", NAME, GLAD, "--variant", "all") == 1
    assert "notes version 1: its tag `variants` is damaged; delete this version in MLflow" in small_shell.stderr
    assert small_shell.run("predict", NAME, GLAD) == 0


@pytest.mark.slow
def test_a_variant_with_mismatched_labels_is_rejected(small: Params, small_store: "Store", small_shell: Shell) -> None:
    """The variant's labels are swapped, and the digests in its manifest and in the version's tag are updated."""
    version = registered.champion(small_store, small, original=2.0)
    folder = model_versions.folder(version, "variants/original")
    described = atomic_files.read_json(folder / "description.json")
    atomic_files.write_json(folder / "description.json", described | {"labels": ["glad", "sad"]})
    entries = atomic_files.read_json(folder / "manifest.json")
    content = (folder / "description.json").read_bytes()
    entries["description.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    atomic_files.write_json(folder / "manifest.json", entries)
    digest = atomic_files.file_digest(folder / "manifest.json")
    Registry().tag(version, {"variants": json.dumps({"original": digest})})
    assert small_shell.run("predict", NAME, GLAD, "--variant", "all") == 1
    assert "variant original encodes samples differently from the champion, or has other labels" in small_shell.stderr


@pytest.mark.slow
def test_predict_command_prints_answers_variants_and_json(
    small: Params, small_store: "Store", small_shell: Shell, tmp_path: Path
) -> None:
    assert small_shell.run("predict", NAME, "word1") == 3
    assert "feedforward promote notes" in small_shell.stderr
    registered.champion(small_store, small, 1.0, original=2.0)
    assert small_shell.run("predict", NAME, GLAD) == 0
    output = small_shell.stdout
    assert "glad" in output
    assert "word1 +" in output
    assert small_shell.run("predict", NAME, GLAD, "word1", "--variant", "all", "--json") == 0
    first, second = map(json.loads, small_shell.stdout.splitlines())
    assert set(first["answers"]) == {"champion", "original"}
    assert first["answers"]["champion"]["label"] == "glad"
    assert second["answers"]["champion"]["label"] == "sad"
    assert second["words"]["effects"][0]["word"] == "word1"

    path = tmp_path / "many.txt"
    path.write_text(f"{GLAD}\nword1\n")
    assert small_shell.run("predict", NAME, "--file", str(path)) == 0
    rows = list(csv.DictReader(io.StringIO(small_shell.stdout)))
    assert [row["label"] for row in rows] == ["glad", "sad"]
    assert float(rows[0]["glad"]) == pytest.approx(first["answers"]["champion"]["probability"], abs=1e-5)
    assert "unknown" not in small_shell.stderr

    path.write_text(f"{GLAD}\nxyz\nxyz\n")
    assert small_shell.run("predict", NAME, "--file", str(path), "--variant", "all") == 0
    assert len(small_shell.stdout.splitlines()) == 1 + 3 * 2
    assert "2 of 3 samples have warnings; the first is" in small_shell.stderr
    assert "many.txt line 2: no word of this text is in the vocabulary; --json lists the warnings" in small_shell.stderr
    assert small_shell.run("predict", NAME, "--file", str(path), "--json") == 0
    assert [len(json.loads(line).get("warnings", ())) for line in small_shell.stdout.splitlines()] == [0, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nots", "a"], "must be one of tones, notes; did you mean notes?"),
        (["predict", NAME], "give either samples or --file"),
        (["predict", NAME, "a", "--file", "b"], "give either samples or --file"),
        (["predict", NAME, ""], "sample 1: must contain at least one word"),
        (["predict", NAME, "good", "..."], "sample 2: must contain at least one word"),
        (["predict", NAME, "good", "--variant", "none"], "unknown variant 'none'"),
        (["predict", NAME, "--file", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["predict", NAME, "--file", os.devnull], "/dev/null: contains no samples"),
        (["promote", "nots"], "unknown dataset 'nots'"),
    ],
)
def test_an_invalid_argument_gives_one_line_and_exit_code_2(
    small: Params, small_store: "Store", small_shell: Shell, arguments: list[str], message: str
) -> None:
    registered.champion(small_store, small)
    assert small_shell.run(*arguments) == 2
    output = small_shell.stderr
    assert message in output
    assert output.count("\n") == 1


@pytest.mark.slow
def test_an_invalid_image_gives_one_line_and_a_megabyte_of_text_is_predicted(
    small: Params, small_store: "Store", small_shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registered.champion(small_store, small)
    registered.pictures_champion(small_store)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "half.png").write_bytes(encoded(stroke(40, 40))[:60])
    (tmp_path / "blank.png").write_bytes(encoded(0 * stroke(40, 40)))
    (tmp_path / "large.txt").write_text("word1 " * 170_000)
    for name in ("text.png", "half.png", "blank.png", "nowhere.png", "."):
        assert small_shell.run("predict", "tones", name) == 2
        output = small_shell.stderr
        assert output.startswith(f"{name}: ")
        assert output.count("\n") == 1
    assert small_shell.run("predict", NAME, "--file", "large.txt") == 0
    assert "large.txt line 1,champion,sad" in small_shell.stdout


@pytest.mark.slow
def test_predict_imports_no_heavy_library(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    script = (
        "import sys; from feedforward.cli import app as cli\n"
        "sys.argv = ['feedforward', 'predict', 'notes', 'word1 word2']\n"
        "cli.app(standalone_mode=False)\n"
        "print('HEAVY', *sorted({'tensorflow', 'keras', 'mlflow', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY"


def test_values_predicted_for_a_file_are_written_with_all_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = networks.network([1, 4, 1], ["tanh", "linear"])
    description = Description(
        *("made", "Made", ("price",), "original", 0, 2, 90, "r", "f", "d", network.weights_digest(), "regression"),
        target=(5_043_175.98, 40.0),
    )
    model = Servable(description, RowEncoder(Columns((("hours", 5.0, 2.0),), ())), network, "x", 1)
    champion = prediction.LoadedVersion(Version("made", 1, "r", "", {}), model)
    path = tmp_path / "rows.csv"
    path.write_text("hours,place\n7.5,a\n1,b\n")
    expected = [answer["value"] for answer in prediction.answers(model, [{"hours": 7.5}, {"hours": 1.0}])]
    serving._predict_file(champion, {"champion": model}, path, as_json=False)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["price"]) for row in rows] == expected


def test_each_probability_is_assigned_to_its_label() -> None:
    model = served(networks.network([12, 3], ["softmax"]), ("x", "y", "z"), TEXTS)
    [result] = prediction.as_answers(model, np.array([[0.2, 0.5, 0.3]]))
    assert result == {"label": "y", "probability": 0.5, "probabilities": {"x": 0.2, "y": 0.5, "z": 0.3}}
