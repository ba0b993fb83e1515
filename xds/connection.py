"""One proxy's stream over gRPC: a task that reads and a task that writes, with the state machine between them.

In: encoded requests, and transactions of the cache. Out: encoded responses; refusals and events to the server's owner.
The state machine is never awaited; the writer waits when the proxy does not read, and nothing piles up meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

import grpc
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

from xds import wire
from xds.cache import Changed
from xds.resource import Refusal
from xds.stream import Answer, ProtocolError, Response, Stream

_LARGE_REQUEST = 64 << 10
_NODE = 1


class Context(Protocol):
    """What is used of `grpc.aio.ServicerContext`."""

    def peer(self) -> str:
        """Give the address of the proxy."""

    def write(self, message: bytes) -> Awaitable[None]:
        """Send one response."""

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with a status."""


class Observer:
    """What a program may want to count; each method does nothing unless overridden."""

    def connected(self, node: str) -> None:
        """Note the first request of a stream."""

    def disconnected(self, node: str) -> None:
        """Note the end of a stream that sent a request."""

    def sent(self, node: str, response: Response) -> None:
        """Note that a response is sent."""

    def answered(self, node: str, answer: Answer) -> None:
        """Note that a proxy accepted or refused a response."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What all connections of a server share.

    Attributes:
        observer: told of what happens.
        on_refused: called with each refused resource.
        on_progress: called when the state of a stream may have moved.
        patience: seconds after which an unanswered response holds up nothing any more.
    """

    observer: Observer
    on_refused: Callable[[Refusal], None]
    on_progress: Callable[[], None]
    patience: float


class Connection:
    """Runs one stream.

    Attributes:
        stream: its state machine.
        peer: the address of the proxy.
    """

    def __init__(self, stream: Stream, context: Context, owner: Owner) -> None:
        """Take a new state machine, its call, and whom to tell."""
        self.stream = stream
        self.peer = context.peer()
        self._context = context
        self._owner = owner
        self._wake = asyncio.Event()

    def change(self, changed: Changed) -> None:
        """Note a transaction of the cache."""
        self.stream.change(changed)
        self._wake.set()

    async def run(self, requests: AsyncIterator[bytes]) -> None:
        """Serve until the proxy goes away; a request that cannot be taken ends the call with INVALID_ARGUMENT."""
        tasks = asyncio.create_task(self._read(requests)), asyncio.create_task(self._write())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.stream.node is not None:
                self._owner.observer.disconnected(self.stream.node)
        try:
            for task in done:
                task.result()
        except ProtocolError as error:
            await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for message in requests:
            first = self.stream.node is None
            answer = self.stream.receive(await _parse(message, with_node=first))
            node = self.stream.node or ""
            if first:
                self._owner.observer.connected(node)
            if answer:
                self._owner.observer.answered(node, answer)
                if answer.refusal:
                    self._owner.on_refused(answer.refusal)
            self._wake.set()
            self._owner.on_progress()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            responses = self.stream.responses()
            self._owner.on_progress()
            for response in responses:
                self._owner.observer.sent(self.stream.node or "", response)
                await self._context.write(response.body)
                asyncio.get_running_loop().call_later(
                    self._owner.patience, self._stop_waiting, response.type_url, response.nonce
                )

    def _stop_waiting(self, type_url: str, nonce: str) -> None:
        self.stream.stop_waiting(type_url, nonce)
        self._wake.set()


async def _parse(message: bytes, *, with_node: bool) -> DeltaDiscoveryRequest:
    try:
        if not with_node:
            # Envoy names itself and its 500 extensions in every request unless told not to: 60 kB, 10 ms to parse.
            message = wire.without_leading(message, _NODE)
        if len(message) > _LARGE_REQUEST:
            # A proxy that comes back lists all it has; parsing that takes up to a second.
            return await asyncio.to_thread(DeltaDiscoveryRequest.parse, message)
        return DeltaDiscoveryRequest.parse(message)
    except Exception as error:
        # The library raises what its parts happen to raise: EOFError, KeyError, AttributeError, ...
        raise ProtocolError(f"not a DeltaDiscoveryRequest: {error!r}") from error
