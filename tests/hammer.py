"""Requests without a pause while something changes.

In: functions that ask once. Out: every answer's status, in order.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Status = int | str
Ask = Callable[[], Awaitable[Status]]


class Hammer:
    """What was answered so far.

    Attributes:
        statuses: in order.
    """

    def __init__(self) -> None:
        self.statuses: list[Status] = []
        self._news = asyncio.Event()
        self._stopped = False

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.statuses) + count
        async with asyncio.timeout(30):
            while len(self.statuses) < wanted:
                self._news.clear()
                await self._news.wait()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True

    async def run(self, ask: Ask) -> None:
        while not self._stopped:
            self.statuses.append(await ask())
            self._news.set()


@asynccontextmanager
async def hammering(*asks: Ask) -> AsyncIterator[Hammer]:
    """Ask during the block, with each function again and again; begins with an answer of each kind at hand."""
    hammer = Hammer()
    async with asyncio.TaskGroup() as group:
        for ask in asks:
            group.create_task(hammer.run(ask))
        try:
            await hammer.more(2 * len(asks))
            yield hammer
        finally:
            hammer.stop()
