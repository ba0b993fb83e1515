"""What each kind of client is told: anonymous, signed in, denied; on a real Envoy."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from ingress_controller import session
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_policy, make_web
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "app.test"
BROWSER = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
ISSUER = "https://authenticate.localhost"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        policy = make_policy({"domain": "example.com"}, deny=[{"email": "mallory@example.com"}])
        ingresses = (
            make_ingress("app", APP, policy),
            make_ingress("other", "other.test", SIGNED_IN),
            make_ingress("nobody", "nobody.test", {}),
            make_ingress("public", "public.test", PUBLIC),
        )
        async with running({"all.yaml": documents(CLASS, make_web(web.port), *ingresses)}) as c:
            yield c


def forge(key: ec.EllipticCurvePrivateKey, kid: str, **changed: object) -> str:
    payload = {"iss": ISSUER, "aud": [APP], "sub": "ann", "email": "ann@example.com", "exp": int(time.time()) + 60}
    return jwt.encode(payload | changed, key, "ES256", {"kid": kid})


@pytest.mark.parametrize("path", ["/", "/deep/path?a=1&b=%2Fx%20y&c=%26", "/?redirect_uri=https://evil.test/"])
async def test_anonymous_browser_is_sent_to_sign_in_and_back(c: Running, path: str) -> None:
    answer = await c.get(APP, path, headers=BROWSER)
    assert answer.status == 302
    assert answer.header("location") == f"/.pomerium/sign_in?redirect_uri={path}"
    assert answer.header("cache-control") == "no-store"


async def test_anonymous_head_of_a_browser_is_sent_too(c: Running) -> None:
    answer = await c.get(APP, "/x", headers=BROWSER, method="HEAD")
    assert (answer.status, answer.header("location")) == (302, "/.pomerium/sign_in?redirect_uri=/x")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_anonymous_program_gets_401(c: Running, method: str) -> None:
    answer = await c.get(APP, "/x", headers=[("accept", "application/json")], method=method)
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Bearer realm="pomerium"'
    assert answer.header("content-type") == "application/json"
    if method != "HEAD":
        assert answer.json["reason"] == "login required"
        assert answer.json["session"] == "Jwt is missing"


async def test_anonymous_post_of_a_browser_is_not_redirected(c: Running) -> None:
    assert (await c.get(APP, "/x", headers=BROWSER, method="POST")).status == 401


async def test_anonymous_grpc_gets_a_grpc_status(c: Running) -> None:
    request = [(":method", "POST"), (":scheme", "https"), (":authority", APP), (":path", "/pkg.Service/Call")]
    async with c.connect_http2(APP) as connection:
        answer = await connection.send([*request, ("content-type", "application/grpc"), ("te", "trailers")])
    assert (answer.status, answer.header("grpc-status")) == (200, "16")


async def test_denied_program_gets_the_rule(c: Running) -> None:
    answer = await c.get(APP, "/x", session=c.mint(APP, "mallory@example.com"))
    assert (answer.status, answer.header("content-type")) == (403, "application/json")
    assert "deny:" in answer.json["reason"]


async def test_denied_browser_gets_a_page(c: Running) -> None:
    answer = await c.get(APP, "/x", session=c.mint(APP, "eve@elsewhere.test"), headers=BROWSER)
    assert (answer.status, answer.header("content-type")) == (403, "text/html; charset=utf-8")
    assert "default_deny" in answer.text


async def test_denied_grpc_gets_a_grpc_status(c: Running) -> None:
    request = [(":method", "POST"), (":scheme", "https"), (":authority", "nobody.test"), (":path", "/pkg.Service/Call")]
    async with c.connect_http2("nobody.test") as connection:
        answer = await connection.send([*request, ("content-type", "application/grpc"), ("te", "trailers")])
    assert (answer.status, answer.header("grpc-status")) == (200, "7")


async def test_no_answer_shows_who_is_asking(c: Running) -> None:
    user = c.mint(APP, "eve@elsewhere.test", groups=("secret-group",))
    for headers in ([], BROWSER):
        for answer in (
            await c.get(APP, "/x", session=user, headers=headers),
            await c.get("other.test", "/x", session=user, headers=headers),
        ):
            shown = answer.text + repr(answer.headers)
            assert "elsewhere" not in shown
            assert "secret-group" not in shown


async def test_without_a_policy_nobody_is_admitted(c: Running) -> None:
    for headers in ([], BROWSER):
        assert (await c.get("nobody.test", session=c.mint("nobody.test"), headers=headers)).status == 403
        assert (await c.get("nobody.test", headers=headers)).status == 403


async def test_public_route_does_not_ask(c: Running) -> None:
    assert (await c.get("public.test", headers=BROWSER)).echo.target == "/"
    assert (await c.get("public.test", session="nonsense")).echo.target == "/"


async def test_session_in_cookie_or_bearer(c: Running) -> None:
    token = c.mint(APP)
    assert (await c.get(APP, session=token)).status == 200
    assert (await c.get(APP, headers=[("authorization", f"Bearer Pomerium-{token}")])).status == 200
    # The scheme of Pomerium's clients, and no other.
    for other in (f"Bearer {token}", f"Pomerium {token}", f"Bearer pomerium-{token}"):
        assert (await c.get(APP, headers=[("authorization", other)])).status == 401


async def test_session_is_admitted_over_http2(c: Running) -> None:
    async with c.connect_http2(APP) as connection:
        assert (await connection.get(APP, "/", [("cookie", f"__Host-pomerium={c.mint(APP)}")])).echo.target == "/"
        assert (await connection.get(APP)).status == 401


async def test_session_of_another_host_is_none(c: Running) -> None:
    answer = await c.get("other.test", session=c.mint(APP))
    assert answer.status == 401
    assert (await c.get("other.test", session=c.mint(APP), headers=BROWSER)).status == 302
    assert (await c.get("other.test", session=c.mint("other.test"))).status == 200


async def test_expired_session_is_none(c: Running) -> None:
    old = c.mint(APP, age=timedelta(hours=2))
    answer = await c.get(APP, session=old)
    assert (answer.status, answer.json["session"]) == (401, "Jwt is expired")
    assert (await c.get(APP, session=old, headers=BROWSER)).status == 302


async def test_session_must_be_signed_by_the_key(c: Running) -> None:
    own = session.signing_key(c.settings.data_dir)
    assert (await c.get(APP, session=forge(own.private, own.kid))).status == 200
    strangers = forge(ec.generate_private_key(ec.SECP256R1()), own.kid)
    assert (await c.get(APP, session=strangers)).status == 401
    good = c.mint(APP)
    head, payload, signature = good.split(".")
    for broken in (f"{head}.{payload}.", f"{head}.{payload}.{signature[:-8]}AAAAAAAA", f"{head}.{payload}", good[:-40]):
        assert (await c.get(APP, session=broken)).status == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://elsewhere.test"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"exp": None},
        {"aud": APP},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"nbf": int(time.time()) + 3600},
    ],
    ids=str,
)
async def test_session_must_be_whole(c: Running, changed: dict[str, object]) -> None:
    own = session.signing_key(c.settings.data_dir)
    payload = {"iss": ISSUER, "aud": [APP], "sub": "ann", "email": "ann@example.com", "exp": int(time.time()) + 60}
    kept = {name: value for name, value in (payload | changed).items() if value is not None}
    token = jwt.encode(kept, own.private, "ES256", {"kid": own.kid})
    assert (await c.get(APP, session=token)).status == 401


async def test_own_paths_are_reserved(c: Running) -> None:
    for host in (APP, "public.test", "nobody.test"):
        answer = await c.get(host, "/.pomerium/sign_in?redirect_uri=/")
        assert (answer.status, answer.text) == (503, "503 sign-in-unavailable\n")
