"""Which host answers, however it is written; on a real Envoy."""

import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients import NO_NAME
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_certificate, make_ingress, make_secret, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP, WILD, EXACT = "app.test", "a.wild.test", "exact.wild.test"
SET = "set_request_headers"


def named(name: str, annotations: dict[str, str]) -> dict[str, str]:
    """Annotations of an Ingress whose requests can be recognised at the upstream."""
    return annotations | {SET: f"x-ingress: {name}"}


def make_hosts(port: int) -> str:
    return documents(
        CLASS,
        make_web(port),
        make_ingress("app", APP, named("app", SIGNED_IN)),
        make_ingress("wild", "*.wild.test", named("wild", SIGNED_IN)),
        make_ingress("open", "*.open.test", named("open", PUBLIC)),
        make_ingress("single", "single", named("single", PUBLIC)),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web, running({"hosts.yaml": make_hosts(web.port)}) as c:
        yield c


FORMS = {
    "as it is": "{host}",
    "upper case": "{upper}",
    "mixed case": "{title}",
    "trailing dot": "{host}.",
    "port": "{host}:{port}",
    "dot and port": "{host}.:{port}",
    "other port": "{host}:1234",
    "everything": "{title}.:1234",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("host", "served"), [(APP, "app"), (WILD, "wild")])
@pytest.mark.parametrize("version", [1, 2])
async def test_host_is_found_in_any_form(c: Running, host: str, served: str, form: str, version: int) -> None:
    port = c.settings.https_address.port
    written = FORMS[form].format(host=host, upper=host.upper(), title=host.title(), port=port)
    cookie = [("cookie", f"{COOKIE}={c.mint(host)}")]
    async with c.connect(host) if version == 1 else c.connect_http2(host) as connection:
        echo = (await connection.get(written, "/x?y=1", cookie)).echo
        assert echo.values("x-ingress") == [served]
        assert echo.values("x-forwarded-host") == [host]
        assert echo.target == "/x?y=1"
        # The policy, too, is asked about the host in its usual form.
        assert (await connection.get(written)).status == 401
        stranger = [("cookie", f"{COOKIE}={c.mint('b.wild.test')}")]
        assert (await connection.get(written, headers=stranger)).status == 401


async def test_wildcard_stands_for_one_label(c: Running) -> None:
    async with c.connect(WILD) as connection:
        for host in ("wild.test", "x.a.wild.test", ".wild.test", "user@a.wild.test", "a:b.wild.test"):
            assert (await connection.get(host)).status == 404, host
        # Written literally, it is a host for which there are no sessions.
        wild = [("cookie", f"{COOKIE}={c.mint(WILD)}")]
        assert (await connection.get("*.wild.test", headers=wild)).status == 401
        assert (await connection.get("A-b_1.open.test")).echo.values("x-ingress") == ["open"]


async def test_host_of_its_own_never_falls_back_to_the_wildcard_or_the_catch_all(c: Running) -> None:
    below = make_ingress("below", "below.open.test", named("below", PUBLIC), paths=[("/only", "Exact", "web:80")])
    anybody = make_ingress("anybody", "", named("anybody", PUBLIC) | {"subtle_allow_empty_host": "true"})
    await c.edit({"below.yaml": below, "anybody.yaml": anybody})
    try:
        async with c.connect("below.open.test") as connection:
            for host in ("below.open.test", "BELOW.open.test", "below.open.test:99"):
                assert (await connection.get(host, "/only")).echo.values("x-ingress") == ["below"], host
                answer = await connection.get(host, "/other")
                assert (answer.status, answer.json) == (404, {"status": 404, "reason": "no such route"}), host
    finally:
        await c.remove("below.yaml", "anybody.yaml")


async def test_host_whose_only_path_cannot_be_read_is_not_served_by_the_wildcard(c: Running) -> None:
    bad = make_ingress("bad", "bad.open.test", SIGNED_IN, paths=[("/a//b", "Prefix", "web:80")])
    assert (await c.get("bad.open.test")).echo.values("x-ingress") == ["open"]
    await c.write("bad.yaml", bad)
    try:
        assert (await c.get("bad.open.test")).status == 404
    finally:
        await c.remove("bad.yaml")


async def test_session_of_one_host_is_none_for_another_under_the_wildcard(c: Running) -> None:
    assert (await c.get("a.wild.test", session=c.mint("a.wild.test"))).status == 200
    assert (await c.get("b.wild.test", session=c.mint("a.wild.test"))).status == 401
    assert (await c.get("a.wild.test", session=c.mint("wild.test"))).status == 401


async def test_name_of_one_label(c: Running) -> None:
    assert (await c.get("single")).echo.values("x-ingress") == ["single"]
    async with c.connect("single") as connection:
        assert (await connection.get("SINGLE:99")).echo.values("x-ingress") == ["single"]
        assert (await connection.get("other")).status == 404


async def test_unknown_host_is_404_and_its_handshake_refused(c: Running) -> None:
    async with c.connect(APP) as connection:
        answer = await connection.get("unknown.test")
        assert (answer.status, answer.json) == (404, {"status": 404, "reason": "no such route"})
        assert (await connection.get(APP)).status == 401
    for name in ("unknown.test", "x.app.test", "wild.test"):
        with pytest.raises(ssl.SSLError):
            await c.get(name)


async def test_client_without_server_name_gets_the_bootstrap_certificate(c: Running) -> None:
    async with c.connect(NO_NAME) as connection:
        assert connection.certificate == await c.certificate(APP)
        assert (await connection.get(APP, headers=[("cookie", f"{COOKIE}={c.mint(APP)}")])).status == 200


async def test_exact_host_under_a_wildcard_has_its_own_route_and_certificate(c: Running) -> None:
    wild, exact = make_certificate("*.wild.test"), make_certificate(EXACT)
    secrets = documents(make_secret("wild", *wild), make_secret("exact", *exact))
    tls = {"wild": ["*.wild.test"]}
    await c.edit(
        {
            "secrets.yaml": secrets,
            "hosts.yaml": (c.manifests / "hosts.yaml").read_text()
            + documents(
                "\n", make_ingress("wild-tls", "*.wild.test", PUBLIC, paths=[("/t", "Exact", "web:80")], tls=tls)
            ),
        }
    )
    wildcard_der, exact_der = (ssl.PEM_cert_to_DER_cert(pair[0].decode()) for pair in (wild, exact))
    assert await c.certificate(EXACT) == await c.certificate(WILD) == wildcard_der
    async with c.connect(APP) as ordinary, c.connect_http2(WILD) as sibling, c.connect(EXACT) as before:
        for connection in (ordinary, sibling, before):
            assert (await connection.get(APP)).status == 401
        session = [("cookie", f"{COOKIE}={c.mint(EXACT)}")]
        assert (await before.get(EXACT, headers=session)).echo.values("x-ingress") == ["wild"]

        await c.write("exact.yaml", make_ingress("exact", EXACT, named("exact", SIGNED_IN), tls={"exact": [EXACT]}))
        assert await c.certificate(EXACT) == exact_der
        assert await c.certificate(WILD) == wildcard_der
        assert (await c.get(EXACT, headers=session)).echo.values("x-ingress") == ["exact"]
        for connection in (ordinary, sibling, before):
            assert (await connection.get(EXACT, headers=session)).echo.values("x-ingress") == ["exact"]
            assert (await connection.get(EXACT.upper(), headers=session)).echo.values("x-ingress") == ["exact"]
        async with c.connect(EXACT) as own:
            assert (await own.get(EXACT)).status == 401

            await c.remove("exact.yaml")
            assert await c.certificate(EXACT) == wildcard_der
            for connection in (ordinary, sibling, before):
                assert (await connection.get(EXACT, headers=session)).echo.values("x-ingress") == ["wild"]


async def test_wildcard_arrives_above_hosts_that_were_there_before(c: Running) -> None:
    pair = make_certificate("a.late.test")
    later = make_ingress("a-late", "a.late.test", named("a-late", PUBLIC), tls={"late": ["a.late.test"]})
    await c.write("late.yaml", documents(make_secret("late", *pair), later))
    own = ssl.PEM_cert_to_DER_cert(pair[0].decode())
    async with c.connect("a.late.test") as before:
        assert before.certificate == own
        for _ in range(2):
            await c.write("wild-late.yaml", make_ingress("wild-late", "*.late.test", named("wild-late", PUBLIC)))
            assert await c.certificate("a.late.test") == own
            assert await c.certificate("b.late.test") != own
            assert (await c.get("b.late.test")).echo.values("x-ingress") == ["wild-late"]
            assert (await c.get("a.late.test")).echo.values("x-ingress") == ["a-late"]
            await c.remove("wild-late.yaml")
            assert await c.certificate("a.late.test") == own
            with pytest.raises(ssl.SSLError):
                await c.certificate("b.late.test")
    await c.remove("late.yaml")


async def test_catch_all_serves_what_nothing_else_claims(c: Running) -> None:
    every = make_ingress("every", "", named("every", SIGNED_IN) | {"subtle_allow_empty_host": "true"})
    async with c.connect(APP) as before:
        assert (await before.get("unclaimed.test")).status == 404
        await c.write("every.yaml", every)
        for host in ("unclaimed.test", "x.y.z.test", "x.a.wild.test", "localhost"):
            session = c.mint(host)
            assert (await c.get(host, session=session)).echo.values("x-ingress") == ["every"]
            assert (await c.get(host)).status == 401
            assert (await c.get(host, session=c.mint("else.test"))).status == 401
            cookie = [("cookie", f"{COOKIE}={session}")]
            for written in (host.upper(), f"{host}:99", f"{host}."):
                assert (await before.get(written, headers=cookie)).echo.values("x-ingress") == ["every"]
        async with c.connect("unclaimed.test") as connection:
            assert (await connection.get("A.WILD.test", headers=[("cookie", f"{COOKIE}={c.mint(WILD)}")])).echo.values(
                "x-ingress"
            ) == ["wild"]
        assert (await c.get(APP, session=c.mint(APP))).echo.values("x-ingress") == ["app"]
        await c.remove("every.yaml")
        assert (await before.get("unclaimed.test")).status == 404
        with pytest.raises(ssl.SSLError):
            await c.get("unclaimed.test")
