"""Writes to the API server, few at a time, for any number of objects.

In: keys of what needs work. Out: calls of one function with each key, never two at a time for one key. Marking a key
again before its turn adds nothing, so a queue is never longer than there are objects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from ingress_controller.kubernetes_api import RETRY_WAIT, ApiError, KubernetesApi, is_transient

log = structlog.get_logger(__name__)

CONCURRENCY = 4
"""How many writes are under way at most. It bounds the rate too: each waits for the server's answer."""

_GIVE_UP_SECONDS = 600

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Keys, each waiting at most once."""

    def __init__(self, work: Callable[[Key], Awaitable[None]], concurrency: int = CONCURRENCY) -> None:
        """Choose what to do.

        Args:
            work: does what a key needs, in the state it then finds.
            concurrency: how many keys are worked on at a time.
        """
        self._work = work
        self._concurrency = concurrency
        self._queue = asyncio.Queue[Key]()
        self._waiting = set[Key]()
        self._active = set[Key]()

    def mark(self, key: Key) -> None:
        """Have a key worked on, once more if that is happening now."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._active:
            self._queue.put_nowait(key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while True:
            key = await self._queue.get()
            self._waiting.discard(key)
            self._active.add(key)
            try:
                await self._work(key)
            except Exception:
                # A mistake in reporting must not end what is reported on.
                log.exception("report failed", key=str(key))
            finally:
                self._active.discard(key)
                if key in self._waiting:
                    self._queue.put_nowait(key)


def _is_hopeless(state: RetryCallState) -> bool:
    """Whether the server has been refusing one request for too long. While it is away, everything waits."""
    error = state.outcome.exception() if state.outcome else None
    return isinstance(error, ApiError) and (state.seconds_since_start or 0) > _GIVE_UP_SECONDS


async def write(api: KubernetesApi, method: str, path: str, body: object) -> None:
    """Send a request, again and again while there is hope: an outage is waited out.

    Raises:
        ApiError: the server refused for good, or for ten minutes.
    """
    retrying = AsyncRetrying(retry=retry_if_exception(is_transient), wait=RETRY_WAIT, stop=_is_hopeless, reraise=True)
    await retrying(api.request, method, path, None, body)
