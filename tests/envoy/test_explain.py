"""What ``explain`` says of a request is what a real Envoy does with it: path, host, route, decision, answer."""

import json
from collections import Counter
from datetime import UTC, datetime
from ipaddress import IPv4Address
from random import Random

import pytest

from ingress_controller import offline
from ingress_controller.explain.decision import Explanation, Served, Visitor, explain
from ingress_controller.explain.url import RefusedPathError, normal_path, parse_url
from ingress_controller.policy.evaluate import Session
from tests.clients import NO_NAME, Answer
from tests.envoy.client_certificates import make_authority, make_certificate, make_client
from tests.envoy.policy_cases import make_policy
from tests.envoy.test_shadow import counting
from tests.manifests import (
    CLASS,
    PUBLIC,
    SIGNED_IN,
    documents,
    make_authorities,
    make_ingress,
    make_service,
    make_slice,
    make_web,
)
from tests.running import COOKIE, Running, running
from tests.upstream import tcp_upstream, upstream

_SEED = 20261121
_TABLES = 12
_QUESTIONS = 60
_PATHS = 800

HOSTS = ("a.test", "b.test", "x.a.test", "*.test", "*.a.test", "*")
ASKED_HOSTS = (
    *("a.test", "a.test", "b.test", "c.test", "x.a.test", "y.a.test", "q.y.a.test", "a_b.test"),
    *("other.example", "nowhere", "[::1]", "192.0.2.1"),
)
PATHS = ("/", "/", "/", "/a", "/a/", "/a/b", "/ab", "/A", "/a.b", "/%20", "/%C3%A9", "/a(b")
PATTERNS = ("^/a.*$", "^/a/[0-9]+$", "^/$", "^/(a|b)/c?$", "^/.*\\.b$", "^/a|/b$")
PIECES = (
    *("/", "/", "//", "a", "b", "A", ".", "..", "./", "../", "%2e", "%2E%2e", "%61", "%41", "%7e", "~", "%20", " "),
    *("%", "%%", "%3", "%30", "1", "0", "2f", "%25", "%zz", "é", "%C3%A9", "\\", ";", "..;", ".;x", "(", "|", '"', "<"),
    *("{", "^", "`", "'", "+", ":", "@", "&", "=", "*", "$", ",", "!", "[", "]", "%5b", "%2B", "%7B"),
)
QUERIES = ("", "", "?", "?x=1", "?/a/b", "?a=../b&c=%2f", "?x?y", "#frag", "?x#/a")
PEOPLE = {"ann@example.com": ("dev",), "bob@example.com": (), "zed@corp.io": ("ops", "dev")}
ACCESS: tuple[dict[str, str], ...] = (
    PUBLIC,
    PUBLIC,
    SIGNED_IN,
    SIGNED_IN,
    {"allowed_users": '["ann@example.com"]'},
    {},
)


def make_table(random: Random) -> str:
    """Some hosts with some paths, each of its own Ingress, which marks what it serves."""
    ingresses = []
    for number in range(random.randint(6, 20)):
        host, kind = random.choice(HOSTS), random.choice(("Exact", "Prefix", "Prefix", "ImplementationSpecific"))
        path = random.choice(PATTERNS if kind == "ImplementationSpecific" else PATHS)
        access = random.choice((*ACCESS, {"policy": make_policy(random)}))
        settings = {"path_regex": "true"} if kind == "ImplementationSpecific" else {}
        settings |= {"subtle_allow_empty_host": "true"} if host == "*" else {}
        to = random.choice(("web:80", "web:80", "web:80", "web:80", "gone:80", "empty:80"))
        annotations = {**access, **settings, "set_request_headers": f"x-route: i{number}"}
        ingresses.append(
            make_ingress(
                f"i{number}", host.removeprefix("*" if host == "*" else ""), annotations, paths=[(path, kind, to)]
            )
        )
    return documents(*ingresses)


