"""Which route answers, and what it sends to the upstream; on a real Envoy."""

import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.manifests import (
    CLASS,
    PUBLIC,
    SIGNED_IN,
    Path,
    documents,
    make_certificate,
    make_ingress,
    make_service,
    make_slice,
    make_web,
)
from tests.running import Running, running
from tests.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGEX = PUBLIC | {"path_regex": "true"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Upstream]:
    async with upstream() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(web: Upstream) -> AsyncIterator[Running]:
    async with running({"web.yaml": documents(CLASS, make_web(web.port))}) as c:
        yield c


def mark(name: str, annotations: dict[str, str] = PUBLIC) -> dict[str, str]:
    return annotations | {"set_request_headers": f"x-route: {name}"}


def routes(host: str, paths: list[tuple[str, str]], annotations: dict[str, str] = PUBLIC) -> str:
    """An Ingress for each path, all of one host, each marking what it serves."""
    return documents(
        *(
            make_ingress(f"i{number}", host, mark(f"{kind} {path}", annotations), paths=[(path, kind, "web:80")])
            for number, (path, kind) in enumerate(paths)
        )
    )


async def served(c: Running, host: str, target: str) -> str | int:
    answer = await c.get(host, target)
    return answer.echo.values("x-route")[0] if answer.status == 200 else answer.status


async def test_paths_are_matched_as_their_type_says(c: Running) -> None:
    paths = [
        ("/foo", "Prefix"),
        ("/exact", "Exact"),
        ("/slash/", "Prefix"),
        ("/foo/bar", "Prefix"),
        ("/impl", "ImplementationSpecific"),
    ]
    await c.write("a.yaml", routes("paths.test", paths))
    expected = {
        "/foo": "Prefix /foo",
        "/foo/": "Prefix /foo",
        "/foo/x": "Prefix /foo",
        "/foo?x": "Prefix /foo",
        "/foobar": 404,
        "/foo.": 404,
        "/Foo": 404,
        "/foo/bar": "Prefix /foo/bar",
        "/foo/bar/x": "Prefix /foo/bar",
        "/foo/barx": "Prefix /foo",
        "/exact": "Exact /exact",
        "/exact?a=/exact/": "Exact /exact",
        "/exact/": 404,
        "/exactly": 404,
        "/slash": "Prefix /slash/",
        "/slash/x": "Prefix /slash/",
        "/slashed": 404,
        "/impl/x": "ImplementationSpecific /impl",
        "/implicit": 404,
        "/": 404,
        "/?/foo": 404,
    }
    assert {target: await served(c, "paths.test", target) for target in expected} == expected


async def test_patterns_match_the_whole_path_without_the_query(c: Running) -> None:
    paths = [("^/api/v[0-9]+$", "ImplementationSpecific"), ("^/files/.*\\.txt$", "ImplementationSpecific")]
    await c.write("a.yaml", routes("regex.test", paths, REGEX))
    v, files = (f"ImplementationSpecific {path}" for path, _ in paths)
    expected = {
        "/api/v1": v,
        "/api/v12?x=/": v,
        "/api/v1/": 404,
        "/api/v": 404,
        "/x/api/v1": 404,
        "/api/v1%0a": 404,
        "/files/a/b.txt": files,
        "/files/a?.txt": 404,
        "/files/a#.txt": 404,
        "/files/a.txt?b": files,
    }
    assert {target: await served(c, "regex.test", target) for target in expected} == expected | {"/files/a#.txt": 400}


async def test_order_is_exact_then_pattern_then_longest_prefix(c: Running) -> None:
    plain = [("/", "Prefix"), ("/a", "Prefix"), ("/a", "Exact"), ("/a/b", "Prefix"), ("/a/b/c", "Exact")]
    pattern = make_ingress(
        "p", "order.test", mark("pattern", REGEX), paths=[("^/a/.*$", "ImplementationSpecific", "web:80")]
    )
    await c.write("a.yaml", documents(routes("order.test", plain), pattern))
    expected = {
        "/": "Prefix /",
        "/ab": "Prefix /",
        "/a": "Exact /a",
        "/a/": "pattern",
        "/a/b": "pattern",
        "/a/b/c": "Exact /a/b/c",
        "/a?x": "Exact /a",
    }
    assert {target: await served(c, "order.test", target) for target in expected} == expected
    await c.write("a.yaml", routes("order.test", plain))
    assert await served(c, "order.test", "/a/") == "Prefix /a"
    assert await served(c, "order.test", "/a/b/x") == "Prefix /a/b"


