"""The assertion that tells an upstream who is signed in; on a real Envoy."""

from collections.abc import AsyncIterator

import jwt
import pytest
import pytest_asyncio

from ingress_controller import session
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP, OPEN, PLAIN, WILD = "app.test", "open.test", "plain.test", "a.wild.test"
HEADER = "x-pomerium-jwt-assertion"
TOLD = {"pass_identity_headers": "true"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        objects = documents(
            CLASS,
            make_web(web.port),
            make_ingress("app", APP, SIGNED_IN | TOLD),
            make_ingress("open", OPEN, PUBLIC | TOLD),
            make_ingress("wild", "*.wild.test", SIGNED_IN | TOLD),
            make_ingress("quiet", APP, SIGNED_IN, paths=[("/quiet", "Prefix", "web:80")]),
            make_ingress("plain", PLAIN, PUBLIC),
            make_ingress("made", "made.test", PUBLIC | {"set_request_headers": "X-Who: Bearer ${pomerium.jwt}"}),
        )
        async with running({"all.yaml": objects}) as c:
            yield c


@pytest.mark.parametrize("host", [APP, OPEN, WILD])
async def test_assertion_says_who_and_for_whom(c: Running, host: str) -> None:
    async with c.connect(host) as connection:
        for written in (host, host.upper(), f"{host}:1"):
            cookie = ("cookie", f"{COOKIE}={c.mint(host, 'Ann@example.com', groups=('admins',))}")
            (assertion,) = (await connection.get(written, "/", [cookie])).echo.values(HEADER)
            keys = jwt.PyJWKSet.from_json(session.jwks([session.signing_key(c.settings.data_dir)]))
            claims = jwt.decode(assertion, keys.keys[0], ["ES256"], audience=host, issuer=host)
            assert (claims["email"], claims["sub"], claims["groups"]) == (
                "ann@example.com",
                "ann@example.com",
                ["admins"],
            )


async def test_assertion_as_a_variable(c: Running) -> None:
    (value,) = (await c.get("made.test", session=c.mint("made.test"))).echo.values("x-who")
    assert jwt.decode(value.removeprefix("Bearer "), options={"verify_signature": False})["aud"] == "made.test"


async def test_assertion_is_only_where_an_annotation_asks_for_it(c: Running) -> None:
    for host, path in ((APP, "/quiet"), (PLAIN, "/")):
        assert HEADER not in (await c.get(host, path, session=c.mint(host))).echo.names()


async def test_assertion_is_not_for_another_host(c: Running) -> None:
    """A public route lets a session of another host pass, but must not hand its assertion to the upstream."""
    for token in (c.mint(APP), c.mint("b.wild.test"), "x"):
        assert HEADER not in (await c.get(OPEN, session=token)).echo.names()
        assert (await c.get("made.test", session=token)).echo.values("x-who") == ["Bearer"]


async def test_attack_02_assertion_of_a_client_is_never_sent_on(c: Running) -> None:
    forged = [(HEADER, "forged"), (HEADER.upper(), "forged"), ("X.Pomerium.Jwt-Assertion", "forged")]
    for host in (APP, OPEN, PLAIN, WILD):
        token = c.mint(host)
        for headers in (forged, [*forged, ("cookie", f"{COOKIE}={token}")]):
            answer = await c.get(host, headers=headers)
            if answer.status == 200:
                assert "forged" not in repr(answer.echo)
                assert len(answer.echo.values(HEADER)) <= 1


@pytest.mark.parametrize("host", [APP, WILD])
async def test_attack_06_assertion_is_no_session(c: Running, host: str) -> None:
    (assertion,) = (await c.get(host, session=c.mint(host))).echo.values(HEADER)
    assert (await c.get(host, session=assertion)).status == 401
    assert (await c.get(host, headers=[("authorization", f"Bearer Pomerium-{assertion}")])).status == 401
    assert (await c.get(host, headers=[("authorization", f"Bearer {assertion}")])).status == 401
