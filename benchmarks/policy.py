"""What a long list of users costs a request: Envoy's CPU with 5,000 users in a policy, over that with one.

The whole program runs with a real Envoy; requests go through all its filters, with a session, to an upstream. The
variants take turns in the same Envoy, each with a host of its own. Run: `.venv/bin/python benchmarks/policy.py`.
Bounded: under a minute. The last line is the worst ratio.
"""

import asyncio
import json
import os
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.manifests import CLASS, documents, make_ingress, make_web
from tests.running import COOKIE, Running, running

SECONDS = 40.0
BATCH, CONNECTIONS = 1500, 4
USERS = tuple(f"user{number}@example.com" for number in range(5000))
STRANGER = "stranger@example.com"


@dataclass(frozen=True)
class Variant:
    """One kind of request: the host, whose policy names some users, and the user who asks."""

    host: str
    user: str
    status: bytes


BASES = {200: Variant("one.example.com", USERS[-1], b"200"), 403: Variant("one.example.com", STRANGER, b"403")}
VARIANTS = {
    "first of many": (Variant("many.example.com", USERS[0], b"200"), BASES[200]),
    "middle of many": (Variant("many.example.com", USERS[2500], b"200"), BASES[200]),
    "last of many": (Variant("many.example.com", USERS[-1], b"200"), BASES[200]),
    "none of many": (Variant("many.example.com", STRANGER, b"403"), BASES[403]),
    "not one of many denied": (Variant("deny.example.com", USERS[-1], b"200"), BASES[200]),
    "not outside of many": (Variant("outside.example.com", USERS[-1], b"200"), BASES[200]),
    "outside of many": (Variant("outside.example.com", STRANGER, b"403"), BASES[403]),
    "not in many": (Variant("not.example.com", STRANGER, b"200"), BASES[200]),
    "last in not many": (Variant("not.example.com", USERS[-1], b"403"), BASES[403]),
    "one of many denied": (Variant("deny.example.com", STRANGER, b"403"), BASES[403]),
}
"""What is measured, and the request with a policy of one user that it is compared with."""

POLICIES = {
    "one": {"allow": {"or": [{"email": USERS[-1]}]}},
    "many": {"allow": {"or": [{"email": {"in": USERS}}]}},
    "deny": {"allow": {"or": [{"email": USERS[-1]}]}, "deny": {"or": [{"email": {"in": [*USERS[:-1], STRANGER]}}]}},
    "outside": {"allow": {"or": [{"authenticated_user": True}]}, "deny": {"not": [{"email": {"in": USERS}}]}},
    "not": {"allow": {"or": [{"email": {"not_in": USERS}}]}},
}


class Upstream(asyncio.Protocol):
    """Answers every request head with the same few bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (it is TCP)
        self.transport = transport
        self.end = b""

    def data_received(self, data: bytes) -> None:
        """Answer; a head may come in pieces."""
        seen = self.end + data
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * seen.count(b"\r\n\r\n"))
        self.end = b"" if seen.endswith(b"\r\n\r\n") else seen[-3:]


class Load:
    """Connections to the proxy, each used for one kind of request again and again."""

    def __init__(self, program: Running) -> None:
        self._program = program
        self._streams: dict[Variant, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self._heads: dict[Variant, bytes] = {}

    async def run(self, variant: Variant) -> None:
        """Send a batch, and read the answers."""
        if variant not in self._streams:
            self._streams[variant] = [await self._open(variant.host) for _ in range(CONNECTIONS)]
            token = self._program.mint(variant.host, variant.user)
            self._heads[variant] = (
                f"GET / HTTP/1.1\r\nhost: {variant.host}\r\ncookie: {COOKIE}={token}\r\n\r\n".encode()
            )
        ask = (self._ask(*stream, self._heads[variant], variant.status) for stream in self._streams[variant])
        await asyncio.gather(*ask)

    async def _open(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = self._program.settings.https_address.port
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)

    @staticmethod
    async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, status: bytes) -> None:
        for _ in range(BATCH // CONNECTIONS):
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 " + status), answer  # noqa: S101 (a wrong answer measures nothing)
            length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or b"0"))


def cpu(pid: int) -> float:
    """Seconds that a process has used the CPU."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(load: Load, used: Callable[[], float]) -> dict[Variant, float]:
    """Microseconds of CPU a request, for each variant; they take turns until the time is over."""
    kinds = list(dict.fromkeys(variant for pair in VARIANTS.values() for variant in pair))
    for kind in kinds:
        await load.run(kind)
    total: Counter[Variant] = Counter()
    rounds, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        rounds += 1
        for kind in kinds[rounds % len(kinds) :] + kinds[: rounds % len(kinds)]:
            before = used()
            await load.run(kind)
            total[kind] += used() - before  # type: ignore[assignment]
    return {kind: seconds / rounds / BATCH * 1e6 for kind, seconds in total.items()}


async def main() -> None:
    """Print the cost of each kind of request, and the worst ratio."""
    upstream = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    ingresses = [
        make_ingress(name, f"{name}.example.com", {"policy": json.dumps(policy)}) for name, policy in POLICIES.items()
    ]
    objects = documents(CLASS, make_web(port), *ingresses)
    async with running({"all.yaml": objects}) as program:
        found = await measure(Load(program), lambda: cpu(program.envoy.pid))
    ratios = {name: found[variant] / found[base] for name, (variant, base) in VARIANTS.items()}
    for name, (variant, base) in VARIANTS.items():
        print(f"{name}: {found[variant]:.1f} us, one user: {found[base]:.1f} us, ratio {ratios[name]:.2f}")
    print(f"worst ratio {max(ratios.values()):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
