"""What annotations make of host, path and headers on the way to the upstream and back; on a real Envoy."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients import Headers
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_web
from tests.running import Running, running
from tests.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "app.test"
COMMANDS = [
    "%REQ(cookie)%",
    "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:session)%",
    "%ENVIRONMENT(HOME)%",
    "%SECRET(0)%",
    "%CEL(request.headers)%",
    "100%",
    "%",
    "%%",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Upstream]:
    async with upstream() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(web: Upstream) -> AsyncIterator[Running]:
    async with running({"web.yaml": documents(CLASS, make_web(web.port))}) as c:
        yield c


async def annotate(c: Running, access: dict[str, str] = PUBLIC, **annotations: str) -> None:
    await c.write("a.yaml", make_ingress("a", APP, access | annotations))
    assert c.said_of("a")[-1] == "Normal Updated updated pomerium configuration"


@pytest.fixture
def says(web: Upstream) -> list[tuple[str, str]]:
    """The headers of the upstream's responses."""
    web.says.clear()
    return web.says


# --- Host.


async def test_host_rewrite(c: Running) -> None:
    await annotate(c, host_rewrite="legacy.example.com:8080")
    echo = (await c.get(APP)).echo
    assert (echo.values("host"), echo.values("x-forwarded-host")) == (["legacy.example.com:8080"], [APP])


async def test_host_rewrite_header(c: Running) -> None:
    await annotate(c, host_rewrite_header="X-Upstream-Host")
    echo = (await c.get(APP, headers=[("x-upstream-host", "asked.example.com")])).echo
    assert (echo.values("host"), echo.values("x-forwarded-host")) == (["asked.example.com"], [APP])
    assert (await c.get(APP)).echo.values("host") == [APP]


async def test_host_path_regex_rewrite(c: Running) -> None:
    await annotate(c, host_path_regex_rewrite_pattern="^/([a-z]+)/.*$", host_path_regex_rewrite_substitution=r"\1.up")
    echo = (await c.get(APP, "/wiki/page?x=/other/")).echo
    assert (echo.values("host"), echo.target, echo.values("x-forwarded-host")) == (
        ["wiki.up"],
        "/wiki/page?x=/other/",
        [APP],
    )
    # As the reference page says.
    assert (await c.get(APP, "/WIKI")).echo.values("host") == ["/WIKI"]


# --- Path.


@pytest.mark.parametrize(
    ("pattern", "substitution", "sent"),
    [
        (r"^/service/([^/]+)(/.*)$", r"\2/instance/\1", {"/service/foo/v1?q=/service/": "/v1/instance/foo?q=/service/",
                                                         "/other": "/other"}),
        ("/old/", "/new/", {"/old/x/old/y": "/new/x/new/y"}),
        (r"/a\.b", "/100%/%41", {"/a.b/c": "/100%/%41/c", "/axb": "/axb"}),
        ("^/", r"/\\1/", {"/x": "/\\1/x"}),
    ],
)  # fmt: skip
async def test_regex_rewrite(c: Running, pattern: str, substitution: str, sent: dict[str, str]) -> None:
    await annotate(c, regex_rewrite_pattern=pattern, regex_rewrite_substitution=substitution)
    assert {target: (await c.get(APP, target)).echo.target for target in sent} == sent


# --- Request headers.


def setting(**values: str) -> str:
    return json.dumps({name.replace("_", "-"): value for name, value in values.items()})


@pytest.mark.parametrize("text", COMMANDS)
async def test_percent_is_literal_in_every_header(c: Running, says: list[tuple[str, str]], text: str) -> None:
    rewrite = json.dumps([{"header": "x-rewritten", "prefix": "old", "value": text}])
    says.append(("x-rewritten", "old"))
    await annotate(
        c,
        set_request_headers=setting(x_one=f"a {text}", x_two=f'{text} ${{pomerium.request.headers["x-client"]}}'),
        set_response_headers=setting(x_answer=text),
        rewrite_response_headers=rewrite,
    )
    answer = await c.get(APP, headers=[("cookie", "a=1"), ("x-client", text)])
    assert answer.echo.values("x-one") == [f"a {text}"]
    assert answer.echo.values("x-two") == [f"{text} {text}"]
    assert (answer.header("x-answer"), answer.header("x-rewritten")) == (text, text)


