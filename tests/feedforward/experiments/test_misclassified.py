"""The report's pictures of test samples, made from a folder of photos."""

import io
from pathlib import Path

import numpy as np
import pytest
import workspaces
from PIL import Image

from feedforward import api
from feedforward.config.schema import load_params
from feedforward.data import config_inference, preparation
from feedforward.experiments import misclassified


@pytest.mark.proves("The report shows photos in their own gray levels and proportions")
def test_pictures_have_the_gray_levels_and_proportions_of_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("day", 200), ("night", 30)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(level - 9, level + 9, (20, 40)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    root = workspaces.create(tmp_path / "workspace", monkeypatch, "seeds: 1\nvariants: {original: {}}\ndatasets: {}\n")
    config_inference.write(config_inference.guess(tmp_path / "photos").entry, "photos", root / "params.yaml")
    params = load_params(root / "params.yaml")
    dataset = params.datasets["photos"]
    preparation.fetch("photos", dataset, params)
    preparation.vectorize("photos", dataset)
    [sample] = api.raw_samples(params, "photos", [0])
    entry = {"row": 0, "truth": 0, "answer": 1, "probability": 0.9, "columns": []}
    [shown] = misclassified.show("photos", dataset, [entry])
    assert shown.picture is not None
    picture = Image.open(io.BytesIO(shown.picture))
    assert picture.size == (84, 42)
    assert np.asarray(picture).mean() == pytest.approx(np.asarray(sample).mean(), abs=2)
