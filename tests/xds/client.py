"""A delta ADS client over real gRPC: said word by word, or following a server by itself."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc.aio
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from envoy_data_plane.google.rpc import Status

import xds
from tests.envoy_process import DEADLINE
from tests.xds.model_client import ModelClient


class DeltaClient:
    """One stream, word by word."""

    def __init__(self, channel: grpc.aio.Channel, node: str) -> None:
        self._call = channel.stream_stream(f"/{xds.SERVICE}/{xds.METHOD}")()
        self._node: Node | None = Node(id=node)

    async def send(self, request: DeltaDiscoveryRequest) -> None:
        """Send a request; the first names the client."""
        request.node, self._node = self._node, None
        await self._call.write(bytes(request))

    async def send_bytes(self, message: bytes) -> None:
        await self._call.write(message)

    async def ask(self, type_url: str, *names: str, versions: Mapping[str, str] | None = None) -> None:
        await self.send(
            DeltaDiscoveryRequest(
                type_url=type_url,
                resource_names_subscribe=list(names),
                initial_resource_versions=dict(versions or {}),
            )
        )

    async def read(self) -> DeltaDiscoveryResponse:
        """Wait for the next response.

        Raises:
            EOFError: the stream ended well.
            grpc.aio.AioRpcError: it ended with another status.
        """
        async with asyncio.timeout(DEADLINE):
            message = await self._call.read()
        if not isinstance(message, bytes):
            raise EOFError(await self._call.details())
        return DeltaDiscoveryResponse.parse(message)

    async def accept(self, response: DeltaDiscoveryResponse) -> None:
        await self.send(DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce))

    async def refuse(self, response: DeltaDiscoveryResponse, message: str) -> None:
        await self.send(
            DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce, error_detail=Status(message=message)
            )
        )

    async def follow(self, model: ModelClient) -> None:
        """Ask for what the model wants, then feed it responses and send its answers, until cancelled."""
        for request in model.resume():
            await self.send(request)
        while message := await self._call.read():
            await self.send(model.receive(DeltaDiscoveryResponse.parse(message)))

    def close(self) -> None:
        """End the stream from this side."""
        self._call.cancel()


@asynccontextmanager
async def connected(socket: Path, node: str = "client") -> AsyncIterator[DeltaClient]:
    """Open a stream; nothing is asked yet."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        client = DeltaClient(channel, node)
        try:
            yield client
        finally:
            client.close()


@asynccontextmanager
async def following(
    socket: Path, wanted: Mapping[str, Iterable[str]], node: str = "follower"
) -> AsyncIterator[ModelClient]:
    """Keep a model up to date with a server.

    Args:
        socket: where the server listens.
        wanted: type URL -> names, `*` for all; in the order they are asked for.
        node: id of the client.
    """
    model = ModelClient(records_refused=[])
    for type_url, names in wanted.items():
        model.subscribe(type_url, names)
    async with connected(socket, node) as client:
        task = asyncio.create_task(client.follow(model))
        try:
            yield model
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
