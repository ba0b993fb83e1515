"""A real Envoy, started for a test and stopped by it.

In: a bootstrap as a dictionary, and a directory for its files. Out: a running process with its admin interface, and
its log when something fails. The directory must have a short path (`short_directory`): Unix socket paths end at 107
bytes.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

DEADLINE = 60.0
"""Seconds that a condition may take; much longer than any needs, for a busy machine."""

_POLL = 0.005
_ENVOY = Path(sys.executable).with_name("envoy")


@contextmanager
def short_directory() -> Iterator[Path]:
    """Give a temporary directory whose path leaves room for the names of Unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as directory:
        yield Path(directory)


async def eventually(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until a condition that can only be asked for, not awaited, is true.

    Raises:
        TimeoutError: it was not true within `DEADLINE`; says `what`.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            while not await condition():  # noqa: ASYNC110 -- another process cannot set an event of ours
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise TimeoutError(f"after {DEADLINE} s not yet: {what}") from None


def ads_bootstrap(node: str, socket: Path) -> dict[str, Any]:
    """Give the bootstrap of an Envoy that takes everything from a delta ADS server on a Unix socket."""
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    cluster = {
        "name": "xds",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    source = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": node, "cluster": "test"},
        "dynamic_resources": {"ads_config": ads, "lds_config": source, "cds_config": source},
        "static_resources": {"clusters": [cluster]},
    }


class EnvoyProcess:
    """One Envoy with one worker, running in its directory; its admin interface is a Unix socket there by default.

    Attributes:
        log: what it wrote.
    """

    def __init__(self, bootstrap: dict[str, Any], directory: Path) -> None:
        """Prepare the files of a process; nothing runs yet.

        Args:
            bootstrap: an `envoy.config.bootstrap.v3.Bootstrap` as JSON.
            directory: its own; made when absent, kept.
        """
        directory.mkdir(exist_ok=True)
        self.log = directory / "envoy.log"
        self._admin = directory / "admin.sock"
        self._config = directory / "bootstrap.json"
        admin = {"admin": {"address": {"pipe": {"path": str(self._admin)}}}}
        self._config.write_text(json.dumps(admin | bootstrap))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *arguments: str) -> None:
        """Start the process, with more command line arguments if any."""
        options = ("--disable-hot-restart", "--use-dynamic-base-id", "--concurrency", "1",
                   "--file-flush-interval-msec", "50")  # fmt: skip
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                _ENVOY, "-c", self._config, *options, *arguments, cwd=self._config.parent, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    async def admin_get(self, path: str) -> str:
        """Ask the admin interface, for example `/config_dump`.

        Raises:
            aiohttp.ClientError: it does not answer, or not with success.
        """
        return await self._admin_request("GET", path)

    async def admin_post(self, path: str) -> str:
        """Tell the admin interface something, for example `/logging?config=debug`."""
        return await self._admin_request("POST", path)

    async def _admin_request(self, method: str, path: str) -> str:
        connector = aiohttp.UnixConnector(str(self._admin))
        async with (
            aiohttp.ClientSession(connector=connector, raise_for_status=True) as session,
            session.request(method, f"http://admin{path}") as response,
        ):
            return await response.text()

    async def stat(self, name: str) -> int:
        """Give one counter or gauge; 0 when Envoy has not made it yet."""
        for line in (await self.admin_get(f"/stats?filter=^{name}$")).splitlines():
            return int(line.rpartition(": ")[2])
        return 0

    async def ready(self) -> None:
        """Wait until it serves: all that it waits for at start has arrived.

        Raises:
            RuntimeError: the process ended.
            TimeoutError: it is not ready in time.
        """
        try:
            await eventually(self._is_ready, "Envoy is ready")
        except TimeoutError as error:
            error.add_note(f"its log ends\n{self.log_end()}")
            raise

    async def _is_ready(self) -> bool:
        if self._process is None or self._process.returncode is not None:
            raise RuntimeError(f"Envoy does not run; its log ends\n{self.log_end()}")
        try:
            return "LIVE" in await self.admin_get("/ready")
        except aiohttp.ClientError:
            return False

    def log_end(self, lines: int = 30) -> str:
        """Give the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    async def stop(self) -> None:
        """End the process, if it runs, and wait until it is gone."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
