"""Relative paths in environment variables are resolved once, so they do not depend on the folder of a process."""

import os
from pathlib import Path

import pytest

from feedforward.core import path_variables


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FEEDFORWARD_ROOT", "work", "{folder}/work"),
        ("FEEDFORWARD_STORE", "../store", "{folder}/../store"),
        ("FEEDFORWARD_STORE", "/store", "/store"),
        ("FEEDFORWARD_MIRROR", "copies", "{folder}/copies"),
        ("FEEDFORWARD_MIRROR", "https://mirror.example/copies", "https://mirror.example/copies"),
        ("FEEDFORWARD_MIRROR", "zip://*.csv::copies.zip", "zip://*.csv::copies.zip"),
        ("FEEDFORWARD_SIGNER", "~/signer.pem", "{folder}/home/signer.pem"),
        ("FEEDFORWARD_STORE", "~", "{folder}/home"),
        ("MLFLOW_TRACKING_URI", "sqlite:///~/mlflow.db", "sqlite:///{folder}/home/mlflow.db"),
        ("PREFECT_HOME", "prefect", "{folder}/prefect"),
        ("DVC_SITE_CACHE_DIR", "", ""),
        ("MLFLOW_TRACKING_URI", "sqlite:///mlruns/mlflow.db", "sqlite:///{folder}/mlruns/mlflow.db"),
        ("MLFLOW_TRACKING_URI", "sqlite:////mlruns/mlflow.db", "sqlite:////mlruns/mlflow.db"),
        ("MLFLOW_TRACKING_URI", "sqlite:///:memory:", "sqlite:///:memory:"),
        ("MLFLOW_TRACKING_URI", "http://server.example:5000", "http://server.example:5000"),
        ("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:///p.db", "sqlite+aiosqlite:///{folder}/p.db"),
    ],
)
def test_a_relative_path_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(name, value)
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, tmp_path / "elsewhere"):  # a second call, as in a child process, changes nothing
        monkeypatch.chdir(folder)
        path_variables.resolve()
        assert os.environ[name] == expected.format(folder=tmp_path)
