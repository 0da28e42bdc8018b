"""The command line in the process of a test."""

import sys

import pytest

from feedforward import cli


class Shell:
    """Runs commands in this process; `printed` is what the last one wrote to the error stream."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch, self.printed = capsys, monkeypatch, ""

    def run(self, *arguments: str) -> int:
        self._monkeypatch.setattr(sys, "argv", ["feedforward", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        self.printed = self._capsys.readouterr().err
        assert "Traceback" not in self.printed
        return int(ended.value.code or 0)
