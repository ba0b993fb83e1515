"""Requests to a kube-apiserver in the name of the user; on a real Envoy.

``tests/cluster/test_kubernetes_access.py`` asks a real kube-apiserver. Tests of one kind of attack have one number.
"""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import pytest_asyncio

from ingress_controller.session import signing_key
from tests.clients import Headers
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_policy, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import Echo, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

K8S, WILD, MIXED, APP = "k8s.test", "a.wild.test", "mixed.test", "app.test"
TOKEN = {"kubernetes_service_account_token": "robot"}
FORMS = ("{host}", "{upper}", "{title}", "{host}.", "{host}:99")


def make_token(token: str, name: str = "robot") -> str:
    metadata = {"name": name, "namespace": "default"}
    kind = "kubernetes.io/service-account-token"
    return json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "stringData": {"token": token}}
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Upstream]:
    async with upstream() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(web: Upstream) -> AsyncIterator[Running]:
    objects = documents(
        CLASS,
        make_web(web.port),
        make_token("secret-token"),
        make_ingress("k8s", K8S, SIGNED_IN | TOKEN),
        make_ingress("wild", "*.wild.test", SIGNED_IN | TOKEN),
        make_ingress("api", MIXED, SIGNED_IN | TOKEN, paths=[("/api", "Prefix", "web:80")]),
        make_ingress("pages", MIXED, PUBLIC, paths=[("/pages", "Prefix", "web:80")]),
        make_ingress("open", "open.test", make_policy({"accept": True}) | TOKEN),
        make_ingress("app", APP, SIGNED_IN),
    )
    async with running({"all.yaml": objects}) as c:
        yield c


def bearer(token: str) -> Headers:
    return [("authorization", f"Bearer Pomerium-{token}")]


async def ask(c: Running, host: str, token: str, path: str = "/", headers: Headers = ()) -> Echo:
    async with c.connect(host) as connection:
        return (await connection.get(host, path, [*bearer(token), *headers])).echo


def forge(c: Running, host: str, **claims: Any) -> str:
    """A session as no sign-in would make it, signed by the right key."""
    key, now = signing_key(c.settings.data_dir), datetime.now(UTC)
    usual = {"iss": c.settings.authenticate_service_url, "aud": [host], "sub": "ann", "email": "ann@example.com",
             "groups": [], "sid": "1", "iat": now, "exp": now + timedelta(hours=1)}  # fmt: skip
    given = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(given, key.private, algorithm="ES256", headers={"kid": key.kid})


def identity(echo: Echo) -> Mapping[str, list[str]]:
    """Every header that says who asks."""
    return {
        name: echo.values(name) for name in sorted(echo.names()) if name.startswith(("impersonate", "authorization"))
    }


ANN = {"authorization": ["Bearer secret-token"], "impersonate-user": ["ann@example.com"]}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("host", [K8S, WILD])
async def test_user_and_each_group_are_impersonated(c: Running, host: str, form: str) -> None:
    token = c.mint(host, groups=("devs", "on call", "Bücher", "a,b"))
    written = form.format(host=host, upper=host.upper(), title=host.title())
    for headers in (bearer(token), [("cookie", f"{COOKIE}={token}")]):
        for connection in (c.connect(host), c.connect_http2(host)):
            async with connection as opened:
                echo = (await opened.get(written, "/api", headers)).echo
            groups = [value.encode("latin-1").decode() for value in identity(echo)["impersonate-group"]]
            assert groups == ["devs", "on call", "Bücher", "a,b"]
            assert {**identity(echo), "impersonate-group": []} == ANN | {"impersonate-group": []}
            assert token not in repr(echo)


async def test_only_marked_routes_impersonate(c: Running) -> None:
    assert identity(await ask(c, MIXED, c.mint(MIXED), "/api")) == ANN
    for host, path in ((MIXED, "/pages"), (APP, "/")):
        for form in FORMS:
            async with c.connect(host) as connection:
                written = form.format(host=host, upper=host.upper(), title=host.title())
                echo = (await connection.get(written, path, bearer(c.mint(host)))).echo
            assert identity(echo) == {}
    async with c.connect(MIXED) as connection:
        echo = (await connection.get(MIXED, "/pages", [("authorization", "Basic eA==")])).echo
        assert identity(echo) == {"authorization": ["Basic eA=="]}


@pytest.mark.parametrize("host", [K8S, WILD, "open.test"])
async def test_attack_16_without_a_user_of_this_host_nothing_is_sent(c: Running, web: Upstream, host: str) -> None:
    """Also where the policy admits everybody: a session of another host counts nothing there."""
    web.seen.clear()
    for headers in ((), [("authorization", "Bearer x")], [("authorization", "Basic eA==")], bearer(c.mint(APP))):
        for form in FORMS:
            async with c.connect(host) as connection:
                written = form.format(host=host, upper=host.upper(), title=host.title())
                assert (await connection.get(written, "/", headers)).status == 401
    assert web.seen == []
    assert identity(await ask(c, host, c.mint(host))) == ANN


SPOOFED = [("Impersonate-User", "root"), ("impersonate-group", "system:masters"), ("Impersonate-Uid", "0"),
           ("Impersonate-Extra-scopes", "all"), ("Impersonate.User", "root"), ("IMPERSONATE-USER", "")]  # fmt: skip