@pytest.mark.parametrize(
    ("path", "kind", "replacement", "sent"),
    [
        ("/foo", "Prefix", "/", {"/foo": "/", "/foo/": "/", "/foo/bar": "/bar", "/foo/x?q": "/x?q", "/foo?q": "/?q"}),
        ("/foo", "Prefix", "/bar", {"/foo": "/bar", "/foo/": "/bar/", "/foo/x": "/bar/x", "/foo?q": "/bar?q"}),
        ("/foo", "Prefix", "/bar/", {"/foo": "/bar/", "/foo/x": "/bar/x"}),
        ("/", "Prefix", "/bar", {"/": "/bar/", "/x": "/bar/x"}),
        ("/", "Prefix", "/", {"/": "/", "/x": "/x"}),
        ("/foo", "Exact", "/bar", {"/foo": "/bar", "/foo?q=1": "/bar?q=1"}),
        ("/f.o+(", "Prefix", "/", {"/f.o+(": "/", "/f.o+(/x": "/x"}),
        ("/foo", "Prefix", "/a\\1b/", {"/foo/x": "/a\\1b/x"}),
        ("/foo", "Prefix", "/%25a/", {"/foo/x": "/%25a/x"}),
        ("/foo", "Prefix", "/100%/", {"/foo/x": "/100%/x"}),
    ],
)  # fmt: skip
async def test_prefix_rewrite(c: Running, path: str, kind: str, replacement: str, sent: dict[str, str]) -> None:
    annotations = PUBLIC | {"prefix_rewrite": replacement}
    await c.write("a.yaml", make_ingress("rewrite", "rewrite.test", annotations, paths=[(path, kind, "web:80")]))
    assert c.said_of("rewrite")[-1] == "Normal Updated updated pomerium configuration"
    assert {target: (await c.get("rewrite.test", target)).echo.target for target in sent} == sent


async def test_host_header_is_the_upstreams_unless_preserved(c: Running) -> None:
    await c.write(
        "a.yaml",
        documents(
            make_ingress("own", "own.test"),
            make_ingress("kept", "kept.test", PUBLIC | {"preserve_host_header": "true"}),
        ),
    )
    own, kept = (await c.get("own.test")).echo, (await c.get("kept.test")).echo
    assert (own.values("host"), own.values("x-forwarded-host")) == (["web.default.svc.cluster.local"], ["own.test"])
    assert kept.values("host") == ["kept.test"]
    assert (own.values("x-forwarded-proto"), kept.values("x-forwarded-proto")) == (["https"], ["https"])


async def test_timeout(c: Running, web: Upstream) -> None:
    await c.write(
        "a.yaml",
        documents(
            make_ingress("short", "short.test", PUBLIC | {"timeout": "100ms"}),
            make_ingress("none", "none.test", PUBLIC | {"timeout": "0s"}),
        ),
    )
    assert (await c.get("short.test", "/hang")).status == 504
    assert (await c.get("short.test", "/")).echo.values("x-envoy-expected-rq-timeout-ms") == ["100"]
    assert (await c.get("none.test", "/")).echo.values("x-envoy-expected-rq-timeout-ms") == []
    assert web.seen.count("GET /hang") == 1


async def test_headers_are_set_as_literal_text_and_removed(c: Running) -> None:
    annotations = PUBLIC | {
        "set_request_headers": "{X-Cost: '100%', X-Command: '%REQ(:path)% %PROTOCOL%', X-Number: 007,"
        " authorization: Basic eA==}",
        "remove_request_headers": '["x-gone", "Referer"]',
    }
    await c.write("a.yaml", make_ingress("headers", "headers.test", annotations))
    sent = [
        ("x-gone", "1"),
        ("referer", "r"),
        ("x-cost", "client"),
        ("X-COST", "again"),
        ("authorization", "Basic eQ=="),
    ]
    echo = (await c.get("headers.test", headers=[*sent, ("x-kept", "k")])).echo
    assert echo.values("x-cost") == ["100%"]
    assert echo.values("x-command") == ["%REQ(:path)% %PROTOCOL%"]
    assert echo.values("x-number") == ["007"]
    assert echo.values("authorization") == ["Basic eA=="]
    assert not {"x-gone", "referer"} & echo.names()
    assert echo.values("x-kept") == ["k"]


async def test_ingresses_of_several_namespaces_share_a_host(c: Running, web: Upstream) -> None:
    await c.edit(
        {
            "a.yaml": make_ingress("front", "shared.test", mark("front")),
            "b.yaml": documents(
                make_web(web.port, "api", "team"),
                make_ingress("api", "shared.test", mark("api"), paths=[("/api", "Prefix", "api:80")], namespace="team"),
                make_ingress("admin", "shared.test", SIGNED_IN, paths=[("/admin", "Prefix", "web:80")]),
            ),
        }
    )
    assert [await served(c, "shared.test", path) for path in ("/", "/api/x", "/admin")] == ["front", "api", 401]
    await c.remove("b.yaml")
    assert [await served(c, "shared.test", path) for path in ("/", "/api/x", "/admin")] == ["front"] * 3