def make_host(random: Random) -> str:
    """A host as somebody might write it."""
    host = random.choice(ASKED_HOSTS)
    return random.choice(
        (host, host, host.upper(), f"{host}:{random.choice((1, 443, 8443))}", f"{host}.", f"{host}.:77")
    )


def make_path(random: Random) -> str:
    if random.random() < 0.6:
        return random.choice((*PATHS, "/a/7", "/b/c", "/b/", "/x.b", "/.pomerium/x", "/.pomerium", "/a%2Fb", "/%00"))
    return "/" + "".join(random.choice(PIECES) for _ in range(random.randint(0, 6)))


async def ask(c: Running, url: str, session: str, accept: str, method: str) -> Answer:
    """Ask for any host, without a server name: TLS has an opinion of its own about names."""
    target = parse_url(url)
    headers = [("accept", accept), *([("cookie", f"{COOKIE}={session}")] if session else [])]
    async with c.connect(NO_NAME) as connection:
        authority = url.removeprefix("https://").partition("/")[0]
        return await connection.get(authority, target.with_query(target.written_path), headers, method)


def expected(found: Explanation, client: str) -> tuple[object, ...]:
    """The answer that is announced: its status, and what tells it from others of that status."""
    told = next(told for told in found.answers if told.client == client)
    match told.status:
        case None:
            assert found.routing.route
            return 200, found.routing.route.ingress.name
        case 302:
            return 302, told.text.removeprefix("to ")
        case 403 if client == "program":
            return 403, f"rbac_access_denied_matched_policy[{told.text.removeprefix('denied by ')}]"
        case 503:
            return 503, "no healthy upstream" if "no healthy" in told.text else f"503 {told.text}\n"
        case _:
            return (told.status,)


def given(answer: Answer, client: str) -> tuple[object, ...]:
    """The same of an answer that came."""
    match answer.status:
        case 200:
            return 200, *answer.echo.values("x-route")
        case 302:
            return 302, answer.header("location")
        case 403 if client == "program":
            return 403, answer.json["reason"]
        case 503:
            return 503, answer.text
        case _:
            return (answer.status,)


async def test_a_real_envoy_does_what_is_explained() -> None:
    random = Random(_SEED)  # noqa: S311 (chooses test cases)
    seen = Counter[int]()
    async with upstream() as web:
        empty = documents(make_service("empty"), make_slice(1, "empty", ready=False))
        async with running({"web.yaml": documents(CLASS, make_web(web.port), empty)}) as c:
            for _ in range(_TABLES):
                await c.write("table.yaml", make_table(random))
                state = offline.from_manifests([c.manifests], c.settings)
                served = Served(state.hosts, state.upstreams, state.endpoints, c.settings.external_https_port)
                for _ in range(_QUESTIONS):
                    url = f"https://{make_host(random)}{make_path(random)}{random.choice(QUERIES)}"
                    host = parse_url(url).host
                    token, session = "", None
                    if random.random() < 0.7 and host[0] != "[" and "_" not in host:
                        email = random.choice(list(PEOPLE))
                        token = c.mint(host, email, groups=PEOPLE[email])
                        session = Session(email, (host,), email, PEOPLE[email])
                    client, accept = random.choice((("browser", "text/html"), ("program", "*/*")))
                    method = random.choice(("GET", "GET", "POST", "PUT"))
                    found = explain(
                        served, parse_url(url), Visitor(method, IPv4Address("127.0.0.1"), session, datetime.now(UTC))
                    )
                    answer = await ask(c, url, token, accept, method)
                    assert given(answer, client) == expected(found, client), (url, method, found)
                    seen[answer.status] += 1
    assert {status for status, count in seen.items() if count > 5} >= {200, 302, 400, 401, 403, 404, 503}, seen


