"""Attacks by the request line: path confusion, patterns, authorities, methods, smuggling; on a real Envoy.

Tests of one kind of attack have one number.
"""

import asyncio
import posixpath
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import pytest
import pytest_asyncio

from tests.clients import Answer, Headers
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_policy, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPLIT, POLICY, REGEX, METHOD, OTHER = "split.test", "policy.test", "regex.test", "method.test", "other.test"
ROOT = "root.test"


@dataclass
class World:
    c: Running
    front: Upstream
    admin: Upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with upstream("front") as front, upstream("admin") as admin:
        objects = documents(
            CLASS,
            make_web(front.port, "front"),
            make_web(admin.port, "admin"),
            make_ingress("front", SPLIT, PUBLIC, paths=[("/", "Prefix", "front:80")]),
            make_ingress("admin", SPLIT, SIGNED_IN, paths=[("/admin", "Prefix", "admin:80")]),
            make_ingress(
                "policy",
                POLICY,
                make_policy({"accept": True}, deny=[{"http_path": {"starts_with": "/admin"}}]),
                paths=[("/", "Prefix", "front:80")],
            ),
            make_ingress(
                "root",
                ROOT,
                make_policy({"accept": True}, deny=[{"http_path": "/"}]),
                paths=[("/", "Prefix", "admin:80")],
            ),
            make_ingress("closed", REGEX, SIGNED_IN, paths=[("/", "Prefix", "admin:80")]),
            make_ingress(
                "assets",
                REGEX,
                PUBLIC | {"path_regex": "true"},
                paths=[(r"^/assets/[a-z./]*\.css$", "ImplementationSpecific", "front:80")],
            ),
            make_ingress(
                "method",
                METHOD,
                make_policy({"http_method": {"in": ["GET", "HEAD"]}}),
                paths=[("/", "Prefix", "front:80")],
            ),
            make_ingress("other", OTHER, SIGNED_IN, paths=[("/", "Prefix", "admin:80")]),
        )
        async with running({"all.yaml": objects}) as c:
            yield World(c, front, admin)


@pytest.fixture(autouse=True)
def nothing_reaches_the_admin(world: World) -> Iterator[None]:
    """No request of these tests is allowed to, unless a test empties the list itself."""
    world.admin.seen.clear()
    yield
    assert world.admin.seen == []


async def ask(
    world: World, host: str, target: str, version: int, method: str = "GET", headers: Headers = ()
) -> Answer | None:
    """The answer, or ``None`` where the connection is closed instead."""
    c = world.c
    try:
        async with c.connect(host) if version == 1 else c.connect_http2(host) as connection:
            return await connection.get(host, target, headers, method)
    except (ConnectionError, asyncio.IncompleteReadError):
        return None


def meant(target: str) -> str:
    """The path that a server makes of a request target which decodes it once, as servers do."""
    path = unquote(re.split(r"[?#]", target)[0]).replace("\\", "/")
    return posixpath.normpath(re.sub("/+", "/", path))


async def send(world: World, headers: list[tuple[str, str]]) -> Answer | None:
    """The answer to a request of HTTP/2, or ``None`` where it or its connection is ended instead."""
    try:
        async with world.c.connect_http2(SPLIT) as connection:
            return await connection.send(headers)
    except ConnectionError:
        return None


SPELLINGS = [
    "/admin", "//admin", "///admin", "/./admin", "/x/../admin", "/../admin", "/x/../../admin", "/.//admin",
    "//./admin", "/%61dmin", "/admi%6e/x", "/%2fadmin", "/%2Fadmin", "/x%2f..%2fadmin", "/x/..%2fadmin", "/admin%2fx",
    "/%5cadmin", "/admin%5cx", "/x%5c..%5cadmin", "/\\admin", "/x\\..\\admin", "/admin\\x", "/x/..\\admin",
    "/%2e/admin", "/%2e%2e/admin", "/x/%2e%2e/admin", "/x/%2E%2E/admin", "/.%2e/admin", "/x/.%2e/admin", "/admin/.",
    "/admin/../admin", "/admin//", "/admin?", "/admin?x", "/admin#", "/x#/admin", "/#/../admin", "/?/../admin",
    "/x?/../admin", "/x/..;/admin", "/..;/admin", "/%2561dmin", "/%252fadmin", "/%252e%252e/admin", "/admin%252f",
    "/%c0%afadmin", "/%u0061dmin", "/%00admin", "/admin%00", "/admin%23", "/admin%3fx", "/x/.//..//admin", "/.admin",
    "/admin.", "/ADMIN", "/admin/..", "admin", "x/../admin", "http://split.test/admin", "https://split.test//admin",
    "http://split.test/x/../admin", "http://policy.test/admin", "http://policy.test//admin",
]  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("host", [SPLIT, POLICY])
async def test_attack_01_path_confusion(world: World, host: str, version: int) -> None:
    answers = await asyncio.gather(*(ask(world, host, target, version) for target in SPELLINGS))
    for target, answer in zip(SPELLINGS, answers, strict=True):
        if answer is None or answer.status != 200:
            assert answer is None or answer.status in {400, 401, 403, 404}, target
            continue
        # What the upstream saw is not what is closed, however it reads it.
        assert answer.echo.upstream == "front", target
        assert not (meant(answer.echo.target) + "/").startswith("/admin/"), target


