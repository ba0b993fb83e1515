"""What ``explain`` says of a request is what a real Envoy does with it: path, host, route, decision, answer."""

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
from tests.envoy.policy_cases import make_policy
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_service, make_slice, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import upstream

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
                served = Served(state.hosts, state.upstreams, state.endpoints)
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
