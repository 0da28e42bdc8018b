"""The function that the console script `feedforward` calls."""

import sys
import types

import pytest

from feedforward.cli import __main__ as entry_point
from pipelines import interruption


class InterruptedImport(types.ModuleType):
    """A module in which every access raises KeyboardInterrupt, as Ctrl-C does while it is being imported."""

    def __getattr__(self, name: str) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_during_imports_gives_the_usual_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("feedforward.cli.app")
    monkeypatch.setitem(sys.modules, "feedforward.cli.app", InterruptedImport("feedforward.cli.app"))
    with pytest.raises(SystemExit) as ended:
        entry_point.main()
    assert ended.value.code == entry_point.INTERRUPTED == interruption.EXIT_CODE
