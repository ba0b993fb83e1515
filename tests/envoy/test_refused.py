"""Envoy refuses a resource: others are served, the last good one stays, its owner is told; on a real Envoy."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration, ScopedRouteConfiguration, VirtualHost

from ingress_controller.envoy.encoder import SCOPE, Changes
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_web
from tests.running import Running, running
from tests.upstream import upstream
from xds import Resource

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = [f"h{number}.test" for number in range(8)]
BAD = HOSTS[3]
SECOND_HOST_OF_ALL_NAMES = bytes(
    ScopedRouteConfiguration(
        route_configuration=RouteConfiguration(virtual_hosts=[VirtualHost(name="x", domains=["*"])])
    )
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with (
        upstream() as web,
        running({"web.yaml": documents(CLASS, make_web(web.port)), "all.yaml": ingresses(PUBLIC)}) as c,
    ):
        yield c


def ingresses(annotations: dict[str, str]) -> str:
    return documents(*(make_ingress(host.removesuffix(".test"), host, annotations) for host in HOSTS))


@contextmanager
def spoiled(c: Running, *hosts: str) -> Iterator[None]:
    """While the block runs, the encoder makes resources of these hosts that Envoy refuses."""
    encoder = c.controller.pipeline._encoder
    encode = encoder.encode

    def spoil(*args: object) -> Changes:
        changes = encode(*args)  # type: ignore[arg-type]
        for host in hosts:
            if resource := changes[SCOPE].get(host):
                changes[SCOPE][host] = Resource(host, (*resource.parts, SECOND_HOST_OF_ALL_NAMES))
        return changes

    encoder.encode = spoil  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        encoder.encode = encode  # type: ignore[method-assign]


def refused(c: Running) -> float:
    return c.metric("xds_refused_resources_total", type="ScopedRouteConfiguration")


async def test_refused_host_among_good_ones(c: Running) -> None:
    async with c.connect(BAD) as kept:
        assert (await kept.get(BAD)).status == 200
        with spoiled(c, BAD):
            await c.write("all.yaml", ingresses(SIGNED_IN))
        # Those that came in the same response are in force; the bad one is as it was.
        statuses = {host: (await kept.get(host)).status for host in HOSTS}
        assert statuses == {host: 200 if host == BAD else 401 for host in HOSTS}
        assert refused(c) == 1
        name = BAD.removesuffix(".test")
        assert c.metric("ingresses", reason="refused-by-envoy") == 1
        assert c.said_of(name)[-1].startswith(
            f"Warning UpdateError upsert routes: Envoy refused host {BAD}, whose last good configuration stays: "
        )
        assert "\n" not in c.said_of(name)[-1]
        for host in HOSTS:
            warnings = [line for line in c.said_of(host.removesuffix(".test")) if "Warning" in line]
            assert len(warnings) == (host == BAD)

        await c.write("more.yaml", make_ingress("more", "more.test"))
        assert (await kept.get("more.test")).status == 200
        assert refused(c) == 1

        await c.write("all.yaml", ingresses(PUBLIC))
        assert {(await kept.get(host)).status for host in HOSTS} == {200}
        assert c.said_of(name)[-1] == "Normal Updated updated pomerium configuration"
        assert c.metric("ingresses", reason="refused-by-envoy") == 0


async def test_several_refused_hosts(c: Running) -> None:
    before = refused(c)
    bad = {HOSTS[0], HOSTS[1], HOSTS[-1]}
    async with c.connect(BAD) as kept:
        with spoiled(c, *bad):
            await c.write("all.yaml", ingresses(SIGNED_IN))
        assert {host for host in HOSTS if (await kept.get(host)).status == 200} == bad
        assert refused(c) == before + 3
        await c.write("all.yaml", ingresses(PUBLIC))
        assert {(await kept.get(host)).status for host in HOSTS} == {200}


async def test_refused_new_host_is_closed_until_it_is_good(c: Running) -> None:
    async with c.connect(BAD) as kept:
        with spoiled(c, "new.test"):
            await c.write("new.yaml", make_ingress("new", "new.test"))
        assert (await kept.get("new.test")).status == 404
        assert "Envoy refused host new.test" in c.said_of("new")[-1]
        await c.write("new.yaml", make_ingress("new", "new.test", PUBLIC | {"timeout": "7s"}))
        assert (await kept.get("new.test")).status == 200
        with spoiled(c, "new.test"):
            await c.write("new.yaml", make_ingress("new", "new.test", SIGNED_IN))
        await c.remove("new.yaml")
        assert (await kept.get("new.test")).status == 404
        assert c.metric("ingresses", reason="refused-by-envoy") == 0
