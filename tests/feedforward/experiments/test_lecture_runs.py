"""The runs shown on the lecture page: trained on small data and read from a real store."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from shell import Shell
from small_data import params, params_with
from trained_grid import train_grid

from feedforward.core import provenance
from feedforward.core.errors import DataError
from feedforward.experiments import lecture_runs
from feedforward.reports import lecture_page

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("tensorflow")
def test_lecture_page_contains_variants_and_sweep_points(
    small_store: "Store", small_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"notes: .*original.*; run `feedforward train notes`$"):
        lecture_runs.collect(params(), "notes", small_store)
    train_grid(small_store, [{"l2": 0.01, "dropout_rate": 0.5}, {"l2": 0.02, "dropout_rate": 0.0}], seeds=2)
    story = lecture_runs.collect(params(), "notes", small_store)
    assert set(story.points.values()) == {
        ("base", "0", "0"),
        ("base", "0.01", "0"),
        ("base", "0.01", "0.5"),
        ("base", "0.02", "0"),
    }
    assert {story.variants.get(text) for text in story.points} == {"original", "l2", None}
    assert len(story.runs) == 4 * 2
    assert story.findings.variants == ["original", "l2"]
    assert story.others == 0  # runs with other libraries or on another kind of CPU
    page = lecture_page.render([story], "feedforward lecture notes")
    assert page == lecture_page.render([story], "feedforward lecture notes")
    assert "feedforward sweep notes --confirm 0 size=base l2=0,0.01,0.02 dropout_rate=0,0.5" in page
    [data] = json.loads(page.split('id="chart-data">')[1].split("</script>")[0])["stories"]
    assert data["base"] == [0, 0, 0]
    assert {tuple(setting["at"]) for setting in data["settings"]} == {(0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 2, 0)}

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "device", lambda: "another kind of CPU")
        assert lecture_runs.collect(params(), "notes", small_store) == dataclasses.replace(story, others=4 * 2)

    without_final = params_with("datasets/notes/training/variants", ["l2"])
    compared = lecture_runs.collect(without_final, "notes", small_store)
    assert compared.variants[compared.base] == "l2"
    assert compared.findings.variants == ["l2"]
    assert lecture_page.render([compared], "feedforward lecture notes")

    out = tmp_path / "lecture.html"
    out.symlink_to("pages/latest.html")
    assert small_shell.run("lecture", "--out", str(out)) == 0, small_shell.stderr
    assert small_shell.stdout.strip() == str(out)
    assert "left out: tones" in small_shell.stderr
    assert out.is_symlink()
    assert out.read_text() == lecture_page.render([story], "feedforward lecture")
    assert small_shell.run("lecture", "tones") == 1
    assert "run `feedforward train tones`" in small_shell.stderr