async def test_plain_requests_are_redirected_where_it_is_explained() -> None:
    random = Random(_SEED)  # noqa: S311 (chooses test cases)
    visitor = Visitor("GET", IPv4Address("127.0.0.1"), None, datetime.now(UTC))
    async with running({}) as c:
        served = Served({}, {}, {}, c.settings.external_https_port)
        for path in ("//", *(make_path(random) for _ in range(_QUESTIONS))):
            host = make_host(random)
            url = f"http://{host}{path}{random.choice(QUERIES)}"
            found = explain(served, target := parse_url(url), visitor)
            async with c.connect_plain() as connection:
                answer = await connection.get(host, target.with_query(target.written_path))
            location = answer.header("location")
            # Envoy leaves the case of the host as it is.
            told = location and location.replace(location.split("/")[2], location.split("/")[2].lower(), 1)
            assert (answer.status, told) == ((308, found.redirect) if found.redirect else (400, None)), url


POLICIES = [
    PUBLIC,
    SIGNED_IN,
    {"allowed_users": '["ann@example.com"]'},
    {"policy": json.dumps({"allow": {"or": [{"http_path": "/pages"}]}})},
    {"policy": json.dumps({"allow": {"not": [{"http_path": "/pages"}]}})},
    {"policy": json.dumps({"allow": {"or": [{"http_method": "CONNECT"}]}})},
]
AUTHORITY = make_authority()
CLIENTS = (
    make_client(),
    make_client(make_certificate(AUTHORITY), valid=True),
    make_client(make_certificate(make_authority())),
)
MINE = CLIENTS[1].shown
TUNNEL_PORT = 5432
NAMES = ("db.test", "a.wild.test", "shown.test", "a.shown.test", "open.test")


def make_secured(random: Random) -> str:
    """Hosts with tunnels, and hosts that ask for certificates; some have both, and pages besides."""
    assert MINE
    mine = {"policy": json.dumps({"allow": {"or": [{"client_certificate": {"fingerprint": MINE.fingerprint}}]}})}
    asks = {"tls_downstream_client_ca_secret": "authority"}
    tunnels = [("", "ImplementationSpecific", "bytes:80"), ("", "ImplementationSpecific", f"bytes:{TUNNEL_PORT}")]
    ingresses = []
    for number, host in enumerate(("db.test", "*.wild.test", "shown.test", "*.shown.test", "open.test")):
        certificate = asks if "shown" in host else {}
        access = certificate | random.choice([*POLICIES, mine])
        ingresses.append(make_ingress(f"pages{number}", host, access, paths=[("/pages", "Prefix", "web:80")]))
        access = certificate | random.choice([*POLICIES, mine]) | {"tcp_upstream": "true"}
        ingresses.append(
            make_ingress(f"tunnel{number}", host, access, paths=random.sample(tunnels, random.randint(1, 2)))
        )
    return documents(*ingresses)


async def test_tunnels_and_certificates_are_as_explained() -> None:
    random = Random(_SEED)  # noqa: S311 (chooses test cases)
    seen = Counter[tuple[str, int]]()
    async with upstream() as web, tcp_upstream() as port:
        bytes_service = make_service("bytes").replace(
            '[{"name": "http", "port": 80}]',
            f'[{{"name": "http", "port": 80}}, {{"name": "more", "port": {TUNNEL_PORT}}}]',
        )
        objects = (CLASS, make_web(web.port), bytes_service, make_slice(port, "bytes"))
        async with running({"web.yaml": documents(*objects, make_authorities("authority", AUTHORITY.pem))}) as c:
            for _ in range(_TABLES):
                await c.write("table.yaml", make_secured(random))
                state = offline.from_manifests([c.manifests], c.settings)
                served = Served(state.hosts, state.upstreams, state.endpoints)
                for _ in range(_QUESTIONS):
                    host, method = random.choice((*NAMES, "gone.test")), random.choice(("GET", "CONNECT"))
                    # A name that no host has gets no further than the handshake.
                    own = host if host in NAMES else ""
                    server_name = random.choice((own, own, own, own, *NAMES, ""))
                    client = random.choice(CLIENTS)
                    authority = f"{host}:{random.choice((80, 80, TUNNEL_PORT, TUNNEL_PORT, 1))}"
                    path = random.choice(("/pages", "/pages", "/", "//", "/.pomerium/")) if method == "GET" else ""
                    url = f"{'tcp+' if method == 'CONNECT' else ''}https://{authority}{path}"
                    email = random.choice(("", "ann@example.com", "bob@example.com"))
                    session = Session(email, (host,), email) if email else None
                    here = IPv4Address("127.0.0.1")
                    visitor = Visitor(method, here, session, datetime.now(UTC), {}, client.shown, server_name)
                    found = explain(served, parse_url(url), visitor)
                    token = [("cookie", f"{COOKIE}={c.mint(host, email)}")] if email else []
                    async with c.connect(server_name or NO_NAME, client.context) as connection:
                        answer = await connection.get(authority, path or authority, token, method)
                    told = next(told for told in found.answers if told.client == "program")
                    assert answer.status == (told.status or 200), (url, visitor, found)
                    if answer.status == 403:
                        assert given(answer, "program") == expected(found, "program")
                    seen[method, answer.status] += 1
    wanted = {("GET", 400), ("GET", 503)} | {
        (method, status) for method in ("GET", "CONNECT") for status in (200, 401, 403, 404, 421)
    }
    assert {each for each, count in seen.items() if count > 5} >= wanted, seen


