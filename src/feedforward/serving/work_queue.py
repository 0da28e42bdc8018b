"""Work in threads, for requests that would block the event loop: a limited number waits, the others are refused."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from feedforward.serving.problems import RETRY, ErrorResponse

WAITING = 32  # requests per queue that may wait for a thread; each may keep a thread busy for a second or two
FULL = "the service is processing as many such requests as it can; try again in a moment"

Result = TypeVar("Result")


class WorkQueue:
    """Runs the work of requests in a few threads. Requests wait on the event loop, so cancelled ones never start.

    The threads are daemons, because Python waits for all other threads before it exits.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._name = name
        self._free_threads = asyncio.Semaphore(threads)
        self._waiting = 0
        self._running: set[asyncio.Future[Any]] = set()

    def close(self) -> None:
        """Cancel the requests whose work is in progress, although it goes on. Must be called on the event loop."""
        for future in self._running:
            future.cancel()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, once a thread is free. Must be called on the event loop.

        Raises:
            ErrorResponse: too many requests are waiting.
        """
        if self._waiting >= WAITING:
            raise ErrorResponse(503, FULL, headers=RETRY)
        self._waiting += 1
        try:
            await self._free_threads.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._run(work)
        finally:
            self._free_threads.release()

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Run `work` in a new thread. If the request is cancelled, wait for the thread, which still uses resources."""
        future = self._start(work)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # otherwise, asyncio would log that the exception was never retrieved
            raise

    def _start(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        job: Future[Result] = Future()
        job.set_running_or_notify_cancel()  # from now on, only its result ends it

        def run() -> None:
            try:
                job.set_result(work())
            except BaseException as error:
                job.set_exception(error)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return asyncio.wrap_future(job)
