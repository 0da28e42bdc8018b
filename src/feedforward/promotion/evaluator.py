"""Runs the actions of `evaluation_process` in a separate process, which a hostile or broken model may crash."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, FeedforwardError
from feedforward.promotion import evaluation_process

TIMEOUT = 6 * 3600.0  # s; holdout models of a large dataset train for hours, but a process that hangs must end
SHOWN = 300  # characters of the process's last message


class EvaluationFailed(FeedforwardError):
    """The evaluation could not be finished; this says nothing about the model."""


class Evaluator:
    """A context manager that runs actions in one process, which starts with the first action.

    All actions of a promotion share the process, because it needs seconds to import TensorFlow.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, action: str, title: str, name: str, number: int, target: Path) -> dict[str, Any]:
        """Run an action and return its metrics. title: for messages. number, target: see `evaluation_process`.

        Raises:
            DataError: the version was changed, cannot be loaded, or predicts wrongly.
            EvaluationFailed: the process ended without a result, or the registry did not answer.
        """
        process = self._process = self._process or self._start()
        assert process.stdout is not None
        _send(process, json.dumps([action, name, number, str(target)]))
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            has_answered = selector.select(TIMEOUT)
        if not has_answered:
            raise EvaluationFailed(
                f"{title}: its evaluation took longer than {TIMEOUT / 3600:.0f} h; if its holdout models train that"
                " long, reduce promotion.holdout_models; otherwise, run the command again"
            )
        process.stdout.readline()  # empty if the process has ended
        result: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            result = atomic_files.read_json(target / evaluation_process.RESULT)
        remedy = "run the command again"
        if not result:
            ending = f"ended with code {process.wait()} and no result ({self._last_message()})"
            raise EvaluationFailed(f"{title}: its evaluation {ending}; {remedy}")
        if result["failed"]:
            raise EvaluationFailed(f"{title}: its evaluation failed ({result['failed']}); {remedy}")
        if result["refused"]:
            raise DataError(result["refused"])
        return dict(result["metrics"])

    def _start(self) -> subprocess.Popen[bytes]:
        self._messages = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  the stack closes it
        process = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-I", "-m", evaluation_process.__name__],
                env=os.environ | {"FEEDFORWARD_ROOT": str(paths.root()), "FEEDFORWARD_STORE": str(paths.store())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                bufsize=0,
            )
        )
        self._stack.callback(process.kill)  # it has nothing to finish
        _send(process, self.params.model_dump_json())
        return process

    def _last_message(self) -> str:
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:SHOWN] if lines else "no message"


def _send(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # `run` reports that the process has ended
        process.stdin.write(line.encode() + b"\n")
