"""What a kubelet and Prometheus ask: ``/healthz``, ``/readyz`` and ``/metrics``.

In: a function that says what is still missing, a registry of metrics. Out: HTTP answers on addresses of their own,
never on those that users reach. An answer at all proves that the event loop, and so the controller, is responsive.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ingress_controller.errors import StartError
from ingress_controller.model.upstream import Address

GRACE_SECONDS = 1.0
"""How long answers that are being written may take when the server stops."""


def health_app(missing: Callable[[], Sequence[str]]) -> web.Application:
    """Make the application of the probes.

    Args:
        missing: what the controller still waits for, a line each; empty when it is ready.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reasons = missing()
        return web.Response(text="\n".join(reasons or ["ok"]) + "\n", status=503 if reasons else 200)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app


def metrics_app(registry: CollectorRegistry) -> web.Application:
    """Make the application that shows the metrics of ``registry``, as Prometheus or OpenMetrics text."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    return app


@asynccontextmanager
async def serve(
    address: Address | None, app: web.Application, flag: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Address | None]:
    """Answer on ``address`` while the block runs; ``None`` for nowhere. Plain HTTP without ``tls``.

    Yields:
        The address with the port that the system chose where it was 0.

    Raises:
        StartError: the address cannot be listened on; it names ``flag``.
    """
    if address is None:
        yield None
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host or None, address.port, ssl_context=tls).start()
        except OSError as error:
            raise StartError(f"{flag}: {address} cannot be listened on: {error.strerror}") from error
        yield Address(address.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()
