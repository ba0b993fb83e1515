"""Upstream servers for feature tests: they say what they were asked.

In: a name, and for TLS a certificate. Out: an HTTP server on a free port of the loopback that answers each request with
JSON (its own name, the method, the target and headers as they came) and remembers what it saw.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

HANG = "/hang"
"""The end of the paths that are not answered until ``release`` is set."""


@dataclass
class Upstream:
    """A running server.

    Attributes:
        name: what it calls itself in its answers.
        port: where it listens on 127.0.0.1.
        seen: method and target of each request, in order.
        hosts: the Host headers of all requests.
        status: what it answers with.
        server_names: what each TLS handshake asked for; ``None`` for nothing.
        release: ends the wait of requests for ``HANG``.
        says: headers of its responses.
    """

    name: str
    port: int = 0
    seen: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    status: int = 200
    server_names: list[str | None] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    says: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.seen.append(f"{request.method} {request.raw_path}")
        self.hosts.add(request.headers.get("host", ""))
        body = await request.text()
        if request.raw_path.endswith(HANG):
            await self.release.wait()
        told = {
            "upstream": self.name,
            "method": request.method,
            "target": request.raw_path,
            "headers": [(name.decode().lower(), value.decode("latin-1")) for name, value in request.raw_headers],
            "body": body,
            "client": _client(request),
        }
        headers = CIMultiDict([("Content-Type", "application/json"), *self.says])
        return web.Response(status=self.status, text=json.dumps(told), headers=headers)


def _client(request: web.BaseRequest) -> str | None:
    shown = request.transport.get_extra_info("peercert") if request.transport else None
    return dict(pair for part in shown["subject"] for pair in part)["commonName"] if shown else None


@dataclass(frozen=True)
class Echo:
    """What an upstream said that it was asked. ``client`` is the name in the certificate that it was shown."""

    upstream: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    client: str | None

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key == name]

    def names(self) -> set[str]:
        """The names of all headers, in lower case."""
        return {key for key, _ in self.headers}


def parse_echo(body: bytes) -> Echo:
    told: dict[str, Any] = json.loads(body)
    headers = tuple((name, value) for name, value in told.pop("headers"))
    return Echo(headers=headers, **told)


@asynccontextmanager
async def upstream(name: str = "web", tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run a server until the block ends."""
    server = Upstream(name)
    if tls:
        tls.sni_callback = lambda _, server_name, __: server.server_names.append(server_name)
    runner = web.ServerRunner(web.Server(server.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.release.set()
        await runner.cleanup()
