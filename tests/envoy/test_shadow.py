"""Policies that are tried: Envoy counts and names what they would decide, and does not act on it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.envoy.test_access_log import Line, holds, lines
from tests.envoy_process import eventually
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, make_ingress, make_policy, make_shared_policy, make_web
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANN = {"email": "ann@example.com"}
SHADOW = {"policy_mode": "shadow"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with upstream() as web:
        strict = make_shared_policy("strict", {"deny": {"or": [{"http_path": "/secret"}]}})
        files = {"class.yaml": CLASS, "web.yaml": make_web(web.port), "strict.yaml": strict}
        async with running(files, access_log=tmp_path_factory.mktemp("log") / "access.log") as c:
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


async def line_of(c: Running, request_id: str) -> Line:
    """The line of a request; lines come late, and many at a time."""

    def found() -> list[Line]:
        return [line for line in map(json.loads, lines(c)) if line["request_id"] == request_id]

    async def is_there() -> bool:
        return bool(found())

    await eventually(is_there, "its line of the access log")
    return found()[0]


async def test_the_access_log_names_what_is_tried(c: Running) -> None:
    policy = {**PUBLIC, **SHADOW, **make_policy(ANN), "policy_ref": "strict"}
    await c.write("try.yaml", make_ingress("try", "try.test", policy))
    enforced = {"decision": "allowed", "rule": "allow:allow_public_unauthenticated_access", "status": 200}
    for email, path, decision, rule in (
        ("", "/", "denied", "unauth"),
        ("bob", "/", "denied", "default_deny"),
        ("ann", "/", "allowed", "allow:policy.0.allow"),
        ("ann", "/secret", "denied", "deny:Policy_default_strict.0.deny"),
    ):
        session = c.mint("try.test", f"{email}@example.com") if email else ""
        answer = await c.get("try.test", path, session=session)
        line = await line_of(c, answer.echo.values("x-request-id")[0])
        assert holds(line, shadow_decision=decision, shadow_rule=rule, **enforced)
