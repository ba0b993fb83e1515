"""Writes to the API server: many at once, and one that is timed.

In: objects and their paths. Out: nothing; what the server refuses fails.
"""

import asyncio
import http.client
import json
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from ingress_controller.kubernetes_api import connect
from tests.real_servers import Manifest

_AT_ONCE = 32
_SECONDS = 30
_IDLE_SECONDS = 30
"""After so long a connection is made anew: the server closes those that it thinks forgotten."""


def write_all(kubeconfig: Path, requests: Iterable[tuple[str, str, Manifest | None]]) -> None:
    """Send requests (method, path, body), several at a time.

    Raises:
        ApiError: the server refused one.
    """
    asyncio.run(_write_all(kubeconfig, requests))


async def _write_all(kubeconfig: Path, requests: Iterable[tuple[str, str, Manifest | None]]) -> None:
    waiting = iter(requests)
    async with connect(kubeconfig) as api, asyncio.TaskGroup() as group:

        async def work() -> None:
            for method, path, body in waiting:
                await api.request(method, path, body=body)

        for _ in range(_AT_ONCE):
            group.create_task(work())


class Writer:
    """One kept connection, on which requests wait for nothing of this program."""

    def __init__(self, kubeconfig: Path) -> None:
        """Take server and token from a kubeconfig file of `tests.real_servers`, which is JSON."""
        config = json.loads(kubeconfig.read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        address = urlsplit(cluster["server"])
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, timeout=_SECONDS, context=context
        )
        token = config["users"][0]["user"]["token"]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._used = 0.0

    def prepare(self) -> None:
        """See to it that the next request finds a connection."""
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self._connection.close()
            self._connection.connect()
            self._used = time.monotonic()

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send one request, and wait for its answer.

        Raises:
            OSError: the server refused.
        """
        self.prepare()
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        self._used = time.monotonic()
        if response.status >= http.client.BAD_REQUEST:
            raise OSError(f"{method} {path}: {response.status} {answer[:500]!r}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
