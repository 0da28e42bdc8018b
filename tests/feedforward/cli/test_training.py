"""The demo replaces the real data only if no source of the shipped datasets can be reached."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import workspaces
from small_data import values, write_params

from feedforward.cli import training
from feedforward.config.schema import load_params

CHECKOUT = Path(__file__).resolve().parents[3]


def _enter_workspace(root: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]) -> None:
    (root / "demo").mkdir()
    shutil.copy(CHECKOUT / "demo" / "params.yaml", root / "demo")
    write_params(root / "params.yaml", params)
    workspaces.enter(root, monkeypatch)


def _unreachable_datasets(url: str = "http://127.0.0.1:9/file", **datasets: str) -> dict[str, Any]:
    """Return params with copies of shipped or small datasets whose files are unreachable. datasets: new → old name."""
    params, shipped = values(), load_params(CHECKOUT / "params.yaml").model_dump(mode="json", exclude_unset=True)
    choices = params["datasets"] | shipped["datasets"]
    params["datasets"] = {new: choices[old] for new, old in datasets.items()}
    for dataset in params["datasets"].values():
        for file in dataset["files"].values():
            file["urls"] = [url]
    return params


@pytest.mark.proves("The demo replaces neither a user's dataset nor real data that can be reached")
@pytest.mark.parametrize(
    ("datasets", "is_replaced"),
    [
        ({"mnist": "mnist", "imdb": "imdb"}, True),
        ({"mnist": "mnist", "houses": "imdb"}, False),
        ({"mnist": "mnist", "url": "moved/mnist.csv"}, False),
        ({"mnist": "tones", "imdb": "imdb"}, False),
    ],
    ids=["shipped", "own name", "own file", "own data with a shipped name"],
)
def test_demo_replaces_only_the_shipped_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, datasets: dict[str, str], is_replaced: bool
) -> None:
    _enter_workspace(tmp_path, monkeypatch, _unreachable_datasets(**datasets))
    assert training._nothing_is_reachable(load_params()) is is_replaced


@pytest.mark.proves("The demo replaces neither a user's dataset nor real data that can be reached")
def test_one_reachable_file_suffices_for_the_real_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = _unreachable_datasets(mnist="mnist", imdb="imdb")
    _enter_workspace(tmp_path, monkeypatch, params)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / next(iter(params["datasets"]["imdb"]["files"]))).write_bytes(b"content")
    monkeypatch.setenv("FEEDFORWARD_MIRROR", str(tmp_path / "mirror"))
    assert training._nothing_is_reachable(load_params()) is False