async def test_older_ingress_wins_a_path_that_two_claim(c: Running) -> None:
    paths: list[Path] = [("/both", "Prefix", "web:80")]
    young = make_ingress("young", "claim.test", mark("young"), paths=[*paths, ("/own", "Prefix", "web:80")],
                         created="2026-02-01T00:00:00Z")  # fmt: skip
    old = make_ingress("zold", "claim.test", mark("old"), paths=paths, created="2026-01-01T00:00:00Z")
    await c.write("a.yaml", young)
    assert await served(c, "claim.test", "/both") == "young"
    await c.write("b.yaml", old)
    assert await served(c, "claim.test", "/both/x") == "old"
    assert await served(c, "claim.test", "/own") == "young"
    assert c.said_of("young")[-1] == (
        "Warning UpdateError upsert routes: parsing ingress: spec.rules: Prefix /both of host claim.test "
        "is served for Ingress default/zold, which claimed it first"
    )
    assert c.said_of("zold") == ["Normal Updated updated pomerium configuration"]
    await c.remove("b.yaml")
    assert await served(c, "claim.test", "/both") == "young"
    assert c.said_of("young")[-1] == "Normal Updated updated pomerium configuration"


async def test_default_backend(c: Running) -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    await c.write(
        "a.yaml", make_ingress("d", "backend.test", paths=[], defaultBackend=backend, tls={"s": ["tls.test"]})
    )
    assert (await c.get("backend.test", "/x")).echo.target == "/x"
    assert (await c.get("tls.test", "/y")).echo.target == "/y"


async def test_external_name_is_resolved_by_dns(c: Running, web: Upstream) -> None:
    service = make_service("outside", type="ExternalName", externalName="localhost")
    ingress = make_ingress("outside", "outside.test", paths=[("/", "Prefix", f"outside:{web.port}")])
    await c.write("a.yaml", documents(service, ingress))
    echo = (await c.get("outside.test", "/x")).echo
    assert (echo.target, echo.values("host")) == ("/x", [f"localhost:{web.port}"])


async def test_upstream_over_tls_is_verified(c: Running) -> None:
    certificate, key = make_certificate("secure.default.svc.cluster.local", "wrong.default.svc")
    folder = c.settings.data_dir
    (folder / "up.pem").write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "up.pem")
    (folder / "ca.pem").write_bytes(certificate)
    annotations = PUBLIC | {"secure_upstream": "true"}
    async with upstream("secure", context) as secure:
        objects = documents(
            CLASS,
            make_web(secure.port, "secure"),
            make_web(secure.port, "other"),
            make_ingress("s", "secure.test", annotations, paths=[("/", "Prefix", "secure:80")]),
            make_ingress("o", "other.test", annotations, paths=[("/", "Prefix", "other:80")]),
        )
        async with running({"a.yaml": objects}, upstream_ca_file=folder / "ca.pem") as trusting:
            assert (await trusting.get("secure.test")).echo.upstream == "secure"
            # The certificate is not for this name.
            assert (await trusting.get("other.test")).status == 503
        async with running({"a.yaml": objects}) as distrusting:
            assert (await distrusting.get("secure.test")).status == 503
    assert secure.seen == ["GET /"]


async def test_redirect_to_https_names_the_port_that_users_see(c: Running) -> None:
    await c.write("a.yaml", make_ingress("app", "redirect.test", SIGNED_IN))
    port = c.settings.https_address.port
    async with c.connect_plain() as plain:
        for host in ("redirect.test", "redirect.test:8080", "unknown.test"):
            answer = await plain.get(host, "/x?y=1")
            name = host.partition(":")[0]
            assert (answer.status, answer.header("location")) == (308, f"https://{name}:{port}/x?y=1")
        assert (await plain.get("redirect.test", "/.pomerium/", method="POST")).status == 308
    async with running({}, external_https_port=443) as usual, usual.connect_plain() as plain:
        assert (await plain.get("redirect.test:80", "/x")).header("location") == "https://redirect.test/x"


async def test_slices_of_two_pods_and_a_service_without_any(c: Running, web: Upstream) -> None:
    async with upstream("second") as second:
        both = make_slice(second.port).replace('"web-1"', '"web-2"')
        await c.edit({"a.yaml": make_ingress("pods", "pods.test"), "b.yaml": both})
        asked = {(await c.get("pods.test")).echo.upstream for _ in range(20)}
        assert asked == {web.name, second.name}
    await c.remove("b.yaml")
    assert {(await c.get("pods.test")).echo.upstream for _ in range(5)} == {web.name}