@pytest.mark.parametrize("host", [K8S, WILD, MIXED])
async def test_attack_02_impersonation_cannot_be_claimed(c: Running, host: str) -> None:
    assert identity(await ask(c, host, c.mint(host), "/api", SPOOFED)) == ANN
    async with c.connect(host) as connection:
        authorization = [("authorization", "Bearer root"), ("cookie", f"{COOKIE}={c.mint(host)}")]
        assert identity((await connection.get(host.upper(), "/api", [*authorization, *SPOOFED])).echo) == ANN


NOMINATED = ["Impersonate-User", "impersonate-user, Impersonate-Group, authorization", "close, Impersonate-User",
             "keep-alive, impersonate-group", "authorization", "te, Impersonate-User"]  # fmt: skip


@pytest.mark.parametrize("host", [K8S, WILD])
@pytest.mark.parametrize("nominated", NOMINATED)
async def test_attack_04_connection_cannot_take_the_user_away(c: Running, host: str, nominated: str) -> None:
    """A request that lost its user on the way would run as the service account."""
    token = c.mint(host, groups=("devs",))
    for form in (host, host.upper()):
        async with c.connect(host) as connection:
            headers = [("connection", nominated), ("cookie", f"{COOKIE}={token}")]
            answer = await connection.get(form, "/", headers)
        if answer.status != 400:
            assert identity(answer.echo) == ANN | {"impersonate-group": ["devs"]}
            assert "impersonate" not in " ".join(answer.echo.values("connection")).lower()


@pytest.mark.parametrize("protocol", ["SPDY/3.1", "spdy/3.1"])
@pytest.mark.parametrize("host", [K8S, WILD])
async def test_attack_04_upgrade_cannot_take_the_user_away(c: Running, host: str, protocol: str) -> None:
    """Kept for a change of protocol, Connection must name nothing else to whoever stands behind."""
    for form in (host, host.upper()):
        for nominated in ("Upgrade, Impersonate-User", "impersonate-user,upgrade,authorization"):
            async with c.connect(host) as connection:
                headers = [("connection", nominated), ("upgrade", protocol), *bearer(c.mint(host))]
                answer = await connection.get(form, "/", headers)
            if answer.status != 400:
                assert identity(answer.echo) == ANN
                assert [value.lower() for value in answer.echo.values("connection")] == ["upgrade"]


BAD_USERS: list[Any] = [None, "", 5, ["ann"], {"a": "b"}, "system:admin", "system:serviceaccount:kube-system:robot@x",
                        "a\0@x", "a\n@x", "\ta@x", " a@x", "a@x ", True]  # fmt: skip
BAD_GROUPS: list[Any] = [["a\0b"], ["a\r\nImpersonate-User: root"], [" a"], ["a "], [""], ["good", "\x7f"], ["a\t"]]


@pytest.mark.parametrize("form", FORMS[:2])
async def test_identity_that_could_be_read_otherwise_is_denied(c: Running, web: Upstream, form: str) -> None:
    web.seen.clear()
    written = form.format(host=K8S, upper=K8S.upper())
    sessions = [{"email": user} for user in BAD_USERS] + [{"groups": groups} for groups in BAD_GROUPS]
    for claims in sessions:
        async with c.connect(K8S) as connection:
            answer = await connection.get(written, "/", bearer(forge(c, K8S, **claims)))
            assert answer.status == 403, claims
    assert web.seen == []


async def test_groups_of_kubernetes_are_left_out(c: Running) -> None:
    groups = ["system:masters", "devs", "system:", "System:masters", "a system:masters"]
    echo = await ask(c, K8S, forge(c, K8S, groups=groups))
    assert identity(echo) == ANN | {"impersonate-group": ["devs", "System:masters", "a system:masters"]}
    for absent in (None, [], "devs", 5, [5], {"a": "b"}):
        async with c.connect(K8S) as connection:
            answer = await connection.get(K8S, "/", bearer(forge(c, K8S, groups=absent)))
            assert answer.status == 403 or identity(answer.echo) == ANN, absent


async def test_rotation_of_the_token_is_one_secret(c: Running) -> None:
    await c.write("rotated.yaml", make_token("old", "rotated"))
    names = {"kubernetes_service_account_token_secret": "rotated"}
    await c.write("ingress.yaml", make_ingress("rotated", "rotated.test", SIGNED_IN | names))
    async with c.connect("rotated.test") as connection:
        headers = bearer(c.mint("rotated.test"))
        for token in ("old", "new"):
            before = c.sent
            await c.write("rotated.yaml", make_token(token, "rotated"))
            assert c.sent - before == ({"Secret": 1} if token == "new" else {})
            assert (await connection.get("rotated.test", "/", headers)).echo.values("authorization") == [
                f"Bearer {token}"
            ]
        await c.remove("rotated.yaml")
        assert (await connection.get("rotated.test", "/", headers)).text == "503 secret-not-found\n"
    await c.remove("ingress.yaml")


async def test_token_is_in_no_dump(c: Running) -> None:
    assert "secret-token" not in await c.envoy.admin_get("/config_dump?include_eds")


async def test_attack_15_without_the_script_nothing_is_sent(c: Running, web: Upstream) -> None:
    """Groups that are no list end the script with an error, after which Envoy goes on with the request."""
    web.seen.clear()
    async with c.connect(K8S) as connection:
        for groups in ("devs", 5, True):
            answer = await connection.get(K8S, "/", bearer(forge(c, K8S, groups=groups)))
            assert answer.status == 403
            assert "no-identity" in answer.json["reason"]
    assert web.seen == []
