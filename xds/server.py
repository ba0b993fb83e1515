"""The aggregated discovery service: one stream for each proxy, on a server of grpc.aio.

In: a cache and the connections of proxies. Out: their responses, refusals to whoever owns the resources, and for each
proxy how far it is.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio

from xds.cache import Cache
from xds.connection import Connection, Context, Observer, Owner
from xds.resource import Refusal, ResourceType
from xds.stream import Progress, Stream

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = "DeltaAggregatedResources"
GRPC_OPTIONS = (
    # A proxy that comes back lists all it has in one request, ~80 bytes each.
    ("grpc.max_receive_message_length", 64 << 20),
    # A proxy's keepalive pings are welcome, however quiet the stream: it learns from them that this server is there.
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
)
"""For `grpc.aio.server(options=...)`."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A connected proxy, at one moment.

    Attributes:
        node: its id.
        peer: where it connects from, as gRPC writes it.
        settled: the newest transaction of which it has accepted or refused everything it asked for.
        types: type URL -> how far it is; only types that it has asked for.
    """

    node: str
    peer: str
    settled: int
    types: Mapping[str, Progress]


class Server:
    """Serves one cache to any number of proxies."""

    def __init__(
        self,
        cache: Cache,
        types: Sequence[ResourceType],
        on_refused: Callable[[Refusal], None],
        observer: Observer | None = None,
        patience: float = 5.0,
    ) -> None:
        """Make a server; it serves once registered.

        Args:
            cache: the resources.
            types: the types that have a rank; others are served too, as the last.
            on_refused: called with each bad resource, when it has been found alone, for each proxy that refuses it.
            observer: told of what happens on the streams.
            patience: seconds that the rest waits for one answer. Envoy answers clusters only when they have had
                their first health check or DNS answer, so one slow upstream would hold up everything else.
        """
        self._cache = cache
        self._types = tuple(types)
        self._owner = Owner(observer or Observer(), on_refused, self._note_progress, patience)
        self._connections: dict[Connection, None] = {}
        self._progress = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        """Add the service to a gRPC server, which should have been made with `GRPC_OPTIONS`."""
        # Bytes in and out: a request that does not parse gets a status of ours, and responses are already encoded.
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: method}),))

    def proxies(self) -> tuple[Proxy, ...]:
        """Give the connected proxies that have sent a request."""
        return tuple(
            Proxy(stream.node, connection.peer, stream.settled, stream.progress())
            for connection in self._connections
            if (stream := connection.stream).node is not None
        )

    async def settled(self, transaction: int, *, proxies: int = 1, types: Collection[str] = ()) -> None:
        """Wait until proxies have accepted or refused everything up to a transaction.

        Args:
            transaction: what `Cache.update` returned.
            proxies: how many must be connected at least; all connected ones must have settled.
            types: what each must have asked for; a proxy that is starting asks for one type after the other.
        """
        while not self._is_settled(transaction, proxies, types):
            await self._progress.wait()

    def _is_settled(self, transaction: int, proxies: int, types: Collection[str]) -> bool:
        streams = [connection.stream for connection in self._connections if connection.stream.node is not None]
        return len(streams) >= proxies and all(
            stream.settled >= transaction and stream.subscribed >= set(types) for stream in streams
        )

    def _note_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _serve(self, requests: AsyncIterator[bytes], context: Context) -> None:
        stream = Stream(self._cache, self._types, attempt=secrets.randbelow(1 << 30) + 1)
        connection = Connection(stream, context, self._owner)
        self._connections[connection] = None
        self._cache.watch(connection.change)
        try:
            await connection.run(requests)
        finally:
            self._cache.unwatch(connection.change)
            del self._connections[connection]
            self._note_progress()
