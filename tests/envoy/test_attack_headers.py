"""Attacks by headers: aliases, forwarded headers, Connection, several values; on a real Envoy.

Tests of one kind of attack have one number.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients import Headers
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_policy, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP, OPEN, WILD, INSIDE = "app.test", "open.test", "a.wild.test", "inside.test"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Upstream]:
    async with upstream() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(web: Upstream) -> AsyncIterator[Running]:
    mark = {"set_request_headers": "x-from-ingress: genuine"}
    objects = documents(
        CLASS,
        make_web(web.port),
        make_ingress("app", APP, SIGNED_IN | mark),
        make_ingress("open", OPEN, PUBLIC | mark),
        make_ingress("kept", "kept.test", PUBLIC | {"preserve_host_header": "true"}),
        make_ingress("wild", "*.wild.test", SIGNED_IN | mark),
        make_ingress("inside", INSIDE, make_policy({"source_ip": "10.0.0.0/8"})),
        make_ingress("outside", "outside.test", make_policy({"accept": True}, deny=[{"source_ip": "127.0.0.0/8"}])),
        make_ingress("here", "here.test", make_policy({"source_ip": "127.0.0.1"})),
    )
    async with running({"all.yaml": objects}) as c:
        yield c


ALIASES = [
    f"{first}{a}{rest.replace('-', b)}"
    for a in "-_.~*'"
    for b in "-_.+"
    for first, rest in (("X", f"Pomerium{b}jwt-assertion"), ("x", f"pomerium{b}Claim-Email"), ("Impersonate", "User"),
                        ("iMPERSONATE", "Extra-scopes"), ("impersonate", "uid"))
]  # fmt: skip


@pytest.mark.parametrize("host", [APP, OPEN, WILD])
@pytest.mark.parametrize("version", [1, 2])
async def test_attack_02_aliases_of_identity_headers(c: Running, host: str, version: int) -> None:
    cookie = ("cookie", f"{COOKIE}={c.mint(host)}")
    async with c.connect(host) if version == 1 else c.connect_http2(host) as connection:
        for alias in ALIASES:
            if "_" not in alias:
                name = alias if version == 1 else alias.lower()
                answer = await connection.get(host, "/", [cookie, (name, "admin@example.com")])
                assert "admin@example.com" not in repr(answer.echo), name


@pytest.mark.parametrize(
    "name", ["x_pomerium_claim_email", "X-Pomerium_Jwt-Assertion", "impersonate_user", "any_other"]
)
async def test_attack_02_underscores_are_refused(c: Running, web: Upstream, name: str) -> None:
    web.seen.clear()
    assert (await c.get(OPEN, headers=[(name, "admin@example.com")])).status == 400
    async with c.connect_http2(OPEN) as connection:
        with pytest.raises(ConnectionError, match="reset"):
            await connection.get(OPEN, "/", [(name.lower(), "admin@example.com")])
    assert web.seen == []


SPOOFED = [
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
    ("x-real-ip", "10.0.0.1"),
    ("forwarded", "for=10.0.0.1;host=inside.test;proto=https"),
    ("x-envoy-external-address", "10.0.0.1"),
    ("x-envoy-internal", "true"),
    ("true-client-ip", "10.0.0.1"),
    ("x-client-ip", "10.0.0.1"),
    ("cf-connecting-ip", "10.0.0.1"),
]


@pytest.mark.parametrize("header", SPOOFED, ids=str)
async def test_attack_03_source_address_cannot_be_written(c: Running, header: tuple[str, str]) -> None:
    assert (await c.get(INSIDE, headers=[header])).status == 403
    assert (await c.get("outside.test", headers=[header])).status == 403
    assert (await c.get("here.test", headers=[header])).status == 200


async def test_attack_03_forwarded_headers_tell_the_truth(c: Running) -> None:
    lies = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-port", "666"),
        ("x-forwarded-server", "evil.test"),
        ("x-forwarded-uri", "/evil"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-method", "EVIL"),
        ("x-original-url", "/evil"),
        ("X-Rewrite-URL", "/evil"),
        ("x.original.url", "/evil"),
        ("X.Forwarded.Host", "evil.test"),
        ("forwarded", "for=6.6.6.6;host=evil.test"),
        ("x-forwarded-client-cert", "Hash=evil;Subject=evil"),
        ("x-envoy-external-address", "6.6.6.6"),
        ("x-envoy-original-path", "/evil"),
        ("x-envoy-original-host", "evil.test"),
        ("x-envoy-internal", "true"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-retry-on", "5xx"),
    ]
    for host in (OPEN, "kept.test", OPEN.upper()):
        async with c.connect("open.test") as connection:
            echo = (await connection.get(host, "/", lies)).echo
        assert "evil" not in repr(echo).lower()
        assert echo.values("x-forwarded-proto") == ["https"]
        # What a client claims stays in front; the address that Envoy saw is the last.
        assert echo.values("x-forwarded-for")[-1].split(",")[-1] != "6.6.6.6"
        assert echo.values("x-envoy-external-address") == ["127.0.0.1"]
        assert not {"x-envoy-internal", "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms"} & echo.names()


async def test_attack_03_plain_http_is_not_taken_for_https(c: Running) -> None:
    async with c.connect_plain() as plain:
        for headers in (
            [("x-forwarded-proto", "https")],
            [("x-forwarded-scheme", "https")],
            [("front-end-https", "on")],
        ):
            answer = await plain.get(OPEN, "/", headers)
            assert answer.status == 308


NOMINATED = [
    "x-host-scope",
    "x-from-ingress",
    "x-forwarded-for, x-forwarded-proto, x-forwarded-host",
    "x-request-id",
    "host",
    "x-envoy-external-address",
    "authorization, x-host-scope",
    "close, x-from-ingress",
    "keep-alive, :authority, :path",
    "te, trailer, x-pomerium-jwt-assertion, impersonate-user",
]


@pytest.mark.parametrize("nominated", NOMINATED)
async def test_attack_04_connection_takes_nothing_away(c: Running, nominated: str) -> None:
    for host in (APP, WILD):
        async with c.connect(host) as connection:
            headers = [("connection", nominated), ("x-host-scope", OPEN)]
            anonymous = await connection.get(host, "/", headers)
            assert anonymous.status in {400, 401}
        async with c.connect(host) as connection:
            answer = await connection.get(host, "/", [*headers, ("cookie", f"{COOKIE}={c.mint(host)}")])
        if answer.status != 400:
            assert answer.echo.values("x-from-ingress") == ["genuine"]
            assert answer.echo.values("x-forwarded-proto") == ["https"]
            assert answer.echo.values("x-forwarded-host") == [host]
            assert "x-host-scope" not in answer.echo.names()


async def test_attack_04_connection_cannot_hide_the_session(c: Running) -> None:
    async with c.connect(OPEN) as connection:
        token = c.mint(OPEN)
        echo = (await connection.get(OPEN, "/", [("connection", "cookie"), ("cookie", f"{COOKIE}={token}; a=1")])).echo
    assert token not in repr(echo)


async def test_attack_05_scope_header_has_one_meaning(c: Running) -> None:
    for host in (APP, WILD):
        for headers in (
            [("x-host-scope", OPEN)],
            [("x-host-scope", OPEN), ("x-host-scope", OPEN)],
            [("X-Host-Scope", OPEN), ("x-host-scope", "*.wild.test")],
            [("x-host-scope", f"{OPEN},{APP}")],
            [("x.host.scope", OPEN)],
        ):
            assert (await c.get(host, headers=headers)).status == 401
            answer = await c.get(host, session=c.mint(host), headers=headers)
            assert answer.echo.values("x-host-scope") == []
    async with c.connect_http2(APP) as connection:
        assert (await connection.get(APP, "/", [("x-host-scope", OPEN), ("x-host-scope", OPEN)])).status == 401


def cookies(*tokens: str) -> Headers:
    return [("cookie", "; ".join(f"{COOKIE}={token}" for token in tokens))]


async def test_attack_05_several_sessions_are_not_mixed(c: Running) -> None:
    """One of them counts, whole: the policy never sees the subject of one with the groups of another."""
    policy = {"policy": '{"allow": {"and": [{"email": "ann@example.com"}, {"groups": {"has": "admin"}}]}}'}
    await c.write("mixed.yaml", make_ingress("mixed", "mixed.test", policy))
    ann, root = c.mint("mixed.test", "ann@example.com"), c.mint("mixed.test", "root@example.com", groups=("admin",))
    for first, second in ((ann, root), (root, ann)):
        for headers in (
            cookies(first, second),
            [*cookies(first), *cookies(second)],
            [("authorization", f"Bearer Pomerium-{first}"), *cookies(second)],
            [("authorization", f"Bearer Pomerium-{first}"), ("authorization", f"Bearer Pomerium-{second}")],
        ):
            answer = await c.get("mixed.test", headers=headers)
            assert answer.status in {400, 401, 403}
    await c.remove("mixed.yaml")


async def test_attack_05_several_values_never_make_a_bad_session_good(c: Running) -> None:
    good, bad = c.mint(APP), c.mint("elsewhere.test")
    for headers in (
        [("authorization", "Basic eA=="), ("authorization", "Bearer Pomerium-x")],
        cookies(bad, bad),
        cookies("x", bad),
        [("cookie", f"{COOKIE}={bad}"), ("cookie", f"{COOKIE}={bad}")],
        [("cookie", f"{COOKIE}2={good}")],
        [("cookie", f"x{COOKIE}={good}")],
        [("cookie", f"{COOKIE.lower()}={good}")],
        [("cookie2", f"{COOKIE}={good}")],
        [("authorization", f"Bearer Pomerium-{good} {bad}")],
        [("authorization", f"Bearer Pomerium-{good},Bearer Pomerium-{bad}")],
    ):
        assert (await c.get(APP, headers=headers)).status in {400, 401}


async def test_attack_05_every_session_stays_here(c: Running) -> None:
    tokens = [c.mint(APP), c.mint(APP, "bob@example.com"), c.mint(OPEN)]
    headers = [("authorization", f"Bearer Pomerium-{tokens[0]}"), *cookies(*tokens), *cookies(*reversed(tokens))]
    for host in (APP, OPEN):
        echo = (await c.get(host, headers=headers)).echo
        assert not [token for token in tokens if token in repr(echo)]
