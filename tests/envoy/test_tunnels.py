"""TCP tunnels by CONNECT: who gets one, to which port of which host; on a real Envoy."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ingress_controller.model.upstream import Address
from tests.clients import Answer, Headers
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_service, make_slice, make_web
from tests.running import COOKIE, Running, free_port, running
from tests.upstream import tcp_upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

DB, WILD, APP = "db.test", "a.wild.test", "app.test"
PORT, LISTENER = 5432, free_port()
TCP = {"tcp_upstream": "true"}
ANN = {"allowed_users": '["ann@example.com"]'}
BYTES = ("", "ImplementationSpecific", "db:db")
SAME = ("", "ImplementationSpecific", f"same:{LISTENER}")


def make_database(port: int) -> str:
    service, pods = (text.replace('"http"', '"db"') for text in (make_service("db", PORT), make_slice(port, "db")))
    return documents(service, pods, make_service("same", LISTENER), make_slice(port, "same"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web, tcp_upstream() as port:
        objects = documents(
            CLASS,
            make_web(web.port),
            make_database(port),
            make_ingress("db", DB, ANN | TCP, paths=[BYTES, SAME]),
            make_ingress("pages", DB, paths=[("/pages", "Prefix", "web:80")]),
            make_ingress("wild", "*.wild.test", ANN | TCP, paths=[BYTES, SAME]),
            make_ingress("exact", "exact.wild.test"),
            make_ingress("app", APP),
            make_ingress("any", "", PUBLIC | {"subtle_allow_empty_host": "true"}),
        )
        async with running({"all.yaml": objects}, https_address=Address("127.0.0.1", LISTENER)) as c:
            yield c


def bearer(token: str) -> Headers:
    return [("authorization", f"Bearer Pomerium-{token}")]


async def ask(c: Running, target: str, headers: Headers = (), server_name: str = DB) -> tuple[int, bytes]:
    """Ask for a tunnel; gives the status and, if there is one, what comes back through it."""
    async with c.connect(server_name) as connection:
        answer = await connection.get(target, target, headers, "CONNECT")
        return answer.status, await connection.exchange(b"hi", 4) if answer.status == 200 else b""


async def ask_http2(c: Running, target: str, headers: Headers = (), server_name: str = DB) -> Answer:
    async with c.connect_http2(server_name) as connection:
        return await connection.send([(":method", "CONNECT"), (":authority", target), *headers], b"hi")


FORMS = (
    f"{DB}:{PORT}",
    f"DB.test:{PORT}",
    f"{DB}.:{PORT}",
    f"Db.TEST.:{PORT}",
    f"{DB}:{LISTENER}",
    f"DB.test:{LISTENER}",
)


@pytest.mark.parametrize("target", FORMS)
async def test_tunnel_is_for_who_the_policy_admits(c: Running, target: str) -> None:
    ann, bob, stranger = c.mint(DB), c.mint(DB, "bob@example.com"), c.mint(APP)
    for headers in (bearer(ann), [("cookie", f"{COOKIE}={ann}")]):
        assert await ask(c, target, headers) == (200, b"<hi>")
    assert (await ask_http2(c, target, bearer(ann))).body == b"<hi>"
    for headers, status in (((), 401), (bearer(bob), 403), (bearer(stranger), 401), (bearer("x"), 401)):
        assert (await ask(c, target, headers))[0] == status
        assert (await ask_http2(c, target, headers)).status == status


@pytest.mark.parametrize("target", [f"{WILD}:{PORT}", f"A.wild.test:{PORT}", f"{WILD}.:{PORT}", f"{WILD}:{LISTENER}"])
async def test_tunnel_under_a_wildcard(c: Running, target: str) -> None:
    assert await ask(c, target, bearer(c.mint(WILD)), WILD) == (200, b"<hi>")
    assert (await ask_http2(c, target, bearer(c.mint(WILD)), WILD)).body == b"<hi>"
    for headers, status in (
        ((), 401),
        (bearer(c.mint(WILD, "bob@example.com")), 403),
        (bearer(c.mint("b.wild.test")), 401),
    ):
        assert (await ask(c, target, headers, WILD))[0] == status


@pytest.mark.parametrize(
    "target",
    [f"{DB}:1", f"{APP}:{PORT}", f"{APP}:{LISTENER}", f"x.{DB}:{PORT}", f"unknown.test:{PORT}", f"{WILD}:1",
     f"x.{WILD}:{PORT}", f"exact.wild.test:{PORT}", f"EXACT.wild.test:{PORT}", f"exact.wild.test:{LISTENER}"],
)  # fmt: skip
async def test_there_is_no_other_tunnel(c: Running, target: str) -> None:
    """Neither by a public host beside it, nor for a host of its own by the wildcard above it."""
    host = target.partition(":")[0].lower()
    for headers in ((), bearer(c.mint(host)), bearer(c.mint(DB))):
        assert (await ask(c, target, headers))[0] == 404
        assert (await ask_http2(c, target, headers)).status == 404


@pytest.mark.parametrize("target", [DB, f"*.wild.test:{PORT}", f"user@{DB}:{PORT}", "", f":{PORT}"])
async def test_target_that_names_no_host_and_port(c: Running, target: str) -> None:
    assert (await ask(c, target, bearer(c.mint(DB))))[0] in {400, 404}


async def test_host_of_a_tunnel_serves_pages_beside_it(c: Running) -> None:
    async with c.connect(DB) as connection:
        for host in (DB, DB.upper(), f"{DB}:{PORT}", f"{DB}:{LISTENER}", f"{DB}:1"):
            assert (await connection.get(host, "/pages/1")).echo.target == "/pages/1"
            assert (await connection.get(host, "/")).status == 404
    async with c.connect(WILD) as connection:
        for host in (WILD, f"{WILD}:{PORT}", WILD.upper()):
            assert (await connection.get(host, "/", bearer(c.mint(WILD)))).status == 404


async def test_tunnel_outlives_changes_and_its_port_goes_with_its_ingress(c: Running) -> None:
    token = bearer(c.mint("new.test"))
    await c.write("new.yaml", make_ingress("new", "new.test", ANN | TCP, paths=[BYTES]))
    async with c.connect("new.test") as connection:
        target = f"new.test:{PORT}"
        assert (await connection.get(target, target, token, "CONNECT")).status == 200
        before = c.sent
        await c.write("new.yaml", make_ingress("new", "new.test", SIGNED_IN | TCP, paths=[BYTES]))
        assert c.sent - before == {"ScopedRouteConfiguration": 1}
        assert await connection.exchange(b"still", 7) == b"<still>"
        await c.write("new.yaml", make_ingress("new", "new.test", SIGNED_IN | TCP, paths=[SAME]))
        assert (await ask(c, target, token, "new.test"))[0] == 404
        await c.remove("new.yaml")
        assert (await ask(c, f"new.test:{LISTENER}", token))[0] == 404
        assert await connection.exchange(b"on", 4) == b"<on>"


async def test_upstream_that_is_not_there(c: Running) -> None:
    dead = documents(make_service("dead", PORT), make_slice(free_port(), "dead"))
    paths = [("", "ImplementationSpecific", f"{name}:{port}") for name, port in (("dead", PORT), ("none", 1))]
    await c.write("dead.yaml", documents(dead, make_ingress("dead", "dead.test", SIGNED_IN | TCP, paths=paths)))
    try:
        for port in (PORT, 1):
            assert (await ask(c, f"dead.test:{port}", bearer(c.mint("dead.test"))))[0] == 503
    finally:
        await c.remove("dead.yaml")
