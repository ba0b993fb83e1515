"""What a source emitted, to wait on and to look at.

In: batches. Out: the objects that are there after them, and the moment at which a condition on them is true.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch
from ingress_controller.objects.views import KubernetesObject
from ingress_controller.sources.cluster import Cluster

DEADLINE = 30.0


class Recorder:
    """Takes batches; `objects` is the state they add up to."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.objects = dict[ObjectRef, KubernetesObject]()
        self._news = asyncio.Event()

    def emit(self, batch: Batch) -> None:
        """Take a batch, as a source gives it."""
        self.batches.append(batch)
        for change in batch.changes:
            if change.object is None:
                self.objects.pop(change.ref, None)
            else:
                self.objects[change.ref] = change.object
        self._news.set()

    def names(self, kind: str, namespace: str) -> set[str]:
        """The names of the objects of a kind in a namespace."""
        return {ref.name for ref in self.objects if ref.kind == kind and ref.namespace == namespace}

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition on what was recorded is true. Raises :class:`TimeoutError` with `what`."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"after {DEADLINE} s not yet: {what}; {len(self.batches)} batches") from None

    async def until_synced(self) -> None:
        """Wait for the first complete state."""
        await self.until(lambda: self.batches, "synced")


@asynccontextmanager
async def recording(source: Cluster) -> AsyncIterator[Recorder]:
    """Run a source, recorded, for as long as the context lasts."""
    recorder = Recorder()
    task = asyncio.create_task(source.run(recorder.emit))
    try:
        yield recorder
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
