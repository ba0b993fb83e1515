"""Attacks by those who may write an Ingress, and what happens where configuration is missing; on a real Envoy.

Tests of one kind of attack have one number.
"""

import dataclasses
import json
import ssl
import stat
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ingress_controller import app, offline
from ingress_controller.envoy.encoder import EXTENSION, SCOPE
from ingress_controller.envoy.options import Options as EnvoyOptions
from ingress_controller.settings import Settings
from ingress_controller.translate.options import Options
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_service, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP, GOOD = "app.test", "good.test"
PARSER_FOOD = [
    "%REQ(:path)%",
    "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:session)%",
    "%FILE_CONTENT(/etc/passwd)%",
    "%ENVIRONMENT(HOME)%",
    "%%",
    "%",
    "'; true || '",
    '" || true || "',
    "') || ('1'=='1",
    "\\' || true",
    "]] os.execute('true') --[[",
    "\\u0022}}, {\\u0022accept\\u0022: true",
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "{{ .Values }}",
    "\u2028\u202e",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        objects = documents(CLASS, make_web(web.port), make_ingress("good", GOOD))
        async with running({"all.yaml": objects}) as c:
            yield c


@pytest.mark.parametrize("text", PARSER_FOOD)
async def test_attack_11_header_is_literal_text(c: Running, text: str) -> None:
    annotations = SIGNED_IN | {"set_request_headers": json.dumps({"x-text": text})}
    await c.write("a.yaml", make_ingress("a", APP, annotations))
    answer = await c.get(APP, session=c.mint(APP))
    if answer.status == 503:
        # Refused as a whole, with a reason.
        assert "set_request_headers" in c.said_of("a")[-1]
    else:
        assert answer.echo.values("x-text") == [text.encode().decode("latin-1")]
    assert (await c.get(GOOD)).status == 200


@pytest.mark.parametrize("text", PARSER_FOOD)
async def test_attack_11_policy_values_are_compared_and_nothing_else(c: Running, text: str) -> None:
    criteria: list[dict[str, object]] = [
        {"email": f"{text}@example.com"},
        {"user": text},
        {"groups": {"has": text}},
        {"groups": {"is": text}},
        {f"claim/{text}": text},
        {"claim/role": text},
        {"http_path": {"contains": text}},
        {"domain": {"ends_with": text}},
        {"email": {"in": [f"{text}{number}" for number in range(20)]}},
    ]
    for criterion in criteria:
        await c.write("a.yaml", make_ingress("a", APP, {"policy": json.dumps([{"allow": {"or": [criterion]}}])}))
        assert (await c.get(APP, "/x")).status in {401, 403, 503}, criterion
        assert (await c.get(APP, "/x", session=c.mint(APP))).status in {403, 503}, criterion
    user = c.mint(APP, groups=(text,)) if text.isprintable() else c.mint(APP)
    await c.write("a.yaml", make_ingress("a", APP, {"policy": json.dumps([{"allow": {"or": [criteria[2]]}}])}))
    assert (await c.get(APP, session=user)).status in ({200} if text.isprintable() else {403, 503})
    assert (await c.get(GOOD)).status == 200


@pytest.mark.parametrize("text", [text for text in PARSER_FOOD if not text.startswith("\u2028")])
async def test_attack_11_paths_and_rewrites_are_literal(c: Running, text: str) -> None:
    await c.write(
        "a.yaml", make_ingress("a", APP, PUBLIC | {"prefix_rewrite": f"/{text}/"}, paths=[("/p", "Prefix", "web:80")])
    )
    answer = await c.get(APP, "/p/x")
    assert answer.status == 503 or answer.echo.target == f"/{text}/x"
    await c.write("a.yaml", make_ingress("a", APP, PUBLIC, paths=[(f"/{text}", "Exact", "web:80")]))
    async with c.connect(GOOD) as connection:
        assert (await connection.get(APP, "/")).status == 404
        assert (await connection.get(APP, "/secret")).status == 404
    assert (await c.get(GOOD)).status == 200


@pytest.mark.parametrize(
    "text", [*PARSER_FOOD, "*.*.test", "*", "a.*.test", "A.test", "a.test:80", "127.0.0.1", "[::1]", "a_b.test"]
)
async def test_attack_11_host_is_a_name(c: Running, text: str) -> None:
    await c.write("a.yaml", make_ingress("a", text))
    assert "Warning UpdateError upsert routes: parsing ingress: spec.rules[0]" in c.said_of("a")[-1]
    assert (await c.get(GOOD)).status == 200


async def test_attack_11_reason_is_not_markup(c: Running) -> None:
    criterion = {"claim/<script>alert(1)</script>": "<b>"}
    rules = [{"allow": {"or": [{"accept": True}]}, "deny": {"not": [criterion]}}]
    await c.write("a.yaml", make_ingress("a", APP, {"policy": json.dumps(rules)}))
    browser = [("accept", "text/html"), ("cookie", f"{COOKIE}={c.mint(APP, claims={'x': '<i>'})}")]
    answer = await c.get(APP, "/<script>alert(2)</script>?<script>", headers=browser)
    assert answer.status in {403, 503}
    assert "<script" not in answer.text
    assert "alert" not in answer.text


async def test_attack_11_annotation_of_another_prefix_or_namespace_does_nothing(c: Running) -> None:
    sneaky = make_ingress("a", APP, {}).replace('"annotations": {}', '"annotations": {"evil.io/policy": "x", '
                                                                     '"Ingress.pomerium.io/policy": "x"}')  # fmt: skip
    await c.write("a.yaml", sneaky)
    assert (await c.get(APP, session=c.mint(APP))).status == 403
    # A backend is looked for in the Ingress's own namespace.
    await c.write("a.yaml", make_ingress("a", APP, namespace="elsewhere"))
    assert (await c.get(APP)).text == "503 service-not-found\n"
    await c.write("a.yaml", make_ingress("a", APP, paths=[("/", "Prefix", "default/web:80")]))
    assert (await c.get(APP)).status == 503


LOCAL_NAMES = [
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "ip6-localhost",
    "127.0.0.1",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "::1",
    "[::1]",
    "::ffff:127.0.0.1",
    "::",
    "169.254.169.254",
    "fe80::1",
    "0.0.0.0",  # noqa: S104 -- nothing is bound
]


async def test_attack_13_external_name_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With manifests such names are allowed; here the options are those of a cluster."""
    options = offline.translate_options

    def as_in_a_cluster(settings: Settings) -> Options:
        return dataclasses.replace(options(settings), allow_local_external_names=False)

    monkeypatch.setattr(offline, "translate_options", as_in_a_cluster)
    async with upstream() as web, running({"class.yaml": CLASS}) as c:
        for number, name in enumerate(LOCAL_NAMES):
            service = make_service("out", type="ExternalName", externalName=name)
            ingress = make_ingress(f"out{number}", "out.test", paths=[("/", "Prefix", f"out:{web.port}")])
            await c.write("a.yaml", documents(service, ingress))
            assert (await c.get("out.test")).text == "503 backend-not-allowed\n", name
            assert "Warning UpdateError" in c.said_of(f"out{number}")[0]
        assert web.seen == []


async def test_attack_13_control_sockets_are_closed_to_others(c: Running) -> None:
    data = c.settings.data_dir
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "xds.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "signing-key.pem").stat().st_mode) == 0o600
    config = json.loads(await c.envoy.admin_get("/config_dump"))
    (admin,) = (each["bootstrap"]["admin"] for each in config["configs"] if "bootstrap" in each)
    path = admin["address"]["pipe"]["path"]
    assert stat.S_IMODE((c.manifests.parent / "envoy" / path).stat().st_mode) == 0o600
    listeners = json.loads(await c.envoy.admin_get("/listeners?format=json"))["listener_statuses"]
    ports = {each["local_address"]["socket_address"]["port_value"] for each in listeners}
    assert ports == {c.settings.http_address.port, c.settings.https_address.port}
    # Neither is a route of any host.
    for target in ("/config_dump", "/quitquitquit", "/stats", "/certs"):
        async with c.connect_plain() as plain:
            assert (await plain.get("localhost", target)).status == 308


async def test_attack_15_without_keys_nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    options = app.envoy_options

    def without_keys(settings: Settings) -> EnvoyOptions:
        return dataclasses.replace(options(settings), jwks='{"keys": []}')

    monkeypatch.setattr(app, "envoy_options", without_keys)
    async with upstream() as web:
        async with running({"a.yaml": documents(CLASS, make_web(web.port), make_ingress("app", APP, SIGNED_IN))}) as c:
            for session in ("", c.mint(APP), "x"):
                try:
                    assert (await c.get(APP, session=session)).status in {401, 404, 500, 503}
                except (ssl.SSLError, ConnectionError):
                    continue
        assert web.seen == []


async def test_attack_15_without_the_session_filter_nobody_is_admitted() -> None:
    async with upstream() as web:
        async with running({"a.yaml": documents(CLASS, make_web(web.port), make_ingress("app", APP, SIGNED_IN))}) as c:
            session = c.mint(APP)
            assert (await c.get(APP, session=session)).status == 200
            web.seen.clear()
            (name,) = c.controller.cache.resources(EXTENSION)
            await c.controller.xds.settled(c.controller.cache.update({EXTENSION: {name: None}}))
            for headers in ([], [("cookie", f"{COOKIE}=x")]):
                assert (await c.get(APP, headers=headers)).status in {401, 500}
        assert web.seen == []


async def test_attack_15_without_its_scope_a_host_is_closed(c: Running) -> None:
    await c.write("a.yaml", make_ingress("a", APP))
    async with c.connect(APP) as connection:
        assert (await connection.get(APP)).status == 200
        await c.controller.xds.settled(c.controller.cache.update({SCOPE: {APP: None}}))
        assert (await connection.get(APP)).status == 404
        await c.remove("a.yaml")
        assert (await connection.get(APP)).status == 404


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"policy": "["},
        {"policy": "[]"},
        {"policy": "{}"},
        {"policy": "null"},
        {"policy": '[{"allow":{"or":[]}}]'},
        {"policy": '[{"allow":{}}]'},
        {"policy": '[{"deny":{"or":[]}}]'},
        {"policy": '[{"allow":{"or":[{"unknown":"x"}]}}]'},
        {"policy": '[{"allow":{"or":[{"accept":"maybe"}]}}]'},
        {"allow_public_unauthenticated_access": "maybe"},
        {"allow_public_unauthenticated_access": "false"},
        {"allow_any_authenticated_user": "false"},
        {"allowed_users": "[]"},
        {"allowed_users": "[''] "},
        {"allowed_domains": "['*']"},
        {"allowed_idp_claims": "{}"},
        {"polciy": '[{"allow":{"or":[{"accept":true}]}}]'},
        PUBLIC | {"policy": "["},
        PUBLIC | {"allowed_users": "[ann@example.com]"},
    ],
    ids=repr,
)
async def test_attack_15_broken_or_empty_policy_is_closed(c: Running, annotations: dict[str, str]) -> None:
    await c.write("a.yaml", make_ingress("a", APP, annotations))
    assert (await c.get(APP)).status in {401, 403, 503}
    assert (await c.get(APP, session=c.mint(APP))).status in {403, 503}
