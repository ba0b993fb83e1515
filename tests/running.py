"""The program as it runs, for feature tests: its own parts, wired by ``app``, and a real Envoy.

In: manifests by file name. Out: ``Running``: edit the manifests, ask Envoy, see what was said and sent. Each edit is
waited for until Envoy has taken it, by versions; nothing sleeps. The directory is read at once after an edit, in place
of the file watcher, which has tests of its own.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs
from structlog.typing import EventDict

from ingress_controller import session
from ingress_controller.app import Controller, serve_xds
from ingress_controller.envoy.bootstrap import bootstrap
from ingress_controller.model.upstream import Address
from ingress_controller.report.log import LogReporter
from ingress_controller.settings import Settings, make_data_directory
from ingress_controller.sources.directory import Directory
from tests.clients import Answer, Connection, Headers, HTTP2Connection, connect, connect_http2
from tests.envoy_process import EnvoyProcess, short_directory

DEADLINE = 60.0
COOKIE = "__Host-pomerium"


class Running:
    """A controller with its Envoy.

    Attributes:
        settings: what it was started with.
        controller: its parts.
        envoy: the proxy's process.
        manifests: the folder of its objects.
    """

    def __init__(self, settings: Settings, controller: Controller, envoy: EnvoyProcess, lines: list[EventDict]) -> None:
        self.settings = settings
        self.controller = controller
        self.envoy = envoy
        (self.manifests,) = settings.manifests
        self.pipeline = asyncio.create_task(controller.pipeline.run())
        self._directory = Directory(settings.manifests)
        self._lines = lines

    # --- Objects.

    async def write(self, name: str, content: str | bytes) -> None:
        """Write a manifest, and wait until Envoy has settled on what that changes."""
        await self.edit({name: content})

    async def remove(self, *names: str) -> None:
        """Remove manifests, and wait."""
        await self.edit(dict.fromkeys(names))

    async def edit(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write and remove (``None``) manifests as one change, and wait."""
        self.put(files)
        await self.apply()

    def put(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write and remove manifests; nobody looks at them yet."""
        for name, content in files.items():
            if content is None:
                (self.manifests / name).unlink()
                continue
            draft = self.manifests / f".{name}"
            draft.write_bytes(content if isinstance(content, bytes) else content.encode())
            draft.replace(self.manifests / name)

    def read(self, *, synced: bool = False) -> None:
        """Have the source read the folder, and offer what is new; not waited for."""
        self.controller.pipeline.offer(self._directory.read(synced=synced))

    async def apply(self, *, synced: bool = False) -> None:
        """Read the folder, and wait until Envoy has settled on it."""
        self.read(synced=synced)
        await self.settled()

    async def settled(self) -> None:
        """Wait until everything offered is applied, and accepted or refused by Envoy."""
        pipeline = self.controller.pipeline
        await self._unless_crashed(self.controller.xds.settled(await self._unless_crashed(pipeline.idle())))
        # What Envoy refused has been offered to the pipeline by now.
        await self._unless_crashed(pipeline.idle())

    async def _unless_crashed(self, wanted: Awaitable[Any]) -> Any:
        waiting = asyncio.ensure_future(wanted)
        done, _ = await asyncio.wait([waiting, self.pipeline], timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if waiting in done:
            return waiting.result()
        waiting.cancel()
        if self.pipeline in done:
            self.pipeline.result()
        raise TimeoutError(f"not settled after {DEADLINE} s; {self.controller.xds.proxies()}\n{self.envoy.log_end()}")

    # --- What it says and sends.

    @property
    def said(self) -> list[str]:
        """The log lines so far, each as one text."""
        return [str(line["event"]) for line in self._lines]

    def forget(self) -> None:
        """Forget what was said so far."""
        self._lines.clear()

    def said_of(self, name: str) -> list[str]:
        """The log lines so far about an Ingress of the namespace ``default``, without the name."""
        mark = f"Ingress default/{name}: "
        return [line.replace(mark, "") for line in self.said if mark in line]

    @property
    def sent(self) -> Counter[str]:
        """How many resources of each type, by the short name, were sent to Envoy so far; removals count too."""
        return Counter(
            {
                sample.labels["type"]: int(sample.value)
                for metric in self.controller.metrics.registry.collect()
                for sample in metric.samples
                if sample.name == "ingress_controller_xds_resources_total"
            }
        )

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the program's metrics; 0 where there is none yet."""
        return self.controller.metrics.registry.get_sample_value(f"ingress_controller_{name}", labels) or 0

    # --- Requests.

    def connect(
        self, server_name: str, client: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[Connection]:
        """An HTTP/1.1 connection with TLS; ``client`` has the certificate to show."""
        return connect(self.settings.https_address.port, server_name, client=client)

    def connect_plain(self) -> AbstractAsyncContextManager[Connection]:
        """An HTTP/1.1 connection to the plain listener."""
        return connect(self.settings.http_address.port, None)

    def connect_http2(
        self, server_name: str, client: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[HTTP2Connection]:
        """An HTTP/2 connection; ``client`` has the certificate to show."""
        return connect_http2(self.settings.https_address.port, server_name, client)

    async def get(
        self, host: str, path: str = "/", *, session: str = "", headers: Headers = (), method: str = "GET"
    ) -> Answer:
        """Ask once, on a connection of its own whose server name is ``host``."""
        cookie = [("cookie", f"{COOKIE}={session}")] if session else []
        async with self.connect(host) as connection:
            return await connection.get(host, path, [*headers, *cookie], method)

    async def certificate(self, server_name: str) -> bytes:
        """The certificate that is shown to a new connection; DER."""
        async with self.connect(server_name) as connection:
            return connection.certificate

    def mint(self, host: str, email: str = "ann@example.com", **fields: Any) -> str:
        """A session for a host; ``fields`` are those of ``session.Session``."""
        issuer = self.settings.authenticate_service_url
        key = session.signing_key(self.settings.data_dir)
        ages = fields.pop("age", timedelta())
        made = session.Session(issuer=issuer, host=host, email=email, **fields)
        return session.mint(key, made, datetime.now(UTC) - ages)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def make_settings(directory: Path, **given: Any) -> Settings:
    """Settings with a manifest folder and free ports, in a directory of their own."""
    (manifests := directory / "manifests").mkdir()
    free = {name: Address("127.0.0.1", free_port()) for name in ("http_address", "https_address")}
    nowhere = {"health_probe_bind_address": None, "metrics_bind_address": None}
    return Settings(**{"manifests": (manifests,), "data_dir": directory / "data", **free, **nowhere, **given})


@asynccontextmanager
async def running(manifests: Mapping[str, str | bytes], **settings: Any) -> AsyncIterator[Running]:
    """Run a controller on these manifests, with an Envoy, until the block ends."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(short_directory())
        lines = stack.enter_context(capture_logs())
        chosen = make_settings(directory, **settings)
        make_data_directory(chosen.data_dir)
        controller = Controller(chosen, LogReporter())
        await stack.enter_async_context(serve_xds(controller))
        envoy = EnvoyProcess(make_bootstrap(chosen, directory / "envoy"), directory / "envoy")
        c = Running(chosen, controller, envoy, lines)
        stack.callback(c.pipeline.cancel)
        c.put(manifests)
        c.read(synced=True)
        await stack.enter_async_context(envoy)
        await envoy.ready()
        await c.settled()
        yield c


def make_bootstrap(settings: Settings, directory: Path) -> dict[str, Any]:
    """The program's own bootstrap, for an Envoy with its files in ``directory``."""
    address = settings.xds_address
    xds = address if isinstance(address, Address) else address.path
    return bootstrap(xds, directory / "admin.sock", "test")
