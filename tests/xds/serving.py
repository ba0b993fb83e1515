"""An xDS server on a Unix socket, as the tests run it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

import xds
from tests.xds.parts import TYPES


@dataclass
class Record(xds.Observer):
    """Remembers what happened on the streams.

    Attributes:
        responses: what was sent, in order.
        answers: what was answered, in order.
        refusals: the resources found to be bad.
        events: all of it, in words, in order.
    """

    responses: list[xds.Response] = field(default_factory=list)
    answers: list[xds.Answer] = field(default_factory=list)
    refusals: list[xds.Refusal] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def sent(self, node: str, response: xds.Response) -> None:
        self.responses.append(response)
        self.events.append(
            f"sent {node} {response.type_url.rpartition('.')[2]} +{response.resources} -{response.removed}"
        )

    def answered(self, node: str, answer: xds.Answer) -> None:
        self.answers.append(answer)
        self.events.append(f"{'ACK' if answer.accepted else 'NACK'} {node} {answer.type_url.rpartition('.')[2]}")

    def connected(self, node: str) -> None:
        self.events.append(f"connected {node}")

    def disconnected(self, node: str) -> None:
        self.events.append(f"disconnected {node}")


@asynccontextmanager
async def serving(
    cache: xds.Cache,
    socket: Path,
    record: Record,
    *,
    patience: float = 5.0,
) -> AsyncIterator[xds.Server]:
    """Serve a cache until the block ends; then all streams end too."""
    server = xds.Server(cache, TYPES, record.refusals.append, record, patience)
    listener = grpc.aio.server(options=xds.GRPC_OPTIONS)
    listener.add_insecure_port(f"unix:{socket}")
    server.register(listener)
    await listener.start()
    try:
        yield server
    finally:
        await listener.stop(grace=None)
