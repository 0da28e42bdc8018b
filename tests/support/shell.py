"""The command line in the process of a test."""

import sys

import pytest

from feedforward.cli import app


class Shell:
    """Runs commands in this process; the last one wrote `printed` to the error stream, `answered` to the other."""

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
