"""What a change sends to Envoy, and what users notice of it: nothing but the change; on a real Envoy."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import pytest_asyncio

from tests.clients import Connection, HTTP2Connection
from tests.hammer import Status, hammering
from tests.manifests import (
    CLASS,
    PUBLIC,
    SIGNED_IN,
    documents,
    make_certificate,
    make_ingress,
    make_policy,
    make_secret,
    make_service,
    make_slice,
    make_web,
)
from tests.running import COOKIE, Running, running
from tests.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "app.test"
SCOPE, EDS, CDS, SDS, LDS = ("ScopedRouteConfiguration", "ClusterLoadAssignment", "Cluster", "Secret", "Listener")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Upstream]:
    async with upstream() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(web: Upstream) -> AsyncIterator[Running]:
    pair = make_certificate(APP)
    files = {
        "class.yaml": CLASS,
        "web.yaml": make_web(web.port),
        "tls.yaml": make_secret("tls", *pair),
        "app.yaml": make_ingress("app", APP, SIGNED_IN, tls={"tls": [APP]}),
        "wild.yaml": make_ingress("wild", "*.wild.test", PUBLIC),
        "others.yaml": make_ingress("others", [f"h{number}.test" for number in range(20)], PUBLIC),
    }
    async with running(files) as c:
        yield c


class Kept:
    """Connections that were there before a change, and must be there after it."""

    def __init__(self, c: Running, h1: Connection, h2: HTTP2Connection, wild: HTTP2Connection) -> None:
        self._cookie = [("cookie", f"{COOKIE}={c.mint(APP)}")]
        self._h1, self._h2, self._wild = h1, h2, wild

    async def live(self) -> None:
        """Ask on each of them."""
        assert (await self._h1.get(APP, "/", self._cookie)).status == 200
        assert (await self._h2.get(APP, "/", self._cookie)).status == 200
        assert (await self._wild.get("a.wild.test")).status == 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(c: Running) -> AsyncIterator[Kept]:
    async with c.connect(APP) as h1, c.connect_http2(APP) as h2, c.connect_http2("a.wild.test") as wild:
        connections = Kept(c, h1, h2, wild)
        await connections.live()
        yield connections
        await connections.live()


@asynccontextmanager
async def sends(c: Running, kept: Kept, **expected: int) -> AsyncIterator[None]:
    """The block makes Envoy receive exactly so many resources of each type, and ends no connection."""
    before = c.sent
    yield
    assert dict(c.sent - before) == expected
    await kept.live()


async def test_nothing_is_sent_for_what_changes_nothing(c: Running, kept: Kept) -> None:
    async with sends(c, kept):
        await c.write("app.yaml", (c.manifests / "app.yaml").read_text() + "\n# a comment\n")
    async with sends(c, kept):
        await c.write("more.yaml", documents(make_service("unused"), make_slice(1, "unused")))
        await c.remove("more.yaml")


async def test_policy_is_one_scope(c: Running, kept: Kept) -> None:
    nobody = [("cookie", f"{COOKIE}={c.mint(APP, 'eve@elsewhere.test')}")]
    async with c.connect(APP) as connection:
        assert (await connection.get(APP, "/", nobody)).status == 200
        policy = make_policy({"domain": "example.com"})
        async with sends(c, kept, **{SCOPE: 1}):
            await c.write("app.yaml", make_ingress("app", APP, policy, tls={"tls": [APP]}))
        assert (await connection.get(APP, "/", nobody)).status == 403
        async with sends(c, kept, **{SCOPE: 1}):
            await c.write("app.yaml", make_ingress("app", APP, SIGNED_IN, tls={"tls": [APP]}))
        assert (await connection.get(APP, "/", nobody)).status == 200


async def test_endpoints_are_one_assignment(c: Running, kept: Kept, web: Upstream) -> None:
    async with upstream("second") as second:
        async with sends(c, kept, **{EDS: 1}):
            await c.write("web.yaml", make_web(second.port))
        assert (await c.get("h1.test")).echo.upstream == "second"
        async with sends(c, kept, **{EDS: 1}):
            await c.write("web.yaml", make_web(web.port))
        assert (await c.get("h1.test")).echo.upstream == "web"


async def test_certificate_is_one_secret_for_new_connections(c: Running, kept: Kept) -> None:
    before = await c.certificate(APP)
    pair = make_certificate(APP)
    async with c.connect(APP) as old:
        async with sends(c, kept, **{SDS: 1}):
            await c.write("tls.yaml", make_secret("tls", *pair))
        assert await c.certificate(APP) == ssl.PEM_cert_to_DER_cert(pair[0].decode()) != before
        assert old.certificate == before
        assert (await old.get(APP)).status == 401


async def test_broken_certificate_shows_the_bootstrap_one(c: Running, kept: Kept) -> None:
    whole = (c.manifests / "tls.yaml").read_text()
    own, bootstrap = await c.certificate(APP), await c.certificate("h1.test")
    async with sends(c, kept, **{SDS: 1}):
        await c.write("tls.yaml", make_secret("tls", make_certificate(APP)[0], make_certificate(APP)[1]))
    assert c.said_of("app")[-1] == (
        "Warning UpdateError upsert routes: parsing ingress: spec.tls[0].secretName: Secret tls: tls.key does not "
        "belong to the first certificate of tls.crt; the self-signed bootstrap certificate is served"
    )
    assert await c.certificate(APP) == bootstrap
    async with sends(c, kept, **{SDS: 1}):
        await c.remove("tls.yaml")
        await c.write("tls.yaml", whole)
    assert await c.certificate(APP) == own


async def test_new_host_is_one_scope(c: Running, kept: Kept) -> None:
    async with sends(c, kept, **{SCOPE: 1}):
        await c.write("new.yaml", make_ingress("new", "new.test"))
    # Its certificate is sent to the first who asks.
    async with sends(c, kept, **{SDS: 1}):
        assert (await c.get("new.test")).status == 200
        assert (await c.get("new.test")).status == 200
    async with sends(c, kept, **{SCOPE: 1, SDS: 1}):
        await c.remove("new.yaml")
    with pytest.raises(ssl.SSLError):
        await c.get("new.test")


async def test_new_host_with_its_service_is_one_of_each(c: Running, kept: Kept, web: Upstream) -> None:
    ingress = make_ingress("new", "new2.test", paths=[("/", "Prefix", "new:80")])
    async with sends(c, kept, **{CDS: 1, EDS: 1, SCOPE: 1}):
        await c.write("new.yaml", documents(make_web(web.port, "new"), ingress))
    async with sends(c, kept, **{CDS: 1, EDS: 1, SCOPE: 1}):
        await c.remove("new.yaml")


async def test_host_that_moves_between_ingresses_is_never_away(c: Running, kept: Kept) -> None:
    await c.write("one.yaml", make_ingress("one", "moving.test"))
    async with hammering(partial(ask, c, "moving.test")) as hammer:
        for _ in range(5):
            await c.edit({"one.yaml": None, "two.yaml": make_ingress("two", "moving.test")})
            await c.edit({"two.yaml": None, "one.yaml": make_ingress("one", "moving.test")})
    assert set(hammer.statuses) == {200}
    await c.remove("one.yaml")
    await kept.live()


async def test_host_service_and_endpoints_in_one_edit_are_served_whole(c: Running, web: Upstream) -> None:
    for number in range(5):
        host, service = f"whole{number}.test", f"whole{number}"
        ingress = make_ingress(service, host, paths=[("/", "Prefix", f"{service}:80")])
        async with hammering(partial(ask, c, host), partial(ask_on, c, host)) as hammer:
            await c.write("whole.yaml", documents(ingress, make_web(web.port, service)))
            await hammer.more(20)
        first = hammer.statuses.index(200)
        assert set(hammer.statuses[:first]) <= {"refused", 404}
        # Two clients ask: what the other had asked before may be answered after the first success.
        assert set(hammer.statuses[first + 1 :]) == {200}
        await c.remove("whole.yaml")


async def test_endpoints_that_change_fail_no_request(c: Running, web: Upstream) -> None:
    async with (
        upstream("second") as second,
        hammering(partial(ask, c, "h1.test"), partial(ask, c, "h2.test")) as hammer,
    ):
        for _ in range(10):
            await c.write("web.yaml", make_web(second.port))
            await c.write("web.yaml", make_web(web.port))
        await hammer.more(10)
    assert set(hammer.statuses) == {200}


async def test_scale_to_zero_and_back(c: Running, web: Upstream) -> None:
    await c.edit(
        {
            "z.yaml": make_ingress("z", "zero.test", paths=[("/", "Prefix", "zero:80")]),
            "zs.yaml": make_web(web.port, "zero"),
        }
    )
    assert (await c.get("zero.test")).status == 200
    await c.write("zs.yaml", documents(make_service("zero"), make_slice(web.port, "zero", ready=False)))
    assert (await c.get("zero.test")).status == 503
    assert c.said_of("z")[-1] == (
        "Warning UpdateError upsert routes: Service default/zero has no ready endpoint for port 80 (http); "
        "its paths answer 503 until there is one"
    )
    await c.write("zs.yaml", make_web(web.port, "zero"))
    assert (await c.get("zero.test")).status == 200
    assert c.said_of("z")[-1] == "Normal Updated updated pomerium configuration"
    await c.remove("z.yaml", "zs.yaml")


async def test_service_that_appears_later(c: Running, web: Upstream) -> None:
    await c.write(
        "late.yaml", make_ingress("late", "late.test", paths=[("/", "Prefix", "late:80"), ("/web", "Prefix", "web:80")])
    )
    answer = await c.get("late.test")
    assert (answer.status, answer.text) == (503, "503 service-not-found\n")
    assert (await c.get("late.test", "/web")).status == 200
    assert c.said_of("late")[-1] == (
        "Warning UpdateError upsert routes: parsing ingress: spec.rules[0].http.paths[0].backend: "
        "Service default/late not found"
    )
    await c.write("late-service.yaml", make_service("late"))
    assert (await c.get("late.test")).status == 503
    assert "has no ready endpoint" in c.said_of("late")[-1]
    await c.write("late-slice.yaml", make_slice(web.port, "late"))
    assert (await c.get("late.test")).status == 200
    await c.remove("late.yaml", "late-service.yaml", "late-slice.yaml")


async def test_second_cluster_of_a_service_is_there_at_once(c: Running, kept: Kept) -> None:
    async with sends(c, kept, **{CDS: 1, EDS: 1, SCOPE: 1}):
        await c.write("tls-up.yaml", make_ingress("secure", "secure.test", PUBLIC | {"secure_upstream": "true"}))
    async with sends(c, kept, **{CDS: 1, EDS: 1, SCOPE: 1}):
        await c.remove("tls-up.yaml")


async def ask(c: Running, host: str) -> Status:
    """The status on a connection of its own."""
    try:
        return (await c.get(host)).status
    except ssl.SSLError:
        return "refused"


async def ask_on(c: Running, host: str) -> Status:
    """The status on a connection made for another host."""
    async with c.connect(APP) as connection:
        return (await connection.get(host)).status
