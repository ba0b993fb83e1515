"""Websocket and SPDY: allowed where an annotation says so, to whom the policy admits; on a real Envoy."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import h2.events
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.clients import DEADLINE, Connection, Headers
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAIN, SOCKETS, SPDY, MEMBERS, SHORT = "plain.test", "sockets.test", "spdy.test", "members.test", "short.test"


async def echo(request: web.BaseRequest) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for message in response:
        await response.send_str(f"{request.headers['Host']} says {message.data}")
    return response


@asynccontextmanager
async def websocket_server() -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(echo, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def spdy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Changes to SPDY/3.1 whatever is asked, and sends back the bytes that follow."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
    while data := await reader.read(1000):
        writer.write(data.upper())
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    server = await asyncio.start_server(spdy, "127.0.0.1", 0)
    spdy_port = server.sockets[0].getsockname()[1]
    websockets, to_spdy = {"allow_websockets": "true"}, [("/", "Prefix", "spdy:80")]
    async with websocket_server() as port, upstream() as slow, server:
        objects = documents(
            CLASS,
            make_web(port),
            make_web(spdy_port, "spdy"),
            make_web(slow.port, "slow"),
            make_ingress("plain", PLAIN),
            make_ingress("sockets", SOCKETS, PUBLIC | websockets),
            make_ingress("members", MEMBERS, SIGNED_IN | websockets),
            make_ingress("short", SHORT, PUBLIC | websockets | {"idle_timeout": "100ms"}),
            make_ingress("spdy", SPDY, PUBLIC | {"allow_spdy": "true"}, paths=to_spdy),
            make_ingress("no-spdy", "no-spdy.test", PUBLIC | websockets, paths=to_spdy),
            make_ingress("slow", "slow.test", PUBLIC | websockets, paths=[("/", "Prefix", "slow:80")]),
            make_ingress("idle", "idle.test", PUBLIC | {"idle_timeout": "100ms"}, paths=[("/", "Prefix", "slow:80")]),
        )
        async with running({"all.yaml": objects}) as c:
            yield c


class Here(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def websocket(
    c: Running, host: str, headers: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    connector = aiohttp.TCPConnector(resolver=Here(), ssl=False)
    url = f"wss://{host}:{c.settings.https_address.port}/"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, headers=headers, timeout=aiohttp.ClientWSTimeout(ws_close=1)) as connected,
    ):
        yield connected


async def test_websocket_where_it_is_allowed(c: Running) -> None:
    async with websocket(c, SOCKETS) as socket_:
        for word in ("one", "two"):
            await socket_.send_str(word)
            assert await socket_.receive_str(timeout=DEADLINE) == f"web.default.svc.cluster.local says {word}"


async def status_of_websocket(c: Running, host: str, headers: dict[str, str] | None = None) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with websocket(c, host, headers):
            pass
    return refused.value.status


async def test_websocket_is_refused_elsewhere(c: Running) -> None:
    assert await status_of_websocket(c, PLAIN) == 403
    assert await status_of_websocket(c, SPDY) == 403


async def test_websocket_is_for_whom_the_policy_admits(c: Running) -> None:
    assert await status_of_websocket(c, MEMBERS) == 401
    assert await status_of_websocket(c, MEMBERS, {"Cookie": f"{COOKIE}={c.mint(SOCKETS)}"}) == 401
    async with websocket(c, MEMBERS, {"Cookie": f"{COOKIE}={c.mint(MEMBERS)}"}) as socket_:
        await socket_.send_str("hello")
        assert "says hello" in await socket_.receive_str(timeout=DEADLINE)


async def test_websocket_over_http2(c: Running) -> None:
    """As browsers ask on a connection that they have already, without the headers of HTTP/1's handshake."""
    for host, session, status in ((MEMBERS, "", 401), (MEMBERS, c.mint(MEMBERS), 200), (MEMBERS.upper(), "", 401)):
        async with c.connect_http2(MEMBERS) as connection:
            headers = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", host),
                       (":path", "/"), ("sec-websocket-version", "13"), ("cookie", f"{COOKIE}={session}")]  # fmt: skip
            state, stream = connection._state, connection._state.get_next_available_stream_id()
            state.send_headers(stream, headers)
            state.send_data(stream, masked(b"hello"))
            said: dict[Any, Any] = {}
            body = b""
            while not body.endswith(b"hello") and said.get(":status") in {None, "200"}:
                connection.transport.writer.write(state.data_to_send())
                async with asyncio.timeout(DEADLINE):
                    data = await connection.transport.reader.read(65536)
                for event in state.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        said = dict(event.headers or ())
                    if isinstance(event, h2.events.DataReceived):
                        body += event.data or b""
            assert int(said[":status"]) == status


def masked(text: bytes) -> bytes:
    """A frame of text from a client, masked with nothing."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


async def test_plain_request_gets_no_header_of_a_handshake(c: Running) -> None:
    assert "sec-websocket-key" not in (await c.get("slow.test")).echo.names()


UPGRADE = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]


async def ask_spdy(connection: Connection, host: str, headers: Headers = UPGRADE) -> bytes:
    lines = [f"POST /exec HTTP/1.1\r\nHost: {host}\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]
    connection.writer.write("".join(lines).encode())
    async with asyncio.timeout(DEADLINE):
        return (await connection.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]


async def test_spdy_where_it_is_allowed(c: Running) -> None:
    async with c.connect(SPDY) as connection:
        assert await ask_spdy(connection, SPDY) == b"HTTP/1.1 101 Switching Protocols"
        connection.writer.write(b"\x80\x03 syn")
        assert await connection.reader.readexactly(6) == b"\x80\x03 SYN"


@pytest.mark.parametrize("host", [PLAIN, SOCKETS, "no-spdy.test"])
async def test_spdy_is_refused_elsewhere(c: Running, host: str) -> None:
    async with c.connect(host) as connection:
        assert await ask_spdy(connection, host) == b"HTTP/1.1 403 Forbidden"


@pytest.mark.parametrize(("host", "status"), [(SPDY, b"101 Switching Protocols"), ("no-spdy.test", b"403 Forbidden")])
async def test_host_in_an_unusual_form(c: Running, host: str, status: bytes) -> None:
    """Envoy looks at what a route allows before the scope fallback has found the host."""
    for written in (host.upper(), f"{host}:1", f"{host}."):
        async with c.connect(host) as connection:
            assert await ask_spdy(connection, written) == b"HTTP/1.1 " + status


async def test_upgrade_lasts_unless_a_timeout_is_set(c: Running) -> None:
    async with websocket(c, SHORT) as socket_:
        assert (await socket_.receive(timeout=DEADLINE)).type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
    answer = await c.get("slow.test")
    assert answer.echo.values("x-envoy-expected-rq-timeout-ms") == []


async def test_idle_timeout(c: Running) -> None:
    assert (await c.get("idle.test", "/hang")).status == 504
    assert (await c.get("idle.test")).status == 200
