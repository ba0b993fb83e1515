"""A real Envoy that follows the server under test, and a client of its listener."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

import xds
from tests.envoy_process import DEADLINE, EnvoyProcess, ads_bootstrap
from tests.xds.parts import SCOPE

HTTP = Path("http.sock")
"""Where each Envoy listens, in its own directory."""


async def settled(server: xds.Server, transaction: int, *, proxies: int = 1) -> None:
    async with asyncio.timeout(DEADLINE):
        await server.settled(transaction, proxies=proxies, types=[SCOPE])


class Gateway:
    """An Envoy and a client of its listener; the host is the scope."""

    def __init__(self, envoy: EnvoyProcess, session: aiohttp.ClientSession) -> None:
        self.envoy = envoy
        self._session = session

    async def get(self, host: str) -> tuple[int, str]:
        async with self._session.get("http://gateway/", headers={"x-scope": host}) as response:
            return response.status, await response.text()


@asynccontextmanager
async def gateway(directory: Path, node: str = "envoy") -> AsyncIterator[Gateway]:
    """Run an Envoy on the server's socket."""
    connector = aiohttp.UnixConnector(str(directory / node / HTTP))
    bootstrap = ads_bootstrap(node, directory / "xds.sock")
    async with (
        EnvoyProcess(bootstrap, directory / node) as envoy,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        yield Gateway(envoy, session)
