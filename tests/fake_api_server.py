"""An API server that gives scripted answers: what a real one cannot be made to say.

In: answers, given one after the other. Out: a client of it, and what it was asked: the queries, and the methods with
their bodies. When there is no answer left a request hangs, as a watch without news does.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from ingress_controller.kubernetes_api import KubernetesApi

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Raw = Mapping[str, Any]


def page(items: Iterable[Raw], version: str, continue_: str = "") -> Answer:
    """A page of a list."""
    body = {"metadata": {"resourceVersion": version, "continue": continue_}, "items": list(items)}
    return plain(json.dumps(body).encode())


def plain(body: bytes) -> Answer:
    """A whole answer, whatever it is."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return answer


def refusal(code: int, reason: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """A Status object."""
    body = json.dumps({"kind": "Status", "code": code, "reason": reason, "message": f"no: {reason}"})

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=body, headers=headers)

    return answer


def stream(*chunks: bytes, hangs: bool = False) -> Answer:
    """A watch that sends these chunks, each on its own, and then breaks off or hangs."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if hangs:
            await asyncio.Event().wait()
        assert request.transport
        request.transport.close()
        return response

    return answer


def event(kind: str, raw: Raw) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": kind, "object": raw}).encode() + b"\n"


class FakeApiServer:
    """Answers in the order of the script."""

    def __init__(self, *script: Answer) -> None:
        self._script = list(script)
        self.queries: list[Mapping[str, str]] = []
        self.bodies: list[tuple[str, Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Give the next answer."""
        self.queries.append(dict(request.query))
        body = await request.read()
        self.bodies.append((request.method, json.loads(body) if body else None))
        if not self._script:
            await asyncio.Event().wait()
        return await self._script.pop(0)(request)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KubernetesApi]:
        """Run it, with a client of it."""
        runner = web.ServerRunner(web.Server(self.handle, handler_cancellation=True), shutdown_timeout=1)  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        configuration = Configuration(host=f"http://{host}:{port}")

        async def load() -> Configuration:
            return configuration

        api = KubernetesApi(configuration, load)
        try:
            yield api
        finally:
            await api.close()
            await runner.cleanup()
