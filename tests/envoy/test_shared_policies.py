"""Policies that Ingresses share, and what holds for a whole class, on a real Envoy."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.envoy.test_changes import SCOPE
from tests.manifests import (
    CLASS,
    PUBLIC,
    SIGNED_IN,
    make_ingress,
    make_parameters,
    make_parameters_reference,
    make_policy,
    make_shared_policy,
    make_web,
)
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANN, BOB = ({"email": f"{name}@example.com"} for name in ("ann", "bob"))
USERS = 20


def allow(*criteria: Any) -> dict[str, Any]:
    return {"allow": {"or": criteria}}


def deny(*criteria: Any) -> dict[str, Any]:
    return {"deny": {"or": criteria}}


def make_class(**reference: str) -> str:
    made = json.loads(CLASS)
    made["spec"]["parameters"] = {**make_parameters_reference("edge"), **reference}
    return json.dumps(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        files = {
            "class.yaml": CLASS,
            "web.yaml": make_web(web.port),
            "office.yaml": make_shared_policy("office", allow(ANN)),
            "other.yaml": make_shared_policy("other", allow(ANN)),
            "web-other.yaml": make_ingress("other", "other.test", {"policy_ref": "other"}),
            **{f"{n}.yaml": make_ingress(f"i{n}", f"h{n}.test", {"policy_ref": "office"}) for n in range(USERS)},
        }
        async with running(files) as c:
            yield c


async def status(c: Running, host: str, email: str = "", path: str = "/") -> int:
    session = c.mint(host, f"{email}@example.com") if email else ""
    return (await c.get(host, path, session=session)).status


async def test_a_policy_that_changes_reaches_its_users_and_nothing_else(c: Running) -> None:
    before = c.sent
    await c.write("office.yaml", make_shared_policy("office", allow(BOB)))
    assert c.sent - before == {SCOPE: USERS}
    for number in range(USERS):
        host = f"h{number}.test"
        assert [await status(c, host), await status(c, host, "ann"), await status(c, host, "bob")] == [401, 403, 200]
    assert await status(c, "other.test", "ann") == 200
    before = c.sent
    # Neither what it says of itself nor who else may use it concerns its users.
    await c.write("office.yaml", make_shared_policy("office", allow(BOB), usableFrom=["elsewhere"]))
    assert c.sent == before
    await c.write("office.yaml", make_shared_policy("office", allow(ANN)))


async def test_a_denial_says_which_policy_it_comes_from(c: Running) -> None:
    await c.write("strict.yaml", make_shared_policy("strict", deny({"http_path": "/secret"})))
    await c.write("named.yaml", make_ingress("named", "named.test", {**PUBLIC, "policy_ref": "strict"}))
    assert await status(c, "named.test") == 200
    assert "deny:Policy_default_strict.0.deny" in (await c.get("named.test", "/secret")).text


async def test_policies_are_alternatives_and_a_denial_in_any_wins(c: Running) -> None:
    await c.write("strict.yaml", make_shared_policy("strict", deny({"http_path": "/secret"})))
    policy = {**make_policy(BOB), "policy_ref": "[office, default/strict]", "allowed_users": '["carl@example.com"]'}
    await c.write("all.yaml", make_ingress("all", "all.test", policy))
    for name in ("ann", "bob", "carl"):
        assert await status(c, "all.test", name) == 200
        assert await status(c, "all.test", name, "/secret") == 403
    assert await status(c, "all.test", "dora") == 403


async def test_a_grant_opens_and_its_end_closes(c: Running) -> None:
    def make(*namespaces: str) -> str:
        return make_shared_policy("lent", allow({"accept": True}), namespace="platform", usableFrom=namespaces)

    await c.edit(
        {"lent.yaml": make(), "lender.yaml": make_ingress("lender", "lent.test", {"policy_ref": "platform/lent"})}
    )
    assert "policy-not-granted" in (await c.get("lent.test")).text
    for granted in (["default"], ["*"]):
        await c.write("lent.yaml", make(*granted))
        assert await status(c, "lent.test") == 200
        await c.write("lent.yaml", make("elsewhere"))
        assert await status(c, "lent.test") == 503
    missing = [line for line in c.said_of("lender") if "UpdateError" in line]
    await c.remove("lent.yaml")
    assert "policy-not-granted" in (await c.get("lent.test")).text
    # Whether there is such a Policy is not told to those who may not use it.
    assert [line for line in c.said_of("lender") if "UpdateError" in line] == missing


async def test_what_a_class_denies_is_denied_to_all(c: Running) -> None:
    await c.edit(
        {
            "public.yaml": make_ingress("public", "public.test", PUBLIC),
            "signed-in.yaml": make_ingress("signed-in", "signed-in.test", SIGNED_IN),
            "silent.yaml": make_ingress("silent", "silent.test", {}),
        }
    )
    assert [await status(c, "public.test", path="/admin"), await status(c, "silent.test", "ann")] == [200, 403]
    await c.write("class.yaml", make_class())
    for host in ("public.test", "signed-in.test", "silent.test", "h0.test"):
        assert "class-parameters-not-found" in (await c.get(host)).text
    edge = make_parameters(
        "edge", deny({"http_path": "/admin"}), deny({"email": "mallory@example.com"}), default=[allow(ANN)]
    )
    await c.write("edge.yaml", edge)
    assert await status(c, "public.test") == 200
    for host in ("public.test", "signed-in.test", "silent.test", "h0.test"):
        assert await status(c, host, "ann") == 200
        assert await status(c, host, "ann", "/admin") == 403
        assert await status(c, host, "mallory") == 403
    assert "deny:IngressClassParameters_edge.mandatoryDeny.0.deny" in (await c.get("public.test", "/admin")).text
    assert await status(c, "silent.test", "bob") == 403
    await c.write("class.yaml", CLASS)
    assert await status(c, "public.test", path="/admin") == 200


@pytest.mark.parametrize(
    ("reference", "parameters", "reason"),
    [
        ({"kind": "ConfigMap"}, [], "invalid-class-parameters"),
        ({"apiGroup": ""}, [], "invalid-class-parameters"),
        ({"scope": "Namespace", "namespace": "default"}, [], "invalid-class-parameters"),
        ({"name": "else"}, [], "class-parameters-not-found"),
        ({}, [allow({"accept": True})], "invalid-class-parameters"),
        ({}, [deny({"http_pth": "/"})], "invalid-class-parameters"),
        ({}, ["deny"], "invalid-class-parameters"),
    ],
    ids=["kind", "group", "scope", "name", "allow", "criterion", "text"],
)
async def test_parameters_that_cannot_be_used_close_the_class(
    c: Running, reference: dict[str, str], parameters: Any, reason: str
) -> None:
    """A denial must never vanish. The Ingress says which class, and what is wrong."""
    c.forget()
    await c.edit(
        {
            "class.yaml": make_class(**reference),
            "edge.yaml": make_parameters("edge", *parameters),
            "public.yaml": make_ingress("public", "public.test", PUBLIC),
        }
    )
    assert reason in (await c.get("public.test")).text
    assert any(
        "UpdateError" in line and "IngressClass pomerium: spec.parameters: " in line for line in c.said_of("public")
    )
    await c.edit({"class.yaml": CLASS, "edge.yaml": make_parameters("edge")})
    assert await status(c, "public.test") == 200
