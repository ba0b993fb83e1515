"""The access log of a real Envoy: what a line tells, what it never tells, and that it always is one line."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ingress_controller.app import run
from ingress_controller.envoy.access_log import FIELDS
from ingress_controller.errors import StartError
from tests.clients import Answer, Headers, connect
from tests.envoy_process import eventually, short_directory
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_policy, make_web
from tests.program import program
from tests.running import COOKIE, Running, make_settings, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN, APP, TEAM, NOBODY, WILD, GONE = (f"{name}.test" for name in ("open", "app", "team", "nobody", "wild", "gone"))
SECRET = "hunter2-c2VjcmV0"

Line = dict[str, Any]


def lines(c: Running) -> list[bytes]:
    """Whole lines so far; nothing but a line feed separates them."""
    assert isinstance(c.settings.access_log, Path)
    return c.settings.access_log.read_bytes().split(b"\n")[:-1]


async def next_line(c: Running, before: int) -> Line:
    """The one line that there is beyond those before."""

    async def is_there() -> bool:
        return len(lines(c)) > before

    await eventually(is_there, "a line of the access log")
    (line,) = lines(c)[before:]
    made: Line = json.loads(line)
    return made


async def ask(c: Running, request: Awaitable[Answer]) -> tuple[Answer, Line]:
    """The answer to a request, and the one line that it adds."""
    before = len(lines(c))
    answer = await request
    return answer, await next_line(c, before)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with upstream() as web:
        ingresses = (
            make_ingress("open", OPEN, PUBLIC),
            make_ingress("app", APP, SIGNED_IN | {"prefix_rewrite": "/v2"}, namespace="shop", paths=SHOP),
            make_ingress("team", TEAM, TEAM_POLICY),
            make_ingress("nobody", NOBODY, {}),
            make_ingress("wild", f"*.{WILD}", SIGNED_IN | {"preserve_host_header": "true"}),
            make_ingress("gone", GONE, PUBLIC, paths=[("/", "Prefix", "gone:80")]),
        )
        webs = (make_web(web.port), make_web(web.port, namespace="shop"))
        file = tmp_path_factory.mktemp("log") / "access.log"
        async with running({"all.yaml": documents(CLASS, *webs, *ingresses)}, access_log=file) as c:
            yield c


SHOP = [("/list", "Prefix", "web:80")]
TEAM_POLICY = make_policy({"domain": {"is": "example.com"}}, deny=[{"http_path": {"starts_with": "/admin"}}])
OF_A_DENIAL = {"upstream_host": None, "bytes_received": 0, "response_flags": "-"}


def holds(line: Line, **wanted: object) -> bool:
    """Whether a line has these values; shows those that differ."""
    assert {name: line[name] for name in wanted} == wanted
    return True


async def test_a_line_has_the_documented_fields(c: Running) -> None:
    _, line = await ask(c, c.get(OPEN))
    assert sorted(line) == sorted(field.name for field in FIELDS)


async def test_public(c: Running) -> None:
    answer, line = await ask(c, c.get(OPEN, "/a/../b?x=1", headers=[("user-agent", "tests/1")]))
    assert holds(
        line, method="GET", authority=OPEN, path="/b", protocol="HTTP/1.1", status=200, bytes_sent=len(answer.body),
        response_code_details="via_upstream", client_address="127.0.0.1", user_agent="tests/1", tls_server_name=OPEN,
        tls_version="TLSv1.3", ingress="default/open", route=f"default/open/{OPEN}/Prefix/", decision="allowed",
        rule="allow:allow_public_unauthenticated_access", user_id=None, user_email=None,
        upstream_cluster="default/web:80", shadow_decision=None, shadow_rule=None,
    )  # fmt: skip
    assert line["upstream_host"].startswith("127.0.0.1:")
    assert answer.echo.values("x-request-id") == [line["request_id"]]


async def test_signed_in(c: Running) -> None:
    session = c.mint(APP, "ann@example.com", sub="ann-1")
    answer, line = await ask(c, c.get(APP, "/list/1", session=session))
    assert answer.echo.target == "/v2/1"
    assert holds(
        line, authority=APP, path="/list/1", ingress="shop/app", upstream_cluster="shop/web:80", decision="allowed",
        rule="allow:allow_any_authenticated_user", user_id="ann-1", user_email="ann@example.com",
    )  # fmt: skip


async def test_denied_by_a_rule(c: Running) -> None:
    answer, line = await ask(c, c.get(TEAM, "/admin/x?y", session=c.mint(TEAM)))
    assert holds(
        line, status=403, path="/admin/x", ingress="default/team", decision="denied", rule="deny:policy.0.deny",
        user_email="ann@example.com", response_code_details=answer.json["reason"], **OF_A_DENIAL,
    )  # fmt: skip
    assert answer.json["request_id"] == line["request_id"]


async def test_denied_by_no_rule(c: Running) -> None:
    browser = [("accept", "text/html")]
    answer, line = await ask(c, c.get(NOBODY, headers=browser))
    assert holds(line, status=403, decision="denied", rule="default_deny", ingress="default/nobody", **OF_A_DENIAL)
    assert line["request_id"] in answer.text


async def test_sign_in(c: Running) -> None:
    answer, line = await ask(c, c.get(APP, "/list"))
    assert holds(line, status=401, decision="sign_in", rule="unauth", user_id=None, ingress="shop/app", **OF_A_DENIAL)
    assert answer.json["request_id"] == line["request_id"]
    _, line = await ask(c, c.get(APP, "/list?code=1", headers=[("accept", "text/html")]))
    assert holds(line, status=302, path="/list", decision="sign_in", rule="unauth", **OF_A_DENIAL)
    _, line = await ask(c, c.get(APP, "/list", session=c.mint(TEAM)))
    assert holds(line, status=401, decision="sign_in", rule="wrong-aud", user_email="ann@example.com")


async def test_no_route(c: Running) -> None:
    _, line = await ask(c, c.get(APP, "/elsewhere"))
    assert holds(line, status=404, decision=None, rule=None, ingress=None, route=None, upstream_cluster=None)


async def test_unavailable(c: Running) -> None:
    _, line = await ask(c, c.get(GONE))
    assert holds(line, status=503, decision=None, ingress="default/gone", response_code_details="direct_response")


async def test_bad_request(c: Running) -> None:
    async with c.connect(OPEN) as connection:
        _, line = await ask(c, connection.get(OPEN, "/a%2fb?x"))
    assert holds(line, status=400, response_code_details="path_normalization_failed", decision=None, ingress=None)
    async with c.connect(OPEN) as connection:
        _, line = await ask(c, connection.send(b"GET\x01 / HTTP/1.1\r\n\r\n"))
    assert holds(line, status=400, response_flags="DPE", method=None, path=None, request_id=None)


async def test_http_listener(c: Running) -> None:
    async with c.connect_plain() as connection:
        _, line = await ask(c, connection.get(OPEN, "/x?y"))
    assert holds(
        line, status=308, authority=OPEN, path="/x", tls_version=None, tls_server_name=None, decision=None, ingress=None
    )


async def test_host_in_an_unusual_form(c: Running) -> None:
    async with c.connect(f"a.{WILD}") as connection:
        _, line = await ask(c, connection.get(f"A.{WILD}:99", "/"))
    assert holds(line, authority=f"a.{WILD}", tls_server_name=f"a.{WILD}", ingress="default/wild", decision="sign_in")


async def test_http2(c: Running) -> None:
    async with c.connect_http2(OPEN) as connection:
        _, line = await ask(c, connection.get(OPEN, "/x"))
    assert holds(line, protocol="HTTP/2", authority=OPEN, path="/x", status=200)


# --- What clients would like it to say.


@pytest.mark.parametrize("host", [OPEN, f"a.{WILD}"])
async def test_a_client_cannot_choose_what_is_logged(c: Running, host: str) -> None:
    forged = [
        ("x-request-id", "11111111-2222-4333-8444-555555555555"),
        ("x-envoy-original-host", "forged.test"),
        ("x-envoy-original-path", "/forged"),
        ("x-forwarded-for", "192.0.2.66"),
        ("x-envoy-external-address", "192.0.2.66"),
    ]
    answer, line = await ask(c, c.get(host, "/real", headers=forged, session=c.mint(host)))
    assert holds(line, authority=host, path="/real", client_address="127.0.0.1")
    assert answer.echo.values("x-request-id") == [line["request_id"]]
    assert not [value for value in line.values() if str(value).startswith(("forged", "/forged", "192.", "1111"))]


HOSTILE = [
    b'GET /"}\\n{"status":200} HTTP/1.1\r\nhost: open.test\r\n\r\n',
    b"GET /%0a%0d%00%22 HTTP/1.1\r\nhost: open.test\r\n\r\n",
    b'GET / HTTP/1.1\r\nhost: open.test"}\r\n\r\n',
    b"GET / HTTP/1.1\r\nhost: \xff\xfe.test\r\n\r\n",
    b"GET /\xff\xc3\x28 HTTP/1.1\r\nhost: open.test\r\n\r\n",
    b'G"}ET / HTTP/1.1\r\nhost: open.test\r\n\r\n',
    b'GET / HTTP/1.1\r\nhost: open.test\r\nuser-agent: "}\\\t\xff\xc3\xe2\x80\xa8 \x85\r\n\r\n',
    b"GET / HTTP/1.1\r\nhost: open.test\r\nuser-agent: " + "é".encode() * 300 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: open.test\r\nuser-agent: a\x1b[31m\r\n\r\n",
    b'CONNECT open.test"}:443 HTTP/1.1\r\nhost: x\r\n\r\n',
]


@pytest.mark.parametrize("request_bytes", HOSTILE, ids=repr)
async def test_a_hostile_request_is_one_line(c: Running, request_bytes: bytes) -> None:
    async with c.connect(OPEN) as connection:
        _, line = await ask(c, connection.send(request_bytes))
    assert sorted(line) == sorted(field.name for field in FIELDS)


@pytest.mark.parametrize(
    "header", [(":path", '/x\n{"status":200}'), (":path", '/"}\\ü'), (":authority", 'a"}\n'), ("user-agent", "x\r\ny"),
               (":method", 'G"\n'), ("user-agent", "\0")], ids=repr
)  # fmt: skip
async def test_a_hostile_http2_request_is_one_line(c: Running, header: tuple[str, str]) -> None:
    headers = dict([(":method", "GET"), (":scheme", "https"), (":authority", OPEN), (":path", "/"), header])
    before = len(lines(c))
    async with c.connect_http2(OPEN) as connection:
        with contextlib.suppress(ConnectionError):
            await connection.send(headers.items())
    assert sorted(await next_line(c, before)) == sorted(field.name for field in FIELDS)


async def test_what_a_client_sends_is_cut(c: Running) -> None:
    headers = [("user-agent", "u" * 5000)]
    async with c.connect(OPEN) as connection:
        _, line = await ask(c, connection.get(OPEN, "/" + "p" * 9000, headers))
    assert len(line["path"]) == 2048
    assert len(line["user_agent"]) == 256


# --- What it must not say.


async def test_nothing_that_admits_anybody_is_logged(c: Running) -> None:
    """Sessions, passwords, tokens in queries: on routes of each kind, whatever the answer is."""
    before = len(lines(c))
    sent: list[str] = []
    for host in (OPEN, APP, TEAM, NOBODY, f"a.{WILD}", GONE, "elsewhere.test"):
        token = c.mint(host)
        sent.append(token)
        carried: list[Headers] = [
            [("cookie", f"a={SECRET}; {COOKIE}={token}")],
            [("authorization", f"Bearer Pomerium-{token}")],
            [("authorization", f"Basic {SECRET}"), ("referer", f"https://x.test/?token={SECRET}")],
            [("x-api-key", SECRET), ("proxy-authorization", SECRET), ("accept", "text/html")],
        ]
        for headers in carried:
            for target in (f"/?token={SECRET}", f"/list?a=1&code={SECRET}", f"/a%2f?token={SECRET}"):
                async with c.connect(OPEN) as connection:
                    await connection.get(host, target, headers)
        async with c.connect_plain() as connection:
            await connection.get(host, f"/?token={SECRET}", [("cookie", f"{COOKIE}={token}")])
    absolute = f"GET http://ann:{SECRET}@{OPEN}/?{SECRET} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n"
    async with c.connect(OPEN) as connection:
        await connection.send(absolute.encode())

    async def all_are_there() -> bool:
        return len(lines(c)) == before + 7 * 13 + 1

    await eventually(all_are_there, "all lines")
    text = b"\n".join(lines(c)).decode()
    assert SECRET not in text
    assert not [token for token in sent if any(part in text for part in token.split("."))]


# --- Where it goes.


async def test_the_program_writes_it_to_standard_output() -> None:
    """Line by line, apart from its own log."""
    with short_directory() as directory:
        async with upstream() as web, program(directory, "auto") as running_program:
            manifest = documents(CLASS, make_web(web.port), make_ingress("open", OPEN))
            (directory / "manifests" / "all.yaml").write_text(manifest)
            await running_program.ready()
            async with connect(running_program.https_port, OPEN) as connection:
                for number in range(3):
                    await connection.get(OPEN, f"/{number}")

            async def is_there() -> bool:
                return running_program.output.count("\n") == 3

            await eventually(is_there, "three lines")
        paths = [json.loads(line)["path"] for line in running_program.output.splitlines()]
        assert paths == ["/0", "/1", "/2"]
        assert '"path"' not in running_program.log


async def test_a_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, access_log=tmp_path / "missing" / "access.log")
    with pytest.raises(StartError, match=r"^--access-log: .*/missing/access.log cannot be written: No such file"):
        await run(settings)


async def test_it_can_be_turned_off() -> None:
    async with running({"all.yaml": documents(CLASS, make_ingress("gone", GONE))}, access_log="off") as c:
        assert (await c.get(GONE)).status == 503
        await c.envoy.stop()
        assert '"path"' not in c.envoy.log.read_text()
