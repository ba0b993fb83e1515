"""A pod: answers every request with its own name, as cheaply as Python can.

Run: `python -m benchmarks.scale.upstream ADDRESS PORT NAME`. It lasts until it is ended.
"""

import asyncio
import sys


class _Pod(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        assert isinstance(self._transport, asyncio.WriteTransport)  # noqa: S101 (a stream's transport is one)
        self._transport.write(self._answer * len(requests))


async def serve(address: str, port: int, name: str) -> None:
    """Serve until cancelled."""
    answer = f"HTTP/1.1 200 OK\r\ncontent-length: {len(name)}\r\n\r\n{name}".encode()
    server = await asyncio.get_running_loop().create_server(lambda: _Pod(answer), address, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
