"""The command line, run in the process of the test."""

import sys

import pytest

from feedforward.cli import app


class Shell:
    """Runs commands in this process. printed: standard error of the last command; answered: its standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.printed = self.answered = ""

    def run(self, *arguments: str) -> int:
        self._capsys.readouterr()  # what was written before
        self._monkeypatch.setattr(sys, "argv", ["feedforward", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        self.answered, self.printed = self._capsys.readouterr()
        assert "Traceback" not in self.printed
        return int(ended.value.code or 0)
