"""What the access log costs: Envoy's CPU time a request with it and without, in turn, as a ratio.

Requests are for a protected route, on connections that are kept, with a session that is verified each time; the
upstream is a second Envoy that answers by itself. Run: `.venv/bin/python -m benchmarks.access_log`. Bounded: half a
minute.
"""

import asyncio
import os
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.clients import Connection
from tests.envoy_process import EnvoyProcess, short_directory
from tests.manifests import CLASS, documents, make_ingress, make_policy, make_web
from tests.running import COOKIE, Running, free_port, running

HOST = "app.example.com"
ROUNDS, CONNECTIONS, REQUESTS, AT_ONCE = 7, 4, 1500, 50
TICKS = os.sysconf("SC_CLK_TCK")


def upstream(port: int) -> dict[str, Any]:
    """The bootstrap of an Envoy that answers every request with 200 and nothing."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "upstream",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener]}}


def seconds(envoy: EnvoyProcess) -> float:
    """The CPU time that a process has used (proc_pid_stat(5), fields 14 and 15)."""
    assert envoy._process is not None  # noqa: S101, SLF001 (it runs)
    fields = Path(f"/proc/{envoy._process.pid}/stat").read_text().rpartition(")")[2].split()  # noqa: SLF001
    return (int(fields[11]) + int(fields[12])) / TICKS


async def ask(c: Running, request: bytes) -> None:
    """Send requests on one connection, some at once, and read their answers, which have no bodies."""
    async with c.connect(HOST) as connection:
        for _ in range(REQUESTS // AT_ONCE):
            await _some(connection, request)


async def _some(connection: Connection, request: bytes) -> None:
    connection.writer.write(request * AT_ONCE)
    for _ in range(AT_ONCE):
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head  # noqa: S101 (or the figures mean nothing)


async def microseconds(c: Running) -> float:
    """Envoy's CPU time for one request of a round."""
    request = (
        f"GET /shop/list?page=2 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: benchmark/1.0\r\n"
        f"Cookie: {COOKIE}={c.mint(HOST)}\r\n\r\n"
    ).encode()
    before = seconds(c.envoy)
    await asyncio.gather(*(ask(c, request) for _ in range(CONNECTIONS)))
    return (seconds(c.envoy) - before) / (CONNECTIONS * REQUESTS) * 1_000_000


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Running, Running]]:
    """The program without an access log, and with one."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(short_directory())
        port = free_port()
        await (await stack.enter_async_context(EnvoyProcess(upstream(port), directory / "upstream"))).ready()
        ingress = make_ingress("app", HOST, make_policy({"domain": {"is": "example.com"}}))
        manifests = {"all.yaml": documents(CLASS, make_web(port), ingress)}
        without = await stack.enter_async_context(running(manifests, access_log="off"))
        with_log = await stack.enter_async_context(running(manifests, access_log=directory / "access.log"))
        yield without, with_log


async def main() -> None:
    """Print the median of each and of their ratio."""
    async with both() as (without, with_log):
        for c in (without, with_log):
            await microseconds(c)
        pairs = [(await microseconds(without), await microseconds(with_log)) for _ in range(ROUNDS)]
    plain, logged = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(with_it / without_it for without_it, with_it in pairs)
    print(f"without: {plain:.1f} µs a request; with: {logged:.1f} µs; ratio {ratio:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
