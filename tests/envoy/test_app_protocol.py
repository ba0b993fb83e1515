"""A Service port's appProtocol decides how it is spoken to; through a real Envoy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from tests.authority import Authority
from tests.envoy_process import short_directory
from tests.manifests import (
    CLASS,
    PUBLIC,
    documents,
    make_certificate,
    make_ingress,
    make_secret,
    make_service,
    make_slice,
)
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "app.test"
SYSTEM = Authority("system")
ISSUED = SYSTEM.issue("web.default.svc.cluster.local")
SERVED = make_certificate(HOST)
CHECK = (
    "[{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {service_name: x}}]"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    with short_directory() as directory:
        (directory / "ca.pem").write_bytes(SYSTEM.pem)
        files = {"class.yaml": CLASS, "tls.yaml": make_secret("tls", *SERVED)}
        async with running(files, upstream_ca_file=directory / "ca.pem") as c:
            yield c


async def serve(c: Running, port: int, protocol: str, **annotations: str) -> None:
    service = make_service(ports=[{"name": "http", "port": 80, "appProtocol": protocol}])
    ingress = make_ingress("app", HOST, PUBLIC | annotations, tls={"tls": [HOST]})
    await c.write("app.yaml", documents(ingress, service, make_slice(port)))


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # (grpc ships no types)
    """Answers a stream of messages with the same, and health checks with SERVING; remembers the methods."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.healthy = True

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.methods.append(details.method)
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        return grpc.stream_stream_rpc_method_handler(self.echo)

    async def check(self, _: bytes, __: object) -> bytes:
        return b"\x08\x01" if self.healthy else b"\x08\x02"

    async def echo(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
        context.set_trailing_metadata((("x-trailer", "here"),))


@asynccontextmanager
async def grpc_server(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[tuple[Echo, int]]:
    echo, server = Echo(), grpc.aio.server()
    server.add_generic_rpc_handlers((echo,))
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield echo, port
    finally:
        await server.stop(None)


async def call(c: Running) -> tuple[list[bytes], dict[str, str]]:
    """Call a streaming method through Envoy: the messages and the trailers that came back."""
    trusted = grpc.ssl_channel_credentials(SERVED[0])
    options = [("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST)]
    address = f"127.0.0.1:{c.settings.https_address.port}"
    async with grpc.aio.secure_channel(address, trusted, options) as channel:
        stream = channel.stream_stream("/test.Echo/Echo")(iter([b"a", b"bc"]), timeout=20)
        messages = [message async for message in stream]
        return messages, dict(await stream.trailing_metadata())


@pytest.mark.parametrize("protocol", ["kubernetes.io/h2c", "grpc"])
async def test_grpc_works_through(c: Running, protocol: str) -> None:
    async with grpc_server() as (_, port):
        await serve(c, port, protocol)
        messages, trailers = await call(c)
        assert (messages, trailers["x-trailer"]) == ([b"a", b"bc"], "here")


async def test_grpc_over_tls_works_through(c: Running) -> None:
    async with grpc_server(grpc.ssl_server_credentials([(ISSUED.key, ISSUED.certificate)])) as (_, port):
        await serve(c, port, "grpc", secure_upstream="true")
        assert (await call(c))[0] == [b"a", b"bc"]


async def test_grpc_health_check_is_asked(c: Running) -> None:
    async with grpc_server() as (echo, port):
        await serve(c, port, "grpc", health_checks=CHECK)
        assert echo.methods == ["/grpc.health.v1.Health/Check"]
        assert (await call(c))[0] == [b"a", b"bc"]
    async with upstream() as web:
        await serve(c, web.port, "", health_checks=CHECK)
        assert (await c.get(HOST)).text == "503 backend-not-allowed\n"


@pytest.mark.parametrize("protocol", ["https", "kubernetes.io/wss"])
async def test_tls_is_spoken_and_verified(c: Running, protocol: str) -> None:
    async with (
        upstream("right", ISSUED.context()) as right,
        upstream("wrong", Authority("x").issue("x").context()) as wrong,
    ):
        await serve(c, right.port, protocol)
        assert (await c.get(HOST)).echo.upstream == "right"
        await serve(c, wrong.port, protocol)
        assert (await c.get(HOST)).status == 503


@pytest.mark.parametrize("protocol", ["", "http", "kubernetes.io/ws", "example.com/own"])
async def test_all_else_is_http(c: Running, protocol: str) -> None:
    async with upstream("plain") as plain:
        await serve(c, plain.port, protocol)
        assert (await c.get(HOST)).echo.upstream == "plain"
