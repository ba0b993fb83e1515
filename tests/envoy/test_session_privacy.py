"""What the upstream gets to see: never the session, never identity headers that a client wrote; on a real Envoy."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP, OPEN, WILD, REGEX = "app.test", "open.test", "a.wild.test", "regex.test"
HOSTS = [APP, OPEN, WILD, REGEX]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        ingresses = (
            make_ingress("app", APP, SIGNED_IN),
            make_ingress("open", OPEN, PUBLIC),
            make_ingress("wild", "*.wild.test", SIGNED_IN),
            make_ingress(
                "regex",
                REGEX,
                SIGNED_IN | {"path_regex": "true"},
                paths=[("^/.*$", "ImplementationSpecific", "web:80")],
            ),
        )
        async with running({"all.yaml": documents(CLASS, make_web(web.port), *ingresses)}) as c:
            yield c


def quoted(cookie: str) -> str:
    name, _, value = cookie.partition("=")
    return f'{name}="{value}"'


Cookies = dict[str, tuple[Callable[[str], list[str]], list[str]]]
LINES: Cookies = {
    "only": (lambda s: [s], []),
    "first": (lambda s: [f"{s}; a=1; b=2"], ["a=1", "b=2"]),
    "middle": (lambda s: [f"a=1; {s}; b=2"], ["a=1", "b=2"]),
    "last": (lambda s: [f"a=1; b=2; {s}"], ["a=1", "b=2"]),
    "twice": (lambda s: [f"{s}; a=1; {s}; b=2"], ["a=1", "b=2"]),
    "twice in a row": (lambda s: [f"a=1; {s}; {s}; b=2"], ["a=1", "b=2"]),
    "quoted": (lambda s: [f"a=1; {quoted(s)}; b=2"], ["a=1", "b=2"]),
    "before a final semicolon": (lambda s: [f"a=1; {s};"], ["a=1"]),
    "before many": (
        lambda s: [f"{s}; " + "; ".join(f"c{n}={'x' * 70}" for n in range(90))],
        [f"c{n}={'x' * 70}" for n in range(90)],
    ),
    "without spaces": (lambda s: [f"a=1;{s};b=2"], ["a=1", "b=2"]),
    "with odd spaces": (lambda s: [f"a=1;  {s}  ;\tb=2"], ["a=1", "b=2"]),
    "two lines": (lambda s: [s, "a=1"], ["a=1"]),
    "two lines, last": (lambda s: ["a=1", s], ["a=1"]),
    "two lines, both": (lambda s: [f"{s}; a=1", f"b=2; {s}"], ["a=1", "b=2"]),
    "similar names": (
        lambda s: [f"x{COOKIE}=1; {s}; {COOKIE}2=2; my{COOKIE}=3"],
        [f"x{COOKIE}=1", f"{COOKIE}2=2", f"my{COOKIE}=3"],
    ),
    "none": (lambda _: ["a=1"], ["a=1"]),
}


def split(lines: list[str]) -> list[str]:
    return [cookie.strip() for line in lines for cookie in line.replace(",", ";").split(";")]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("case", LINES)
async def test_session_cookie_stays_here_and_others_go_on(c: Running, host: str, case: str) -> None:
    make, kept = LINES[case]
    token = c.mint(host)
    headers = [("cookie", line) for line in make(f"{COOKIE}={token}")]
    if case == "none":
        headers.append(("authorization", f"Bearer Pomerium-{token}"))
    echo = (await c.get(host, headers=headers)).echo
    assert split(echo.values("cookie")) == kept
    assert token not in repr(echo)


@pytest.mark.parametrize("host", HOSTS)
async def test_session_cookie_among_http2_crumbs(c: Running, host: str) -> None:
    token = c.mint(host)
    crumbs = [("cookie", "a=1"), ("cookie", f"{COOKIE}={token}"), ("cookie", "b=2")]
    async with c.connect_http2(host) as connection:
        echo = (await connection.get(host, "/", crumbs)).echo
    assert split(echo.values("cookie")) == ["a=1", "b=2"]
    assert token not in repr(echo)


@pytest.mark.parametrize("host", HOSTS)
async def test_bearer_session_stays_here(c: Running, host: str) -> None:
    token = c.mint(host)
    echo = (await c.get(host, headers=[("authorization", f"Bearer Pomerium-{token}")])).echo
    assert token not in repr(echo)


async def test_credentials_of_the_application_go_on(c: Running) -> None:
    echo = (await c.get(APP, session=c.mint(APP), headers=[("authorization", "Basic YTpi")])).echo
    assert echo.values("authorization") == ["Basic YTpi"]
    echo = (await c.get(OPEN, headers=[("authorization", "Bearer own-token")])).echo
    assert echo.values("authorization") == ["Bearer own-token"]


async def test_bearer_and_cookie_at_once_both_stay_here(c: Running) -> None:
    token = c.mint(APP)
    headers = [("authorization", f"Bearer Pomerium-{token}"), ("cookie", f"a=1; {COOKIE}={token}")]
    echo = (await c.get(APP, headers=headers)).echo
    assert token not in repr(echo)
    assert echo.values("cookie") == ["a=1"]


async def test_cookies_too_long_to_be_sorted_out_are_dropped_rather_than_sent_with_the_session(c: Running) -> None:
    token = c.mint(APP)
    echo = (await c.get(APP, headers=[("cookie", f"a={'x' * 9000}; {COOKIE}={token}; b=1")])).echo
    assert token not in repr(echo)


async def test_session_that_is_no_good_stays_here_as_well(c: Running) -> None:
    token = c.mint("elsewhere.test")
    for headers in ([("cookie", f"{COOKIE}={token}")], [("cookie", f"{COOKIE}=junk; a=1")]):
        echo = (await c.get(OPEN, headers=headers)).echo
        assert COOKIE not in repr(echo)


@pytest.mark.parametrize("line", ["a=1;\t{}; b=2", "a=1,{}", "a=1;;{}", "{},b=2", "a=1, {} ;"])
async def test_session_cookie_stays_here_where_envoy_does_not_find_it(c: Running, line: str) -> None:
    token = c.mint(OPEN)
    echo = (await c.get(OPEN, headers=[("cookie", line.format(f"{COOKIE}={token}"))])).echo
    assert COOKIE not in repr(echo)
    assert token not in repr(echo)


IDENTITY = ["x-pomerium-jwt-assertion", "X-Pomerium-Claim-Email", "x-pomerium-", "Impersonate-User",
            "impersonate-group", "Impersonate-Uid", "Impersonate-Extra-scopes"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_identity_headers_of_a_client_are_removed(c: Running, host: str) -> None:
    headers = [(name, "admin@example.com") for name in IDENTITY]
    echo = (await c.get(host, session=c.mint(host), headers=headers)).echo
    assert not [name for name in echo.names() if name.startswith(("x-pomerium", "impersonate"))]
    assert "admin@example.com" not in repr(echo)


@pytest.mark.parametrize("host", HOSTS)
async def test_internal_headers_do_not_reach_the_upstream(c: Running, host: str) -> None:
    session = c.mint(host)
    async with c.connect(host) as connection:
        for written in (host, host.upper(), f"{host}:{c.settings.https_address.port}", f"{host}."):
            headers = [("cookie", f"{COOKIE}={session}"), ("x-host-scope", "elsewhere.test")]
            echo = (await connection.get(written, "/", headers)).echo
            assert "x-host-scope" not in echo.names()