VALUES: list[tuple[str, Headers, str]] = [
    ('Bearer ${pomerium.request.headers["X-Token"]}', [("x-token", "t")], "Bearer t"),
    ("Bearer $pomerium.request.headers.X-Token", [("x-token", "t")], "Bearer t"),
    ('<${pomerium.request.headers["X-Token"]}>', [], "<>"),
    ('${ pomerium . request . headers [ "x-token" ] }', [("x-token", "")], ""),
    ("$$x ${HOME} $x $ ${} {pomerium.jwt}", [], "$x ${HOME} $x $ ${} {pomerium.jwt}"),
    ("<${pomerium.client_cert_fingerprint}>", [], "<>"),
    ("<${pomerium.jwt}>", [], "<>"),
]


@pytest.mark.parametrize(("value", "headers", "sent"), VALUES)
async def test_variables_of_request_headers(c: Running, value: str, headers: Headers, sent: str) -> None:
    await annotate(c, set_request_headers=setting(x_made=value))
    # What the client sends under that name never stays, even where a variable is empty.
    assert (await c.get(APP, headers=[*headers, ("x-made", "mine")])).echo.values("x-made") == [sent]


async def test_variable_is_the_header_as_the_client_sent_it(c: Running) -> None:
    value = '${pomerium.request.headers["X-Token"]}'
    await annotate(
        c,
        set_request_headers=json.dumps({"X-Token": "set", "Authorization": f"Bearer {value}", "X-First": value}),
        remove_request_headers='["X-Gone"]',
    )
    lines = [("x-token", "one"), ("x-token", "two"), ("x-gone", "g"), ("authorization", "Basic x")]
    echo = (await c.get(APP, headers=lines)).echo
    assert echo.values("x-token") == ["set"]
    assert echo.values("authorization") == ["Bearer one"]
    assert echo.values("x-first") == ["one"]
    await annotate(c, set_request_headers=setting(x_new=value), remove_request_headers='["X-Token"]')
    echo = (await c.get(APP, headers=lines)).echo
    assert (echo.values("x-new"), echo.values("x-token")) == (["one"], [])


async def test_variable_does_not_hand_on_a_session(c: Running) -> None:
    value = '${pomerium.request.headers["Authorization"]}'
    await annotate(c, SIGNED_IN, set_request_headers=setting(x_copy=f"<{value}>"))
    token = c.mint(APP)
    echo = (await c.get(APP, headers=[("authorization", f"Bearer Pomerium-{token}")])).echo
    assert token not in repr(echo)
    assert echo.values("x-copy") == ["<>"]


# --- Response headers.


async def test_set_response_headers(c: Running, says: list[tuple[str, str]]) -> None:
    says += [("Cache-Control", "public"), ("X-Upstream", "1")]
    await annotate(c, SIGNED_IN, set_response_headers="{Cache-Control: no-store, X-Frame-Options: DENY}")
    answer = await c.get(APP, session=c.mint(APP))
    found = {name: value for name, value in answer.headers if name.startswith(("cache", "x-frame", "x-xss", "x-up"))}
    assert found == {
        "cache-control": "no-store",
        "x-frame-options": "DENY",
        "x-xss-protection": "1; mode=block",
        "x-upstream": "1",
    }


async def test_default_response_headers(c: Running, says: list[tuple[str, str]]) -> None:
    await annotate(c)
    answer = await c.get(APP)
    assert (answer.header("x-frame-options"), answer.header("x-xss-protection")) == ("SAMEORIGIN", "1; mode=block")
    says.append(("X-Frame-Options", "ALLOW-FROM https://a.test"))
    answer = await c.get(APP)
    assert [value for name, value in answer.headers if name == "x-frame-options"] == ["ALLOW-FROM https://a.test"]
    await c.edit(
        {
            "a.yaml": make_ingress("a", APP, PUBLIC | {"set_response_headers": "disable: true"}),
            "b.yaml": make_ingress("b", APP, paths=[("/b", "Prefix", "web:80")]),
        }
    )
    says.clear()
    names = {name for name, _ in (await c.get(APP)).headers}
    assert not names & {"x-frame-options", "x-xss-protection", "disable"}
    assert (await c.get(APP, "/b")).header("x-frame-options") == "SAMEORIGIN"
    await c.remove("b.yaml")


