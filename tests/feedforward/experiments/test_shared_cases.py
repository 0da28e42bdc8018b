"""Each case in ../shared/cases is refused in one line, or a model is trained on it and predicts its own samples."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workspaces

from feedforward.config.schema import Dataset, Params
from feedforward.core import paths
from feedforward.core.errors import InputError
from feedforward.data import config_inference, preparation
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import tokenizer
from feedforward.data.splits import Features, MultiHot, Split
from feedforward.experiments import plan, training_run
from feedforward.models import network_files
from feedforward.promotion import bundle, candidate
from feedforward.promotion.bundle import Description, Servable
from feedforward.serving import prediction, sample_files

CASES = Path(__file__).parents[4] / "shared" / "cases"
HEAD = "seeds: 2\nvariants: {original: {}}\n"
REFUSED = {
    "duplicate_names/houses.csv": "occurs twice",
    "idx_oddities/idx_empty": "begins with nothing",
    "idx_oddities/idx_float": "has elements of type float32",
    "idx_oddities/idx_html": "damaged or not gzip",
    "idx_oddities/idx_int32": "has elements of type int32",
    "idx_oddities/idx_truncated": "damaged or not gzip",
    "img_bad_file/img_corrupt": "is a damaged image",
    "img_bad_file/img_zero": "an empty file",
    "img_links/img_links": "is not an image",  # its links are now files that contain the targets' names
}
EMPTY = np.array([tokenizer.START], np.uint16).tobytes()  # a text without words, which `predict` refuses
SOURCES = [path for path in sorted(CASES.glob("*/*")) if path.name != "dates_iso"]
SOURCES += sorted(CASES.glob("*/dates_iso/*"))
NAMES = [path.relative_to(CASES).as_posix() for path in SOURCES]

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.skipif(not SOURCES, reason="no ../shared/cases")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return workspaces.create(tmp_path, monkeypatch, HEAD)


@pytest.mark.parametrize("name", [name for name in NAMES if name in REFUSED])
def test_the_case_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        config_inference.guess(CASES / name)
    assert str(caught.value).isprintable()


@pytest.mark.proves("The encoder stored with a model reads some 50 troublesome tables, texts and images as in training")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_a_model_is_trained_on_the_case_and_predicts_its_samples(name: str, workspace: Path, tensorflow: None) -> None:
    params = prepare(CASES / name, workspace)
    dataset = params.datasets["own"]
    served = train_and_bundle(params, workspace)
    samples = [served.encoder.check(sample, where) for where, sample in raw_samples(CASES / name, dataset) if sample]
    encoded = served.encoder.encode(samples)
    parts = [Split.load(paths.vectorized("own") / part).features for part in ("train", "test")]
    vectorized = Counter(row for part in parts for row in row_bytes(part) if row != EMPTY)
    if dataset.reader.kind == "idx":  # the samples are synthetic; the encoder scales them to the training images' size
        assert encoded.shape == (len(samples), parts[0].shape[1])
        return
    assert not vectorized - Counter(row_bytes(encoded)), "features of the encoder differ from those in training"
    index = next(k for k, row in enumerate(row_bytes(encoded)) if row == next(row_bytes(parts[0])))
    first_row = parts[0].rows(0, 1) if isinstance(parts[0], MultiHot) else parts[0][:1]
    [answer] = prediction.answers(served, [samples[index]])
    assert "warnings" not in answer
    assert answer == prediction.as_answers(served, served.predict(first_row))[0]


def prepare(source: Path, workspace: Path) -> Params:
    """Run init, reduce the network and the epochs, then fetch, vectorize and validate; return the params."""
    entry = config_inference.guess(source).entry
    entry["network"]["sizes"] |= {"base": [4]}
    entry["training"] |= {"epochs": 1, "final": {"variant": "original", "epochs": 1}}
    params = config_inference.write(entry, "own", workspace / "params.yaml")
    preparation.fetch("own", params.datasets["own"], params)
    preparation.vectorize("own", params.datasets["own"])
    preparation.validate("own", params.datasets["own"])
    return params


def train_and_bundle(params: Params, workspace: Path) -> Servable:
    """Train a replica with seed 0, write it with its encoder as a bundle, and read the bundle."""
    from feedforward.training import trainer

    dataset = params.datasets["own"]
    [pack] = [pack for pack in plan.plan(params, "fair", seeds=[0]) if pack.role == "replica"]
    [run] = training_run.train(pack, params, training_run.load(pack, dataset))
    network = trainer.as_arrays(run.model)
    target = manifest_file.load("own").get("target")
    description = Description(
        "own", dataset.title, dataset.labels, "original", 0, 1, 1, "", "", "", network.weights_digest(), dataset.task,
        (target["mean"], target["scale"]) if target else None,
    )  # fmt: skip
    encoder = candidate.encoder_of("own", dataset)
    digest = bundle.write(workspace / "served", network_files.to_files(network), description, encoder, "served")
    return bundle.read(workspace / "served", digest)


def raw_samples(source: Path, dataset: Dataset) -> Iterator[tuple[str, Any]]:
    """Yield the source's samples, with names, as `feedforward predict` reads them; for idx, synthetic images."""
    reader = dataset.reader
    if reader.kind == "table":
        return sample_files.from_rows(source)
    if reader.kind == "labeled_text" and reader.text:
        return sample_files.from_table(source, reader.text)
    if reader.kind == "idx":
        return (("pixels", (255 * np.eye(12)).tolist()) for _ in range(3))
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return sample_files.from_files([*map(str, files)])


def row_bytes(features: Features) -> Iterator[bytes]:
    """Yield each row as bytes."""
    if isinstance(features, MultiHot):
        return (features.rows(k, k + 1).indices.tobytes() for k in range(len(features)))
    return (np.asarray(row).tobytes() for row in features)
