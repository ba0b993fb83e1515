"""The queue of keys that need work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from ingress_controller.report.work import WorkQueue


@asynccontextmanager
async def running(queue: WorkQueue[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_few_at_a_time_and_each_key_once() -> None:
    active, most, done = 0, 0, Counter[str]()
    finished = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1
        done[key] += 1
        if len(done) == 100:
            finished.set()

    queue = WorkQueue(work, concurrency=3)
    for n in range(1000):
        queue.mark(f"key-{n % 100}")
    async with running(queue):
        await asyncio.wait_for(finished.wait(), 10)
    assert most == 3
    assert set(done.values()) == {1}


async def test_a_key_marked_at_work_is_worked_on_once_more_and_not_at_once() -> None:
    started, proceed, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
    active, calls = 0, 0

    async def work(_: str) -> None:
        nonlocal active, calls
        active, calls = active + 1, calls + 1
        assert active == 1
        started.set()
        await proceed.wait()
        active -= 1
        if calls == 2:
            finished.set()

    queue = WorkQueue(work, concurrency=2)
    async with running(queue):
        queue.mark("a")
        await asyncio.wait_for(started.wait(), 10)
        queue.mark("a")
        queue.mark("a")
        proceed.set()
        await asyncio.wait_for(finished.wait(), 10)
    assert calls == 2


async def test_a_mistake_ends_no_worker() -> None:
    finished = asyncio.Event()

    async def work(key: str) -> None:
        if key == "bad":
            raise KeyError(key)
        finished.set()

    queue = WorkQueue(work, concurrency=1)
    with capture_logs() as logs:
        async with running(queue):
            queue.mark("bad")
            queue.mark("good")
            await asyncio.wait_for(finished.wait(), 10)
    assert [(line["event"], line["key"]) for line in logs] == [("report failed", "bad")]