async def test_answers_of_envoy_itself_are_not_changed(c: Running) -> None:
    rewrite = json.dumps([{"header": "location", "prefix": "/.pomerium/sign_in", "value": "https://evil.test/"}])
    await annotate(
        c,
        SIGNED_IN,
        set_response_headers="{Cache-Control: public, X-Own: own, Location: /own}",
        rewrite_response_headers='[{"header": "www-authenticate", "prefix": "Bearer", "value": "Basic"}]',
    )
    answer = await c.get(APP, headers=[("accept", "text/html")])
    assert (answer.status, answer.header("location")) == (302, "/.pomerium/sign_in?redirect_uri=/")
    assert (answer.header("cache-control"), answer.header("x-own")) == ("no-store", None)
    assert (await c.get(APP)).header("www-authenticate") == 'Bearer realm="pomerium"'
    await annotate(c, SIGNED_IN, rewrite_response_headers=rewrite)
    answer = await c.get(APP, headers=[("accept", "text/html")])
    assert answer.header("location") == "/.pomerium/sign_in?redirect_uri=/"


RULES = [
    {"header": "Location", "prefix": "http://internal/two/", "value": "https://app.test/one/"},
    {"header": "location", "prefix": "http://internal/", "value": "https://app.test/"},
    {"header": "Set-Cookie", "prefix": "old", "value": "new"},
    {"header": "X-Empty", "prefix": "all", "value": ""},
    {"header": "X-Magic", "prefix": ".*%a(", "value": "%1\\0$1"},
]
REWRITTEN = {
    "first fits": ([("Location", "http://internal/two/x")], [("location", "https://app.test/one/x")]),
    "second fits": ([("Location", "http://internal/three")], [("location", "https://app.test/three")]),
    "not at the beginning": ([("Location", "/to?http://internal/")], [("location", "/to?http://internal/")]),
    "case of the value counts": ([("Location", "HTTP://internal/")], [("location", "HTTP://internal/")]),
    "absent": ([], []),
    "several": (
        [("Set-Cookie", "old=1"), ("Set-Cookie", "b=2"), ("Set-Cookie", "older=3; Path=/, x")],
        [("set-cookie", "new=1"), ("set-cookie", "b=2"), ("set-cookie", "newer=3; Path=/, x")],
    ),
    "nothing left": ([("X-Empty", "all")], [("x-empty", "")]),
    "text and no pattern": ([("X-Magic", ".*%a(b"), ("X-Magic", "a")], [("x-magic", "%1\\0$1b"), ("x-magic", "a")]),
}


@pytest.mark.parametrize("case", REWRITTEN)
@pytest.mark.parametrize("version", [1, 2])
async def test_rewrite_response_headers(c: Running, says: list[tuple[str, str]], case: str, version: int) -> None:
    said, expected = REWRITTEN[case]
    says += said
    await annotate(c, rewrite_response_headers=json.dumps(RULES))
    names = {rule["header"].lower() for rule in RULES}
    for host in (APP, APP.upper()):
        async with c.connect(APP) if version == 1 else c.connect_http2(APP) as connection:
            answer = await connection.get(host)
        assert [pair for pair in answer.headers if pair[0] in names] == expected
        assert answer.status == 200


async def test_headers_on_a_host_in_another_form(c: Running) -> None:
    """The chain of filters is made before the scope fallback has found the host."""
    await annotate(c, set_request_headers="{X-Own: own}", set_response_headers="{X-Answer: own}")
    async with c.connect(APP) as connection:
        for host in (APP.upper(), f"{APP}:1", f"{APP}."):
            answer = await connection.get(host, headers=[("x-own", "mine")])
            assert (answer.echo.values("x-own"), answer.header("x-answer")) == (["own"], "own")
