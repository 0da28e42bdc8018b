"""Work in threads, for requests that would block the event loop: a limited number waits, the others are refused."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from feedforward.serving.problems import ErrorResponse

WAITING = 32  # requests per queue that wait for a thread, up to a second or two each
FULL = "the service is processing as many large requests as it can; try again in a moment"


class WorkQueue:
    """Runs the work of requests in a few threads. Requests wait on the event loop, so cancelled ones never start."""

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._free_threads = asyncio.Semaphore(threads)
        self._waiting = 0

    def close(self) -> None:
        """Drop work that has not started."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], bytes]) -> bytes:
        """Return the result of `work`, once a thread is free. Must be called on the event loop.

        Raises:
            ErrorResponse: too many requests are waiting.
        """
        if self._waiting >= WAITING:
            raise ErrorResponse(503, FULL, headers=((b"retry-after", b"1"),))
        self._waiting += 1
        try:
            await self._free_threads.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._run(work)
        finally:
            self._free_threads.release()

    async def _run(self, work: Callable[[], bytes]) -> bytes:
        """Run `work` now. If it is cancelled, wait for the thread, which still occupies its place and the body."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # otherwise, asyncio would log that nobody has looked at it
            raise
