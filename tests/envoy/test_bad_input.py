"""Bad input: a clear message on the right object, the rest served, nothing crashed; on a real Envoy."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.manifests import (
    CLASS,
    PUBLIC,
    SIGNED_IN,
    Path,
    documents,
    make_ingress,
    make_secret,
    make_service,
    make_slice,
    make_web,
)
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = "good.test"
BOMB = "".join(
    f"{one}: &{one} [{', '.join(f'*{other}' for _ in range(10))}]\n"
    for one, other in zip("bcdefg", "abcdef", strict=True)
)
REGEX = PUBLIC | {"path_regex": "true"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Running]:
    async with upstream() as web:
        files = {"class.yaml": CLASS, "web.yaml": make_web(web.port), "good.yaml": make_ingress("good", GOOD)}
        async with running(files) as c:
            yield c


@pytest_asyncio.fixture(loop_scope="module")
async def c(served: Running) -> AsyncIterator[Running]:
    """Whatever a test does, everything else is still served after it."""
    served.forget()
    yield served
    assert (await served.get(GOOD)).status == 200
    names = {file.name for file in served.manifests.iterdir()} - {"class.yaml", "web.yaml", "good.yaml"}
    await served.remove(*names)
    assert (await served.get(GOOD)).status == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [b\nc: }", "not YAML: did not find expected ',' or ']' (line 2, column 2)"),
        ("a:\n\t- b", "not YAML: found character that cannot start any token (line 2, column 1)"),
        ("a: 1\na: 2", "the key 'a' is given twice (line 2, column 1)"),
        ("hello", "not a Kubernetes object: a map with apiVersion, kind and metadata is wanted"),
        ("- a", "not a Kubernetes object: a map with apiVersion, kind and metadata is wanted"),
        ("foo: bar", "not a Kubernetes object: apiVersion, kind and metadata are wanted"),
        ("apiVersion: v1\nkind: Service\nmetadata: {}", "Service has no metadata.name"),
        (b"a: \xff", "not UTF-8: invalid start byte at byte 3"),
        ("a".encode("utf-16"), "not UTF-8: invalid start byte at byte 0"),
        (b"\0", "not YAML: "),
        ("[" * 100_000, "nested more than 64 deep (line 1, column 65)"),
        (f"a: &a [1]\n{BOMB}", "more than 500000 values"),
        (
            "!!python/object/apply:os.system [x]",
            "tag 'tag:yaml.org,2002:python/object/apply:os.system' is not accepted",
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_file_that_cannot_be_read(c: Running, content: str | bytes, message: str) -> None:
    await c.write("bad.yaml", content)
    (line,) = c.said
    assert line.startswith(f"Warning UpdateError {c.manifests}/bad.yaml: {message}")
    # It is said once, not each time that the folder is read.
    await c.apply()
    assert len(c.said) == 1


async def test_file_that_cannot_be_read_keeps_its_last_good_objects(c: Running) -> None:
    good = documents(make_ingress("kept", "kept.test"), make_ingress("other", "other.test"))
    await c.write("kept.yaml", good)
    for broken in (f"{good}\n}}", b"\xff", make_ingress("kept", "kept.test")[:-1]):
        await c.write("kept.yaml", broken)
        assert [(await c.get(host)).status for host in ("kept.test", "other.test")] == [200, 200]
    await c.write("kept.yaml", make_ingress("kept", "kept.test"))
    async with c.connect(GOOD) as connection:
        assert [(await connection.get(host)).status for host in ("kept.test", "other.test")] == [200, 404]


async def test_object_of_the_wrong_form_is_named(c: Running) -> None:
    await c.write(
        "bad.yaml", documents(make_ingress("fine", "fine.test"), make_service("odd").replace("80", '"eighty"'))
    )
    assert "Warning UpdateError" in c.said[0]
    assert "bad.yaml, document 2: Service default/odd: " in c.said[0]
    assert "$.spec.ports[0].port" in c.said[0]
    assert (await c.get("fine.test")).status == 200


async def test_object_that_is_given_twice(c: Running) -> None:
    await c.write("zz.yaml", make_ingress("good", GOOD, SIGNED_IN))
    (line,) = c.said
    assert line == (
        f"Warning UpdateError {c.manifests}/zz.yaml: Ingress default/good is given twice; "
        f"the one in {c.manifests}/good.yaml counts"
    )
    assert (await c.get(GOOD)).status == 200


async def test_ingress_of_ten_thousand_rules(c: Running) -> None:
    rule = json.loads(make_ingress("many", "x"))["spec"]["rules"][0]
    ingress = json.loads(make_ingress("many", "x"))
    ingress["spec"]["rules"] = [
        {"host": f"m{number % 100}.test", "http": {"paths": [rule["http"]["paths"][0] | {"path": f"/p{number}"}]}}
        for number in range(10_000)
    ]
    await c.write("many.yaml", json.dumps(ingress))
    assert c.said == ["Normal Updated Ingress default/many: updated pomerium configuration"]
    assert (await c.get("m99.test", "/p9999/x")).status == 200
    assert (await c.get("m99.test", "/p9998")).status == 404


async def test_policy_of_a_mebibyte(c: Running) -> None:
    users = [f"user{number}@example.com" for number in range(31_000)]
    policy = json.dumps([{"allow": {"or": [{"email": {"in": users}}]}}])
    assert 750_000 < len(policy) < 1 << 20
    host = "long.test"
    await c.write("long.yaml", make_ingress("long", host, {"policy": policy}))
    assert c.said_of("long") == ["Normal Updated updated pomerium configuration"]
    assert (await c.get(host, session=c.mint(host, users[-1]))).status == 200
    assert (await c.get(host, session=c.mint(host, "eve@example.com"))).status == 403
    await c.write("long.yaml", make_ingress("long", host, {"policy": policy + " " * (1 << 20)}))
    assert c.said_of("long")[-1].endswith("applying policy annotations: parsing policy: longer than 1 MiB")
    assert (await c.get(host, session=c.mint(host, users[-1]))).text == "503 invalid-policy\n"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("[" * 100_000, "nested more than 64 deep"),
        ("x" * 100_000, "expected a rule with allow or deny"),
        (f"a: &a [1]\n{BOMB}", "anchors and aliases are not accepted"),
        ("", "policy"),
        ('[{"allow":{"maybe":[{"accept":true}]}}]',
         'unsupported conditional "maybe", only and, or, not, nor and action are allowed'),
    ],
    ids=["deep", "text", "bomb", "empty", "maybe"],
)  # fmt: skip
async def test_broken_policy_closes_its_paths(c: Running, policy: str, message: str) -> None:
    host = "closed.test"
    await c.write("p.yaml", make_ingress("p", host, PUBLIC))
    assert (await c.get(host)).status == 200
    await c.write("p.yaml", make_ingress("p", host, {"policy": policy}))
    warning = c.said_of("p")[-1]
    assert warning.startswith(
        "Warning UpdateError upsert routes: parsing ingress: annotations: applying policy annotations: "
    )
    assert message in warning
    assert (await c.get(host, session=c.mint(host))).text == "503 invalid-policy\n"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("^/(a{1000}){1000}$", "is not RE2: invalid repetition size: {1000}"),
        ("^/((a{30}){30}){10}$", "is not RE2: "),
        ("^/(?=a)$", "is not RE2: invalid perl operator: (?="),
        ("^/(a)\\1$", "is not RE2: invalid escape sequence: \\1"),
        ("^/\\x{100}$", "is not RE2: invalid escape sequence"),
        ("^/(?:aaaaaaaaaaaa|bbbbbbbbbbbb){900}$", "steps; 10000 are allowed"),
        ("/a$", "must begin with ^/ and end with $"),
        ("^/a", "must begin with ^/ and end with $"),
        ("^/" + "a" * 5000 + "$", "longer than 4096 bytes"),
    ],
    ids=lambda value: value[:20],
)
async def test_pattern_that_is_not_served(c: Running, pattern: str, message: str) -> None:
    paths: list[Path] = [(pattern, "ImplementationSpecific", "web:80"), ("/fine", "Prefix", "web:80")]
    await c.write("re.yaml", make_ingress("re", "re.test", REGEX, paths=paths))
    (warning,) = c.said_of("re")
    assert "Warning UpdateError upsert routes: parsing ingress: spec.rules[0].http.paths[0].path: pattern" in warning
    assert message in warning
    assert (await c.get("re.test", "/fine")).status == 200
    assert (await c.get("re.test", "/a")).status == 404


@pytest.mark.parametrize(
    "pattern", ["^/(a+)+$", "^/(a|aa)+$", "^/(.*a){20}$", "^/(a?){400}a{400}$", "^/\\pN{300}$", "^/\\xff*$"]
)
async def test_pattern_that_would_be_a_bomb_elsewhere_costs_nothing(c: Running, pattern: str) -> None:
    ingress = make_ingress("re", "re.test", REGEX, paths=[(pattern, "ImplementationSpecific", "web:80")])
    await c.write("re.yaml", ingress)
    assert c.said_of("re") == ["Normal Updated updated pomerium configuration"]
    assert (await c.get("re.test", "/" + "a" * 8000 + "!")).status == 404


@pytest.mark.parametrize(
    "values",
    [
        {"x-long": "v" * 20_000},
        {"x-percents": "%" * 9_000},
        {f"x-{number}": "v" for number in range(1001)},
        {"x-line": "a\nb"},
        {"x-return": "a\rb"},
        {"x-nul": "a\0b"},
        {"bad name": "v"},
        {"bad:name": "v"},
        {":path": "/admin"},
        {"host": "v"},
        {"x-pomerium-jwt-assertion": "v"},
        {"X_Pomerium.Email": "v"},
    ],
    ids=lambda values: next(iter(values)),
)
async def test_headers_that_envoy_would_refuse_or_must_not_set(c: Running, values: dict[str, str]) -> None:
    await c.write("h.yaml", make_ingress("h", "h.test", PUBLIC | {"set_request_headers": json.dumps(values)}))
    (warning,) = c.said_of("h")
    assert "annotations: ingress.pomerium.io/set_request_headers: " in warning
    assert (await c.get("h.test")).text == "503 invalid-annotation\n"


async def test_secret_that_is_no_key_pair(c: Running) -> None:
    await c.write("s.yaml", make_ingress("s", "s.test", tls={"pair": ["s.test"]}))
    assert "Secret default/pair not found" in c.said_of("s")[-1]
    for certificate, key, message in (
        (b"x", b"y", "tls.crt is not a PEM certificate chain"),
        (b"", b"y", "has no tls.crt"),
        (b"\xff\xfe", b"\x00", "tls.crt is not a PEM certificate chain"),
    ):
        await c.write("pair.yaml", make_secret("pair", certificate, key))
        assert message in c.said_of("s")[-1]
        assert c.said_of("s")[-1].endswith("the self-signed bootstrap certificate is served")
        assert await c.certificate("s.test") == await c.certificate(GOOD)
        assert (await c.get("s.test")).status == 200


async def test_unknown_annotation(c: Running) -> None:
    await c.write("u.yaml", make_ingress("u", "u.test", PUBLIC | {"allowed_user": "[a]"}))
    (warning,) = c.said_of("u")
    assert "unknown ingress.pomerium.io/allowed_user; the nearest known are allowed_users" in warning
    assert (await c.get("u.test")).text == "503 invalid-annotation\n"


async def test_one_broken_path_leaves_the_others(c: Running) -> None:
    paths: list[Path] = [
        ("/", "Prefix", "web:80"),
        ("/gone", "Prefix", "nothing:80"),
        ("/port", "Prefix", "web:81"),
        ("/named", "Prefix", "web:http"),
    ]
    await c.write("w.yaml", make_ingress("w", "w.test", paths=paths))
    answers = [await c.get("w.test", path) for path, _, _ in paths]
    assert [answer.status for answer in answers] == [200, 503, 503, 200]
    assert [answer.text for answer in answers[1:3]] == ["503 service-not-found\n", "503 port-not-found\n"]
    assert len([line for line in c.said_of("w") if "Warning" in line]) == 2


async def test_rule_without_a_host_is_refused(c: Running) -> None:
    await c.write("e.yaml", make_ingress("e", ["", "e.test"]))
    assert "the rule has no host and would serve every host" in c.said_of("e")[0]
    assert (await c.get("e.test")).status == 200


async def test_ingress_deleted_while_it_is_compiled(c: Running) -> None:
    """In the same batch as it was added, in the next, and with Envoy still at work on it."""
    ingress = documents(make_ingress("brief", "brief.test", paths=[("/", "Prefix", "brief:80")]),
                        make_service("brief"), make_slice(1, "brief"))  # fmt: skip
    for _ in range(20):
        c.put({"brief.yaml": ingress})
        c.read()
        c.put({"brief.yaml": None})
        c.read()
        c.put({"brief.yaml": ingress})
        c.read()
        await c.controller.pipeline.idle()
        c.put({"brief.yaml": None})
        await c.apply()
    async with c.connect(GOOD) as connection:
        assert (await connection.get("brief.test")).status == 404
    assert not any(kind and "brief" in name for kind, name in names_served(c))
    c.put({"brief.yaml": ingress})


def names_served(c: Running) -> list[tuple[str, str]]:
    types = ("config.cluster.v3.Cluster", "config.endpoint.v3.ClusterLoadAssignment",
             "config.route.v3.ScopedRouteConfiguration")  # fmt: skip
    urls = [f"type.googleapis.com/envoy.{kind}" for kind in types]
    return [(url, name) for url in urls for name in c.controller.cache.resources(url)]
