"""The program in a process of its own, as an operator starts it.

In: settings by the names of their flags. Out: a running process, its log, and what its probes and metrics say. It is
ended by its id; a test may kill it and start it again.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.envoy_process import eventually
from tests.running import free_port

_PROGRAM = Path(sys.executable).with_name("ingress-controller")


class Program:
    """One controller.

    Attributes:
        directory: its manifests are in ``manifests``, its state in ``data``.
        http_port: where Envoy accepts plain HTTP.
        https_port: where Envoy accepts TLS.
    """

    def __init__(self, directory: Path, envoy: str) -> None:
        self.directory = directory
        self.http_port, self.https_port, self._probes, self._metrics = (free_port() for _ in range(4))
        (directory / "manifests").mkdir()
        self._envoy = envoy
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it; it may not be ready yet."""
        flags = {
            "manifests": self.directory / "manifests",
            "data-dir": self.directory / "data",
            "envoy": self._envoy,
            "http-address": f"127.0.0.1:{self.http_port}",
            "https-address": f"127.0.0.1:{self.https_port}",
            "health-probe-bind-address": f"127.0.0.1:{self._probes}",
            "metrics-bind-address": f"127.0.0.1:{self._metrics}",
        }
        with (self.directory / "log").open("ab") as log, (self.directory / "output").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                _PROGRAM, "run", *(f"--{name}={value}" for name, value in flags.items()),
                stdin=DEVNULL, stdout=output, stderr=log, env=os.environ | {"NO_COLOR": "1"},
            )  # fmt: skip

    async def ready(self) -> None:
        """Wait until an Envoy serves what it says."""
        try:
            await eventually(self._is_ready, "the program is ready")
        except TimeoutError as error:
            error.add_note(self.log)
            raise

    async def started(self) -> None:
        """Wait until it answers its probes."""
        await eventually(self._answers, "the program answers its probes")

    async def kill(self) -> None:
        """End it without a chance to do anything about it."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self._process = None

    async def stop(self) -> int:
        """Ask it to end, and wait; gives its exit status."""
        assert self._process is not None
        self._process.terminate()
        process, self._process = self._process, None
        async with asyncio.timeout(15):
            return await process.wait()

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return (self.directory / "log").read_text()

    @property
    def output(self) -> str:
        """What it, or its Envoy, wrote to standard output."""
        return (self.directory / "output").read_text()

    async def sent(self) -> dict[str, int]:
        """How many resources of each type it has sent to Envoys, in this process."""
        families = text_string_to_metric_families(await self._get(self._metrics, "/metrics"))
        return {
            sample.labels["type"]: int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "ingress_controller_xds_resources_total"
        }

    async def _is_ready(self) -> bool:
        return await self._probe("/readyz")

    async def _answers(self) -> bool:
        return await self._probe("/healthz")

    async def _probe(self, path: str) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(f"the program ended; its log is\n{self.log}")
        try:
            await self._get(self._probes, path)
        except aiohttp.ClientError:
            return False
        return True

    async def _get(self, port: int, path: str) -> str:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.get(f"http://127.0.0.1:{port}{path}") as response,
        ):
            return await response.text()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.stop()


@asynccontextmanager
async def program(directory: Path, envoy: str = "none") -> AsyncIterator[Program]:
    """Run the program until the block ends; the directory needs a short path."""
    async with Program(directory, envoy) as running:
        yield running
