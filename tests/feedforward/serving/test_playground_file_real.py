"""The playground files of the real champions, in a browser, answer 1,000 test samples like `feedforward predict`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from chromium import EXECUTABLE, TIMEOUT_MS

import feedforward as ff
from feedforward.config.schema import load_params
from feedforward.core.errors import NothingToServe
from feedforward.serving import playground_file, prediction

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[3]
SAMPLES = 1000
ASK = "async (samples) => (await call('predict', { samples, variants: true })).predictions"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(EXECUTABLE is None, reason="chromium is not installed"),
    pytest.mark.skipif(not (ROOT / "data" / "trained" / "fair.json").exists(), reason="`make run` comes first"),
]


@pytest.mark.parametrize(("dataset", "max_bytes"), [("imdb", 2_000_000), ("mnist", 5_000_000)])
def test_page_answers_like_predict(browser: "Browser", tmp_path: Path, dataset: str, max_bytes: int) -> None:
    os.environ["FEEDFORWARD_ROOT"] = str(ROOT)
    try:
        champion = prediction.champion(dataset)
    except NothingToServe:
        pytest.skip(f"`feedforward promote {dataset}` comes first")
    playground = playground_file.build(champion)
    assert len(playground.text.encode()) <= max_bytes
    assert {"original", "smaller", "l2", "dropout"} <= set(playground.variants)
    raw = ff.raw_samples(load_params(), dataset, range(SAMPLES))
    samples = [sample if isinstance(sample, str) else np.asarray(sample).tolist() for sample in raw]
    (tmp_path / "page.html").write_text(playground.text, encoding="utf-8")
    page = browser.new_page()
    page.set_default_timeout(20 * TIMEOUT_MS)
    page.goto((tmp_path / "page.html").as_uri())
    predictions = [
        answer for start in range(0, SAMPLES, 100) for answer in page.evaluate(ASK, samples[start : start + 100])
    ]
    page.close()
    for name, served in champion.select("all").items():
        if name not in (*playground.variants, "champion"):  # left out of the file because of its size
            continue
        checked = [served.encoder.check(sample, dataset) for sample in samples]
        received = [answer if name == "champion" else answer["variants"][name] for answer in predictions]
        expected = prediction.answers(served, checked)
        assert [answer["label"] for answer in received] == [answer["label"] for answer in expected], name
        left, right = ([[*answer["probabilities"].values()] for answer in answers] for answers in (received, expected))
        difference = float(np.abs(np.subtract(left, right)).max())
        print(f"{dataset} {name}: largest difference between probabilities {difference:.5f}")
        assert difference <= playground_file.TOLERANCE, name
