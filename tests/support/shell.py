"""Runs `feedforward` commands in the process of the test."""

import sys

import pytest

from feedforward.cli import app


class Shell:
    """Runs `feedforward` commands in this process. stdout, stderr: the output of the last command."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.stderr = self.stdout = ""

    def run(self, *arguments: str) -> int:
        self._capsys.readouterr()  # discards earlier output
        self._monkeypatch.setattr(sys, "argv", ["feedforward", *arguments])
        with pytest.raises(SystemExit) as exited:
            app.main()
        self.stdout, self.stderr = self._capsys.readouterr()
        assert "Traceback" not in self.stderr
        return int(exited.value.code or 0)
