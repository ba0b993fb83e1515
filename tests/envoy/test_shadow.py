"""Policies that are tried: Envoy counts and names what they would decide, and does not act on it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ingress_controller.envoy.filters import policy as policy_filter
from ingress_controller.envoy.filters import session_jwt
from ingress_controller.envoy.policy import rbac_per_route
from ingress_controller.policy.parse import parse
from tests.envoy import policy_envoy
from tests.envoy.policy_envoy import make_token
from tests.envoy_process import EnvoyProcess, short_directory
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, make_ingress, make_policy, make_shared_policy, make_web
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANN = {"email": "ann@example.com"}
SHADOW = {"policy_mode": "shadow"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        strict = make_shared_policy("strict", {"deny": {"or": [{"http_path": "/secret"}]}})
        files = {"class.yaml": CLASS, "web.yaml": make_web(web.port), "strict.yaml": strict}
        async with running(files) as c:
            yield c


async def counters(c: Running) -> dict[str, int]:
    """The counters of policies that are tried."""
    stats = json.loads(await c.envoy.admin_get("/stats?format=json&filter=shadow"))["stats"]
    return {stat["name"].removeprefix("http.https.rbac."): stat["value"] for stat in stats if "value" in stat}


@asynccontextmanager
async def counting(c: Running, **expected: int) -> AsyncIterator[None]:
    """What happens in the block makes just these counters grow, by so much."""
    before = await counters(c)
    yield
    grown = {name: value - before.get(name, 0) for name, value in (await counters(c)).items()}
    assert {name: by for name, by in grown.items() if by} == expected


async def status(c: Running, host: str, email: str = "", path: str = "/") -> int:
    session = c.mint(host, f"{email}@example.com") if email else ""
    return (await c.get(host, path, session=session)).status


async def test_everybody_is_served_and_denials_are_counted(c: Running) -> None:
    policy = {**PUBLIC, **SHADOW, **make_policy(ANN), "policy_ref": "strict"}
    await c.write("try.yaml", make_ingress("try", "try.test", policy))
    async with counting(c, shadow_denied=1, **{"policy.unauth.shadow_denied": 1}):
        assert await status(c, "try.test") == 200
    async with counting(c, shadow_denied=1, **{"policy.default_deny.shadow_denied": 1}):
        assert await status(c, "try.test", "bob") == 200
    async with counting(c, shadow_allowed=1, **{"policy.allow:policy.0.allow.shadow_allowed": 1}):
        assert await status(c, "try.test", "ann") == 200
    async with counting(c, shadow_denied=1, **{"policy.deny:Policy_default_strict.0.deny.shadow_denied": 1}):
        assert await status(c, "try.test", "ann", "/secret") == 200


async def test_what_else_is_said_is_enforced(c: Running) -> None:
    await c.write("try.yaml", make_ingress("try", "try.test", {**SIGNED_IN, **SHADOW, **make_policy(ANN)}))
    assert [await status(c, "try.test"), await status(c, "try.test", "bob")] == [401, 200]


async def test_nobody_is_admitted_by_a_policy_that_is_only_tried(c: Running) -> None:
    await c.write("try.yaml", make_ingress("try", "try.test", {**SHADOW, **make_policy({"accept": True})}))
    async with counting(c, shadow_allowed=1, **{"policy.allow:policy.0.allow.shadow_allowed": 1}):
        assert await status(c, "try.test", "ann") == 403


async def test_what_a_request_does_not_have_changes_nothing(c: Running) -> None:
    """No criterion that is tried, whatever it looks for and however it fails, has a say."""
    users = [f"user{number}@example.com" for number in range(20)]
    criteria: list[dict[str, Any]] = [
        {"groups": {"is": "a"}},
        {"claim/a/b": {"is": "x"}},
        {"domain": {"contains": "x"}},
        {"email": {"in": users}},
        {"source_ip": "192.0.2.0/24"},
        {"http_path": {"ends_with": "x"}},
        {"user": {"not_in": ["x"]}},
    ]
    for rules in ({"allow": {"and": criteria}}, {"deny": {"or": criteria}}, {"deny": {"not": criteria}}):
        policy = {"policy": json.dumps([rules])}
        await c.write("try.yaml", make_ingress("try", "try.test", {**PUBLIC, **SHADOW, **policy}))
        assert [await status(c, "try.test"), await status(c, "try.test", "ann")] == [200, 200]
    assert not [line for line in c.said_of("try") if "Envoy refused" in line]


async def test_enforced_it_counts_nothing_of_the_kind(c: Running) -> None:
    await c.write("try.yaml", make_ingress("try", "try.test", {"policy_mode": "enforce", **make_policy(ANN)}))
    async with counting(c):
        assert [await status(c, "try.test", "bob"), await status(c, "try.test", "ann")] == [403, 200]


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"policy": "allow: {or: [{emial: x}]}"}, "unknown criterion"),
        ({"policy_ref": "nowhere"}, "Policy default/nowhere not found"),
        ({"policy_ref": "[strict, nobody]"}, "Policy default/nobody not found"),
        ({"policy_ref": "elsewhere/strict"}, "is not there, or its spec.usableFrom does not name"),
        ({"policy_ref": "{}"}, "must be NAME or NAMESPACE/NAME of a Policy"),
    ],
)
async def test_a_mistake_in_what_is_tried_closes_nothing(c: Running, annotations: dict[str, str], said: str) -> None:
    c.forget()
    async with counting(c):
        await c.write("try.yaml", make_ingress("try", "try.test", {**PUBLIC, **SHADOW, **annotations}))
        assert await status(c, "try.test") == 200
    assert any("UpdateError" in line and said in line for line in c.said_of("try"))


# --- What Envoy says of one request.

_SHADOW = "%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_{})%"


async def ask(shadow: str, token: str) -> tuple[int, str, str]:
    """The status that is enforced, and what Envoy notes of the policy that is tried."""
    everybody, host = parse("allow: {or: [{accept: true}]}"), "app.example.com"
    bootstrap: Any = policy_envoy._bootstrap([(everybody, host)])
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    route["typed_per_filter_config"][policy_filter.NAME] |= rbac_per_route(everybody, host, parse(shadow)).to_dict()
    names = ("effective_policy_id", "engine_result")
    route["response_headers_to_add"] = [
        {"header": {"key": f"x-{name}", "value": _SHADOW.format(name)}} for name in names
    ]
    with short_directory() as directory:
        async with EnvoyProcess(bootstrap, directory) as envoy:
            await envoy.ready()
            found = json.loads(await envoy.admin_get("/listeners?format=json"))["listener_statuses"][0]
            url = f"http://127.0.0.1:{found['local_address']['socket_address']['port_value']}/"
            headers = {"host": host, "x-case": "0", "cookie": f"{session_jwt.COOKIE}={token}"}
            async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
                effective, result = (response.headers.get(f"x-{name}", "") for name in names)
                return response.status, effective, result


async def test_metadata_of_a_request() -> None:
    """The names under which an access log finds the decision."""
    shadow = "[{allow: {or: [{email: ann@example.com}]}}]"
    ann, bob = (make_token({"sub": n, "email": f"{n}@example.com", "aud": ["app.example.com"]}) for n in ("ann", "bob"))
    assert await ask(shadow, "") == (200, "unauth", "denied")
    assert await ask(shadow, ann) == (200, "allow:policy.0.allow", "allowed")
    assert await ask(shadow, bob) == (200, "default_deny", "denied")
