"""Run: `make bench-requests`. Bounded: two minutes."""

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from envoy_data_plane.envoy.config.listener.v3 import Listener

from benchmarks.requests import proxies
from ingress_controller.envoy.encoder import CLUSTER, LISTENER
from tests.envoy_process import EnvoyProcess, short_directory
from tests.manifests import CLASS, PUBLIC, documents, make_certificate, make_ingress, make_policy, make_web
from tests.real_servers import tool
from tests.running import COOKIE, Running, free_port, running
from xds import Resource

HOST, PATH = "app.example.com", "/shop/list?page=2"
ROUNDS, SECONDS, CONNECTIONS = 5, 3.0, 32
BARE, PUBLIC_ONLY, PROTECTED, EXTERNAL = "bare listener", "public routes only", "protected", "external authorizer"
IDENTITY = {"pass_identity_headers": "true"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A proxy under load.

    Attributes:
        envoy: its process.
        port: where it listens.
        cookie: what requests bring.
    """

    envoy: EnvoyProcess
    port: int
    cookie: str = ""


def cores() -> tuple[set[int], set[int]]:
    """A core for the proxy under test, and the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


async def load(variant: Variant) -> float:
    """Requests a second."""
    words = ["-address", f"127.0.0.1:{variant.port}", "-host", HOST, "-path", PATH, "-seconds", str(SECONDS),
             "-connections", str(CONNECTIONS), "-cookie", variant.cookie]  # fmt: skip
    process = await asyncio.create_subprocess_exec(tool("load"), *words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the load was not answered with 200")
    return float(output)


def _pin(variant: Variant) -> None:
    """Keep all threads of the proxy on its core."""
    own, _ = cores()
    for thread in Path(f"/proc/{variant.envoy.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), own)


@asynccontextmanager
async def variants() -> AsyncIterator[Mapping[str, Variant]]:
    """All proxies, running."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(short_directory())
        to, port = free_port(), free_port()
        answering = EnvoyProcess(proxies.upstream(to), directory / "upstream")
        await (await stack.enter_async_context(answering)).ready()
        listener = EnvoyProcess(proxies.bare(port, to, make_certificate(HOST)), directory / "bare")
        await (await stack.enter_async_context(listener)).ready()
        public = await stack.enter_async_context(running(_manifests(to, PUBLIC)))
        policy = make_policy({"domain": {"is": "example.com"}}) | IDENTITY
        protected = await stack.enter_async_context(running(_manifests(to, policy)))
        external = await stack.enter_async_context(running(_manifests(to, policy)))
        stack.push_async_callback(_stop, await _authorize(external, directory / "authorizer.sock"))
        yield {
            BARE: Variant(listener, port),
            PUBLIC_ONLY: _variant(public),
            PROTECTED: _variant(protected, session=True),
            EXTERNAL: _variant(external, session=True),
        }


def _variant(c: Running, *, session: bool = False) -> Variant:
    cookie = f"{COOKIE}={c.mint(HOST)}; theme=dark" if session else ""
    return Variant(c.envoy, c.settings.https_address.port, cookie)


def _manifests(to: int, annotations: Mapping[str, str]) -> dict[str, str]:
    return {"all.yaml": documents(CLASS, make_web(to), make_ingress("app", HOST, annotations))}


async def _authorize(c: Running, socket: Path) -> asyncio.subprocess.Process:
    """Put an external authorizer in the place of the policy filter. Returns its process."""
    process = await asyncio.create_subprocess_exec(tool("authorizer"), "-socket", socket)
    cluster = proxies.authorizer(socket)
    c.controller.cache.update({CLUSTER: {cluster.name: Resource(cluster.name, (bytes(cluster),))}})
    https = max(c.controller.cache.resources(LISTENER).values(), key=lambda resource: len(b"".join(resource.parts)))
    changed = proxies.authorized(Listener.parse(b"".join(https.parts)))
    update = {LISTENER: {https.name: Resource(https.name, (bytes(changed),))}}
    await c.controller.xds.settled(c.controller.cache.update(update))
    return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.wait()


async def _round(proxied: Mapping[str, Variant]) -> dict[str, float]:
    return {name: await load(variant) for name, variant in proxied.items()}


async def main() -> None:
    """Print the median of each, and of its ratio to the bare listener in the same round."""
    _, others = cores()
    os.sched_setaffinity(0, others)
    async with variants() as proxied:
        for variant in proxied.values():
            _pin(variant)
        await _round(proxied)
        rounds = [await _round(proxied) for _ in range(ROUNDS)]
    for name in proxied:
        median = statistics.median(measured[name] for measured in rounds)
        to_bare = statistics.median(measured[name] / measured[BARE] for measured in rounds)
        to_external = statistics.median(measured[name] / measured[EXTERNAL] for measured in rounds)
        print(f"{name:20}{median:8.0f} requests/s, {to_bare:.2f} of bare, {to_external:.2f} of external")


if __name__ == "__main__":
    asyncio.run(main())
