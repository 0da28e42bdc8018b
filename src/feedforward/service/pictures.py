"""Small pictures, checked in processes beside this one: reading them takes longer than all the rest of an answer.

A picture that makes the library that reads it fall over takes a process of these with it, and not the service.
"""

import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Any

from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from feedforward import processes
from feedforward.errors import InputError
from feedforward.readers import encoding
from feedforward.readers.encoding import Encoder

log = logging.getLogger(__name__)


class Readers:
    """As many processes as there are further cores, at least one; they end with the service, however it ends."""

    def __init__(self) -> None:
        self._count = max(1, processes.cores() - 1)
        self._limiter = CapacityLimiter(self._count)
        self._started: bool | None = None  # False: they cannot be

    async def start(self) -> None:
        """Start them, which takes a second: a request should not wait for that."""
        try:
            await asyncio.gather(*(to_process.run_sync(_be_there, limiter=self._limiter) for _ in range(self._count)))
            self._started = True
        except (BrokenWorkerProcess, OSError) as error:
            self._started = False
            log.warning("no process beside this one can be started (%s): this one reads pictures itself", error)

    async def checked(self, encoder: Encoder, samples: Sequence[Any]) -> list[Any]:
        """What encoding.checked returns.

        Raises:
            InputError: a sample cannot be taken.
        """
        if self._started is None:
            await self.start()
        if not self._started:
            return await asyncio.to_thread(encoding.checked, encoder, samples)
        for _ in range(2):
            try:
                return await to_process.run_sync(_checked, encoder, samples, limiter=self._limiter)
            except BrokenWorkerProcess:
                log.warning("a process that reads pictures ended by itself; another takes its place")
        raise InputError("samples", "cannot be read: the process that reads pictures ended twice")


def _be_there() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of them; the service ends when it has answered


def _checked(encoder: Encoder, samples: Sequence[Any]) -> list[Any]:
    _be_there()
    return encoding.checked(encoder, samples)
