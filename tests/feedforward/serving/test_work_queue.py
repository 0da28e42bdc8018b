"""Work in threads: a limited number of requests waits, and cancelled ones never start."""

import asyncio
import subprocess
import sys
import threading

import pytest
from waiting import PATIENCE

from feedforward.serving import work_queue
from feedforward.serving.problems import ErrorResponse
from feedforward.serving.work_queue import WorkQueue


@pytest.mark.proves("A flood of large requests is refused instead of delaying others for minutes")
def test_requests_beyond_the_limit_are_refused_and_cancelled_ones_make_room() -> None:
    release, started = threading.Event(), list[int]()

    def work(number: int) -> bytes:
        started.append(number)
        release.wait(PATIENCE)
        return b"%d" % number

    async def run() -> None:
        queue = WorkQueue(2, "test")
        tasks = [asyncio.create_task(queue.run(lambda k=k: work(k))) for k in range(2 + work_queue.WAITING)]
        while len(started) < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(ErrorResponse) as refused:
            await queue.run(lambda: work(-1))
        assert (refused.value.status, refused.value.headers) == (503, ((b"retry-after", b"1"),))
        for task in tasks[:1] + tasks[3:]:
            task.cancel()
        await asyncio.sleep(0.05)
        assert not tasks[0].done()  # its thread is still busy
        last = asyncio.create_task(queue.run(lambda: work(-2)))
        release.set()
        assert await asyncio.gather(tasks[1], tasks[2], last) == [b"1", b"2", b"-2"]
        assert (await asyncio.gather(tasks[0], return_exceptions=True))[0].__class__ is asyncio.CancelledError
        assert sorted(started) == [-2, 0, 1, 2]
        queue.close()

    asyncio.run(run())


def test_failures_reach_the_caller_and_free_the_thread() -> None:
    def fail() -> bytes:
        raise ValueError("no")

    async def run() -> None:
        queue = WorkQueue(1, "test")
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await queue.run(fail)
        assert await queue.run(lambda: b"yes") == b"yes"
        queue.close()

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.proves("The service ends on time even if a request keeps a thread busy for hours")
def test_a_process_ends_while_a_thread_still_works() -> None:
    program = """
import asyncio, threading
from feedforward.serving.work_queue import WorkQueue

async def main():
    queue, started = WorkQueue(1, "test"), threading.Event()

    def work():
        started.set()
        threading.Event().wait()

    tasks = [asyncio.create_task(queue.run(work)) for _ in range(2)]
    while not started.is_set():
        await asyncio.sleep(0.01)
    tasks[0].cancel()  # its client left
    await asyncio.sleep(0.01)
    queue.close()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