@pytest.mark.parametrize("version", [1, 2])
async def test_attack_01_every_spelling_of_the_closed_path_is_closed_to_strangers_and_open_to_users(
    world: World, version: int
) -> None:
    c = world.c
    cookie = [("cookie", f"{COOKIE}={c.mint(SPLIT)}")]
    spellings = {"/admin", "//admin", "/x/../admin", "/%61dmin", "/\\admin", "/x/%2e%2e/admin", "/./admin", "/admin/."}
    for target in spellings:
        async with c.connect(SPLIT) if version == 1 else c.connect_http2(SPLIT) as connection:
            assert (await connection.get(SPLIT, target)).status == 401
            echo = (await connection.get(SPLIT, target, cookie)).echo
        assert (echo.upstream, echo.target.rstrip("/")) == ("admin", "/admin")
    assert len(world.admin.seen) == len(spellings)
    world.admin.seen.clear()


@pytest.mark.parametrize("version", [1, 2])
async def test_attack_01_path_of_slashes_is_refused(world: World, version: int) -> None:
    """Envoy leaves two of them, which is not the path that routes and policies mean."""
    for target in ("/", "//", "///", "//?x", "/.//", "//.", "/x/..//", "/\\", "//x/.."):
        answer = await ask(world, ROOT, target, version)
        assert answer is None or answer.status in {400, 403}, target


@pytest.mark.parametrize("version", [1, 2])
async def test_attack_10_pattern_is_not_widened(world: World, version: int) -> None:
    assert (await ask(world, REGEX, "/assets/a/b.css?x=1", version)) is not None
    for target in (
        "/secret?/assets/a.css",
        "/secret?x=/assets/a.css",
        "/secret#/assets/a.css",
        "/secret%3f/assets/a.css",
        "/secret;/assets/a.css",
        "/assets/../secret.css",
        "/assets/..%2fsecret.css",
        "/assets/a.css/../../secret",
        "/assets/a.css%00",
        "/assets/a.css%0a",
        "/assets/a.cssx",
        "/assets/a.css/",
        "//secret/assets/a.css",
        "/secret%0a/assets/a.css",
        "/x\n/assets/a.css",
    ):
        answer = await ask(world, REGEX, target, version)
        assert answer is None or answer.status in {400, 401, 426}, target


async def test_attack_10_pattern_is_not_a_bomb(world: World) -> None:
    for target in ("/assets/" + "a/" * 4000, "/assets/" + "." * 8000 + "css"):
        answer = await ask(world, REGEX, target, 1)
        assert answer is None or answer.status in {200, 400, 401}


async def test_attack_16_authority_is_one(world: World) -> None:
    """However many hosts a request names, one is routed by, decided on and told to the upstream."""
    c = world.c
    cookie = f"Cookie: {COOKIE}={c.mint(SPLIT)}\r\n"
    for head, statuses in {
        "GET / HTTP/1.1\r\nHost: split.test\r\nHost: other.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: split.test, other.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: split.test\r\n Host: other.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost : other.test\r\n": {400},
        "GET / HTTP/1.1\r\n": {400},
        "GET / HTTP/1.1\r\nHost:\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: split.test:443:443\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: split.test@other.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: other.test@split.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: split.test#other.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: split.test/other.test\r\n": {400, 404},
        "GET / HTTP/1.1\r\nHost: other.test%23split.test\r\n": {400, 404},
        "GET http://other.test/ HTTP/1.1\r\nHost: split.test\r\n": {401},
        "GET https://other.test/ HTTP/1.1\r\nHost: split.test\r\n": {401},
        "GET http://OTHER.test:80/ HTTP/1.1\r\nHost: split.test\r\n": {401},
        "GET http://x@other.test/ HTTP/1.1\r\nHost: split.test\r\n": {400, 401, 404},
        "GET //other.test/ HTTP/1.1\r\nHost: unknown.test\r\n": {404},
    }.items():
        async with c.connect(SPLIT) as connection:
            answer = await connection.send(f"{head}{cookie}\r\n".encode())
            assert answer.status in statuses, head


async def test_attack_16_absolute_form_tells_the_upstream_the_host_that_was_routed(world: World) -> None:
    async with world.c.connect(OTHER) as connection:
        echo = (await connection.send(b"GET http://split.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n")).echo
    assert (echo.upstream, echo.target, echo.values("x-forwarded-host")) == ("front", "/x", [SPLIT])


async def test_attack_16_http2_host_header_beside_the_authority(world: World) -> None:
    request = [(":method", "GET"), (":scheme", "https"), (":path", "/")]
    requests = (
        [*request, (":authority", OTHER), ("host", SPLIT)],
        [*request, (":authority", SPLIT), ("host", OTHER)],
        [*request, ("host", OTHER)],
        [*request, (":authority", SPLIT), (":authority", OTHER)],
        [*request, (":authority", OTHER), (":path", "/x")],
    )
    for answer in await asyncio.gather(*(send(world, headers) for headers in requests)):
        if answer is not None and answer.status not in {400, 401}:
            assert (answer.echo.upstream, OTHER in repr(answer.echo)) == ("front", False)


