"""The program as a process of its own, and pods for it to forward to.

In: whose rights it has, and its flags. Out: :class:`Program`: start, stop and kill it, ask the Envoy that it started,
read its log and metrics. Whatever it does is waited for by asking, with a deadline: it is another process.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from ingress_controller.session import Session, mint, signing_key
from tests.clients import Answer, Connection, Headers, connect
from tests.envoy_process import eventually, short_directory
from tests.network_namespace import pod_address
from tests.real_servers import Server, free_port
from tests.running import COOKIE
from tests.upstream import Upstream

POD_PORT = 8080
BROWSER = (("accept", "text/html"), ("sec-fetch-mode", "navigate"))
_ISSUER = "https://authenticate.localhost"
_NO_ANSWER = (OSError, EOFError, aiohttp.ClientError)


class Program(Server):
    """``ingress-controller run`` on free ports of the loopback, with its files in one folder.

    Attributes:
        data_dir: its data directory.
    """

    def __init__(self, home: Path, kubeconfig: Path, *flags: str) -> None:
        """Prepare it; nothing runs yet.

        Args:
            home: a folder with a short path.
            kubeconfig: whose rights it has.
            flags: further ones; those about addresses are given.
        """
        self.data_dir = home / "data"
        self._home = home
        self._ports = {name: free_port() for name in ("http", "https", "health-probe-bind", "metrics-bind")}
        addresses = (f"--{name}-address=127.0.0.1:{port}" for name, port in self._ports.items())
        own = (f"--kubeconfig={kubeconfig}", f"--data-dir={self.data_dir}", "--log-format=json", *addresses,
               f"--access-log={home / 'access.log'}")  # fmt: skip
        program = Path(sys.executable).with_name("ingress-controller")
        super().__init__([program, "run", *own, *flags], home / "controller.log")

    # --- Its life.

    @property
    def status(self) -> int | None:
        """Its exit status; ``None`` while it runs."""
        return self._process.poll() if self._process else None

    async def ready(self) -> None:
        """Wait until Envoy has taken over the configuration."""

        async def is_ready() -> bool:
            self.check()
            return await self.readyz() == "ok\n"

        await eventually(is_ready, "the controller is ready")

    async def readyz(self) -> str:
        """What it still waits for, or ``ok``; nothing if it does not answer."""
        return await self._ask("health-probe-bind", "/readyz")

    async def _ask(self, port: str, path: str) -> str:
        """What one of its own endpoints says; nothing if it does not answer."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self._ports[port]}{path}") as response,
            ):
                return await response.text()
        except aiohttp.ClientError:
            return ""

    # --- What it says and sends.

    def log(self) -> Sequence[Mapping[str, Any]]:
        """The lines of its log so far."""
        whole, _, _ = self._log.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    async def logged(self, *events: str) -> None:
        """Wait until each of these has been logged."""

        async def all_are() -> bool:
            return set(events) <= {line["event"] for line in self.log()}

        await eventually(all_are, f"logged {events}")

    async def sent(self) -> Mapping[str, int]:
        """How many resources of each type were sent to Envoy so far, removals included."""
        families = text_string_to_metric_families(await self._ask("metrics-bind", "/metrics"))
        return {
            sample.labels["type"]: int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "ingress_controller_xds_resources_total"
        }

    # --- Requests.

    def connect(self, server_name: str) -> AbstractAsyncContextManager[Connection]:
        """An HTTP/1.1 connection with TLS. Raises :class:`OSError` if the handshake is refused."""
        return connect(self._ports["https"], server_name)

    async def get(self, host: str, path: str = "/", *, session: str = "", headers: Headers = ()) -> Answer:
        """Ask once, on a connection of its own."""
        cookie = [("cookie", f"{COOKIE}={session}")] if session else []
        async with self.connect(host) as connection:
            return await connection.get(host, path, [*headers, *cookie])

    async def try_to_get(self, host: str, path: str = "/", *, session: str = "") -> Answer | None:
        """The same; ``None`` where the connection is refused, as that for an unknown host is."""
        try:
            return await self.get(host, path, session=session)
        except _NO_ANSWER:
            return None

    async def until(
        self, wanted: Callable[[Answer | None], object], host: str, path: str = "/", *, session: str = ""
    ) -> Answer:
        """Ask until the answer is as wanted; gives that."""
        answer: Answer | None = None

        async def is_so() -> bool:
            nonlocal answer
            self.check()
            answer = await self.try_to_get(host, path, session=session)
            return bool(wanted(answer))

        try:
            await eventually(is_so, f"{host}{path} answers as wanted")
        except TimeoutError as error:
            error.add_note(f"the last answer: {answer}\nthe log: {self._log.read_text()[-4000:]}")
            raise
        return answer or Answer(0, (), b"")

    async def until_status(self, status: int, host: str, path: str = "/", *, session: str = "") -> Answer:
        """Ask until the answer has this status."""
        return await self.until(lambda answer: answer and answer.status == status, host, path, session=session)

    async def until_refused(self, host: str) -> None:
        """Wait until there is no such host: the handshake fails."""
        await self.until(lambda answer: answer is None, host)

    async def certificate(self, host: str) -> bytes:
        """The certificate that a new connection is shown; DER."""
        async with self.connect(host) as connection:
            return connection.certificate

    def mint(self, host: str, email: str = "ann@example.com") -> str:
        """A session for a host."""
        session = Session(issuer=_ISSUER, host=host, email=email)
        return mint(signing_key(self.data_dir), session, datetime.now(UTC))


@asynccontextmanager
async def running(kubeconfig: Path, *flags: str) -> AsyncIterator[Program]:
    """Run the program until the block ends; it need not be ready when that begins."""
    with short_directory() as home:
        program = Program(home, kubeconfig, *flags)
        program.start()
        try:
            yield program
        finally:
            await asyncio.to_thread(program.stop)


@asynccontextmanager
async def pod(name: str = "web") -> AsyncIterator[str]:
    """Run an upstream at an address of the pod network, port `POD_PORT`; gives the address."""
    runner = web.ServerRunner(web.Server(Upstream(name).answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    address = pod_address()
    await web.TCPSite(runner, address, POD_PORT).start()
    try:
        yield address
    finally:
        await runner.cleanup()


def processes() -> Mapping[int, int]:
    """The processes that run now, each with its parent."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # It has ended meanwhile.
            continue
        found[int(status.parent.name)] = parent
    return found
