"""HTTP clients that send exactly what they are told.

In: bytes for HTTP/1.1, header lists for HTTP/2, and the server name of the TLS handshake, each independent of the
others. Out: answers, and what TLS agreed on. Libraries for users tidy requests up; attacks do not.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.upstream import Echo, parse_echo

DEADLINE = 60.0
NO_NAME = "127.0.0.1"
"""As a server name: none is sent, since TLS has no server names that are addresses."""

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def echo(self) -> Echo:
        """What the upstream was asked."""
        assert self.status == 200, (self.status, self.body)
        return parse_echo(self.body)


class Connection:
    """An HTTP/1.1 connection, with TLS or without."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def certificate(self) -> bytes:
        """The server's certificate, DER."""
        found: bytes = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return found

    async def get(self, host: str, target: str = "/", headers: Headers = (), method: str = "GET") -> Answer:
        """Send a request without a body."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        return await self.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode(), method)

    async def send(self, request: bytes, method: str = "GET") -> Answer:
        """Send these bytes and read one response."""
        self.writer.write(request)
        return await self.read(method)

    async def read(self, method: str = "GET") -> Answer:
        """Read one response.

        Raises:
            asyncio.IncompleteReadError: the connection was closed without one.
        """
        async with asyncio.timeout(DEADLINE):
            status, headers = _parse_head(await self.reader.readuntil(b"\r\n\r\n"))
            fields = dict(headers)
            if method == "HEAD" or status in {204, 304} or (method == "CONNECT" and status == 200):
                body = b""
            elif "chunked" in fields.get("transfer-encoding", ""):
                body = b"".join([chunk async for chunk in self._chunks()])
            else:
                body = await self.reader.readexactly(int(fields.get("content-length", 0)))
            return Answer(status, headers, body)

    async def exchange(self, data: bytes, size: int) -> bytes:
        """Send bytes through the tunnel that CONNECT opened, and read as many."""
        self.writer.write(data)
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readexactly(size)

    async def closed(self) -> bytes:
        """Wait until the server closes the connection; gives what it sent before."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")


def _parse_head(head: bytes) -> tuple[int, tuple[tuple[str, str], ...]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ")[1]), tuple((name.lower(), value.strip()) for name, _, value in pairs)


@asynccontextmanager
async def connect(
    port: int, server_name: str | None, alpn: str = "http/1.1", client: ssl.SSLContext | None = None
) -> AsyncIterator[Connection]:
    """Connect to a port of the loopback; ``None`` for no TLS. Raises :class:`OSError` if the handshake is refused.

    ``client`` has the certificate that the client shows, if it is asked for one.
    """
    tls = (client or _tls(alpn)) if server_name else None
    if client:
        client.set_alpn_protocols([alpn])
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=server_name)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


@cache
def _tls(alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context


class HTTP2Connection:
    """An HTTP/2 connection with one request at a time. Its headers are neither checked nor changed."""

    def __init__(self, connection: Connection) -> None:
        self.transport = connection
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._state = h2.connection.H2Connection(config)
        self._state.initiate_connection()

    async def get(self, host: str, path: str = "/", headers: Headers = (), method: str = "GET") -> Answer:
        """Send a request without a body."""
        pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        return await self.send([*pseudo, *headers])

    async def send(self, headers: Headers, body: bytes = b"") -> Answer:
        """Send exactly these headers, pseudo-headers among them.

        Raises:
            ConnectionError: the stream was reset, or the connection closed.
        """
        stream = self._state.get_next_available_stream_id()
        self._state.send_headers(stream, list(headers), end_stream=not body)
        if body:
            self._state.send_data(stream, body, end_stream=True)
        async with asyncio.timeout(DEADLINE):
            return await self._answer(stream)

    def _receive(self, data: bytes) -> list[h2.events.Event]:
        try:
            return self._state.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise ConnectionError(f"not HTTP/2: {error}") from error

    async def _answer(self, stream: int) -> Answer:
        headers: tuple[tuple[str, str], ...] = ()
        body = b""
        while True:
            self.transport.writer.write(self._state.data_to_send())
            data = await self.transport.reader.read(65536)
            if not data:
                raise ConnectionError("closed by the server")
            for event in self._receive(data):
                match event:
                    case h2.events.ResponseReceived(stream_id=stream_id) if stream_id == stream:
                        headers = tuple((str(name), str(value)) for name, value in event.headers or ())
                    case h2.events.DataReceived(stream_id=stream_id) if stream_id == stream:
                        body += event.data or b""
                        self._state.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                    case h2.events.StreamReset(stream_id=stream_id) if stream_id == stream:
                        raise ConnectionError(f"reset with {event.error_code!r}")
                    case h2.events.ConnectionTerminated():
                        raise ConnectionError(f"terminated with {event.error_code!r}")
                    case h2.events.StreamEnded(stream_id=stream_id) if stream_id == stream:
                        fields = dict(headers)
                        return Answer(int(fields[":status"]), headers, body)


@asynccontextmanager
async def connect_http2(
    port: int, server_name: str, client: ssl.SSLContext | None = None
) -> AsyncIterator[HTTP2Connection]:
    """Connect with HTTP/2 to a port of the loopback."""
    async with connect(port, server_name, "h2", client) as connection:
        yield HTTP2Connection(connection)