@pytest.mark.parametrize("version", [1, 2])
async def test_attack_18_policy_sees_the_method_that_is_sent(world: World, version: int) -> None:
    c = world.c
    async with c.connect(METHOD) if version == 1 else c.connect_http2(METHOD) as connection:
        assert (await connection.get(METHOD)).echo.method == "GET"
    overrides = [(f"x-http-method{suffix}", "GET") for suffix in ("", "-override")] + [("x-method-override", "GET")]
    methods = ("POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "get", "GETX", "FOO", "PROPFIND")
    asked = (ask(world, METHOD, "/?_method=GET", version, method, overrides) for method in methods)
    for method, answer in zip(methods, await asyncio.gather(*asked), strict=True):
        assert answer is None or answer.status in {400, 403}, method


async def test_attack_18_connect_opens_no_tunnel(world: World) -> None:
    for target in (SPLIT, f"{SPLIT}:443", f"{OTHER}:80", f"127.0.0.1:{world.admin.port}"):
        async with world.c.connect(SPLIT) as connection:
            request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
            answer = await connection.send(request.encode(), "HEAD")
            assert answer.status in {400, 401, 403, 404, 503}, target
    tunnel = [(":method", "CONNECT"), (":authority", OTHER)]
    for extended in ([], [(":protocol", "websocket"), (":scheme", "https"), (":path", "/")]):
        answered = await send(world, [*tunnel, *extended])
        assert answered is None or answered.status in {400, 401, 403, 404}


async def test_attack_18_upgrade_is_not_a_way_around(world: World) -> None:
    upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "AAAA"),
        ("sec-websocket-version", "13"),
    ]
    async with world.c.connect(SPLIT) as connection:
        assert (await connection.get(SPLIT, "/admin", upgrade)).status in {401, 403}
    async with world.c.connect(SPLIT) as connection:
        h2c = [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")]
        assert (await connection.get(SPLIT, "/", h2c)).status in {200, 400, 403}


SMUGGLED = "GET /admin HTTP/1.1\r\nHost: split.test\r\n\r\n"
REQUESTS = {
    "both lengths": f"Content-Length: {len(SMUGGLED) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "both, other order": f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "two lengths": f"Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "list of lengths": f"Content-Length: 0, {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "signed length": f"Content-Length: +0\r\n\r\n{SMUGGLED}",
    "hexadecimal length": f"Content-Length: 0x0\r\n\r\n{SMUGGLED}",
    "unknown coding": f"Transfer-Encoding: xchunked\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "chunked not last": f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "two codings": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "space before colon": f"Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "folded": f"Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "vertical tab": f"Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "huge chunk": f"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{SMUGGLED}",
    "negative chunk": f"Transfer-Encoding: chunked\r\n\r\n-1\r\n{SMUGGLED}",
    "length in HTTP/1.0 style": f"Content-Length: 0\n\n{SMUGGLED}",
}


async def test_attack_18_no_request_is_smuggled(world: World) -> None:
    """What Envoy sees as one request the upstream sees as one; what it sees as two, it decides on twice."""
    world.front.seen.clear()
    answers = await asyncio.gather(*(smuggle(world, REQUESTS[name]) for name in REQUESTS))
    for name, answered in zip(REQUESTS, answers, strict=True):
        assert b'"upstream": "admin"' not in answered, name
    assert set(world.front.seen) <= {"POST /x", "GET /last"}


async def smuggle(world: World, rest: str) -> bytes:
    """All that is answered to a request with another one in it."""
    async with world.c.connect(SPLIT) as connection:
        connection.writer.write(f"POST /x HTTP/1.1\r\nHost: {SPLIT}\r\n{rest}".encode())
        # A last request makes the server answer all that it took for requests, and close.
        connection.writer.write(f"GET /last HTTP/1.1\r\nHost: {SPLIT}\r\nConnection: close\r\n\r\n".encode())
        return await connection.closed()


async def test_attack_18_header_that_breaks_lines_in_http2(world: World) -> None:
    request = [(":method", "GET"), (":scheme", "https"), (":authority", SPLIT), (":path", "/")]
    world.front.seen.clear()
    requests = (
        [*request, ("x-a", f"b\r\n\r\n{SMUGGLED}")],
        [*request, ("x-a\r\nhost", OTHER)],
        [*request, ("transfer-encoding", "chunked")],
        [*request, ("connection", "keep-alive")],
        [*request[:3], (":path", f"/ HTTP/1.1\r\nHost: {OTHER}\r\n\r\nGET /admin")],
        [(":method", f"GET /admin HTTP/1.1\r\nHost: {SPLIT}\r\n\r\nGET"), *request[1:]],
        [*request[:2], (":authority", f"{SPLIT}\r\nx-a: b"), request[3]],
    )
    for answer in await asyncio.gather(*(send(world, headers) for headers in requests)):
        assert answer is None or answer.status in {200, 400, 404}
    assert set(world.front.seen) <= {"GET /"}