async def test_a_policy_that_is_tried_decides_as_explained() -> None:
    random = Random(_SEED)  # noqa: S311 (chooses test cases)
    seen = Counter[str]()
    async with upstream() as web, running({"web.yaml": documents(CLASS, make_web(web.port))}) as c:
        for _ in range(_TABLES):
            tried = {"policy": make_policy(random), "policy_mode": "shadow"}
            await c.write("try.yaml", make_ingress("try", "try.test", random.choice((PUBLIC, SIGNED_IN)) | tried))
            state = offline.from_manifests([c.manifests], c.settings)
            served = Served(state.hosts, state.upstreams, state.endpoints)
            for _ in range(_QUESTIONS // 10):
                url, email = f"https://try.test{random.choice(PATHS)}", random.choice(("", *PEOPLE))
                session = Session(email, ("try.test",), email, PEOPLE[email]) if email else None
                visitor = Visitor("GET", IPv4Address("127.0.0.1"), session, datetime.now(UTC))
                found = explain(served, parse_url(url), visitor).shadow
                assert found
                token = c.mint("try.test", email, groups=PEOPLE[email]) if email else ""
                effect = "allowed" if found.outcome == "allow" else "denied"
                async with counting(c, **{f"shadow_{effect}": 1, f"policy.{found.name}.shadow_{effect}": 1}):
                    await ask(c, url, token, "*/*", "GET")
                seen[found.outcome] += 1
    assert len(seen) == 3, seen


async def test_a_real_envoy_brings_paths_to_the_same_form() -> None:
    random = Random(_SEED)  # noqa: S311 (chooses test cases)
    odd = [
        "//",
        "///",
        "/%00",
        "/%%310",
        "/%%3130",
        "/a/..;/b",
        "/a/.;x/b",
        "/a%2Fb",
        "/a%5cb",
        "/./",
        "/..",
        "/.%2e/a",
    ]
    paths = odd + ["/" + "".join(random.choice(PIECES) for _ in range(random.randint(0, 9))) for _ in range(_PATHS)]
    async with (
        upstream() as web,
        running({"a.yaml": documents(CLASS, make_web(web.port), make_ingress("a", "a.test"))}) as c,
    ):
        for path in paths:
            sent = parse_url(f"https://a.test{path}").written_path
            answer = await c.get("a.test", sent)
            assert (answer.echo.target if answer.status == 200 else answer.status) == normal_form(sent), sent


def normal_form(path: str) -> str | int:
    try:
        # Every host refuses a path of nothing but slashes.
        return 400 if (normal := normal_path(path)) == "//" else normal
    except RefusedPathError:
        return 400


@pytest.mark.parametrize("path", ["/a/../b", "//x///y/", "/%41%2e", "/..;/a", "/a b"])
def test_the_normal_form_is_a_form_of_its_own(path: str) -> None:
    assert normal_path(normal_path(path)) == normal_path(path)
