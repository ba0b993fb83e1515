"""The compiled policy, on a real Envoy.

One property, that Envoy decides as ``evaluate`` explains, and the cases that would hurt most if it did not.
"""

import json
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ingress_controller.model.policy import Policy
from ingress_controller.policy.allowed import from_allowed
from ingress_controller.policy.criteria import CRITERIA
from ingress_controller.policy.evaluate import evaluate
from ingress_controller.policy.parse import combine, parse
from tests.envoy.policy_cases import HOSTS, make_policy, make_question
from tests.envoy.policy_envoy import PolicyEnvoy, compiled_policy, make_token, serving

ON_ENVOY = pytest.mark.asyncio(loop_scope="module")  # one Envoy serves the whole module

_RUNS, _POLICIES, _QUESTIONS = 4, 100, 12

APP = "app.example.com"
MANY = tuple(f"user{number}@example.com" for number in range(5000))
CASES: dict[str, tuple[Policy, str]] = {
    name: (parse(text) if isinstance(text, str) else text, host)
    for name, host, text in (
        ("public", APP, combine(from_allowed(public=True))),
        ("signed-in", APP, combine(from_allowed(any_authenticated=True))),
        ("signed-in-wildcard", "*.example.com", combine(from_allowed(any_authenticated=True))),
        ("signed-in-anywhere", "*", combine(from_allowed(any_authenticated=True))),
        ("nobody", APP, "[]"),
        ("not-bob", APP, "{allow: {or: [{email: {not: bob@example.com}}]}}"),
        ("not-bob-wildcard", "*.example.com", "{allow: {or: [{email: {not: bob@example.com}}]}}"),
        ("deny-wins", APP, "{allow: {or: [{domain: example.com}]}, deny: {or: [{email: bob@example.com}]}}"),
        ("public-but-bob", APP, "{allow: {or: [{accept: true}]}, deny: {or: [{email: bob@example.com}]}}"),
        ("deny-not", APP, "{allow: {or: [{accept: true}]}, deny: {not: [{domain: example.com}]}}"),
        ("deny-address", APP, "{allow: {or: [{accept: true}]}, deny: {or: [{source_ip: 127.0.0.5}]}}"),
        ("from-address", APP, "{allow: {or: [{source_ip: 10.1.2.3}]}}"),
        ("many", APP, combine(from_allowed(users=(*MANY, "-")))),
        ("many-on-path", APP, json.dumps({"allow": {"and": [{"email": {"in": MANY}}, {"http_path": "/a"}]}})),
        ("not-many", APP, json.dumps({"allow": {"and": [{"email": {"not_in": MANY}}], "not": [{"user": "x"}]}})),
        ("only-dev", APP, "{allow: {or: [{groups: {is: dev}}]}}"),
        ("deny-unless-only-dev", APP, "{allow: {or: [{accept: true}]}, deny: {not: [{groups: {is: dev}}]}}"),
        ("claim", APP, "{allow: {or: [{claim/a/b: x}]}}"),
        ("long", APP, json.dumps({"allow": {"or": [{"domain": {"contains": "d" * 300}}]}})),
        ("domain-start", APP, "{allow: {or: [{domain: {starts_with: at}}]}}"),
        ("domain-part", APP, "{allow: {or: [{domain: {contains: at}}]}}"),
        ("domain-end", APP, "{allow: {or: [{domain: {ends_with: at.io}}]}}"),
        ("path", APP, "{allow: {or: [{http_path: {ends_with: /ok}}]}}"),
    )
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def envoy() -> AsyncIterator[PolicyEnvoy]:
    async with serving(tuple(CASES.values())) as client:
        yield client


async def ask(envoy: PolicyEnvoy, case: str, payload: dict[str, Any] | None = None, **request: Any) -> str:
    """The name of the step that decided; the status must agree with it."""
    token = None if payload is None else make_token(payload)
    status, name = await envoy.ask(list(CASES).index(case), token=token, **request)
    assert status == (200 if name.startswith("allow:") else 403)
    return name


def session(email: str = "ann@example.com", **more: Any) -> dict[str, Any]:
    return {"sub": "u1", "aud": [APP], "email": email, **more}


@ON_ENVOY
@given(seed=st.integers(0, 2**32))
# What lands is judged by the same cases each time; elsewhere each run tries new ones. A seed cannot be made smaller.
@settings(
    max_examples=_RUNS,
    derandomize="CI" in os.environ,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
async def test_envoy_decides_as_evaluate_explains(seed: int) -> None:
    random = Random(seed)  # noqa: S311 (chooses test cases)
    texts = [make_policy(random) for _ in range(_POLICIES)]
    assert [name for name in CRITERIA if f'"{name}' not in "".join(texts)] == []
    hosts = [random.choice((HOSTS[0], "*.example.com", "*")) for _ in texts]
    policies = [parse(text) for text in texts]
    async with serving(list(zip(policies, hosts, strict=True))) as envoy:
        outcomes = []
        for case, policy in enumerate(policies):
            for _ in range(_QUESTIONS):
                asked = make_question(random, hosts[case])
                expected = evaluate(policy, asked.request, asked.session)
                token = None if asked.payload is None else make_token(asked.payload)
                request = asked.request
                status, name = await envoy.ask(
                    case,
                    method=request.method,
                    target=asked.target,
                    host=request.host,
                    source=str(request.source_ip),
                    token=token,
                    headers=request.headers,
                    client=asked.client,
                )
                assert (status == 200, name) == (expected.outcome == "allow", expected.name), (texts[case], asked)
                outcomes.append(expected.outcome)
    assert {outcome: outcomes.count(outcome) > 20 for outcome in outcomes} == dict.fromkeys(
        ("allow", "deny", "sign_in"), True
    )


@pytest.mark.parametrize("payload", [None, session(), session(aud=["x.example.com"]), session(aud=APP)])
@ON_ENVOY
async def test_public_is_public_whatever_session_comes(envoy: PolicyEnvoy, payload: dict[str, Any] | None) -> None:
    assert await ask(envoy, "public", payload) == "allow:allow_public_unauthenticated_access"


def test_public_is_one_action() -> None:
    matcher = compiled_policy(*CASES["public"])["rbac"]["matcher"]
    assert list(matcher) == ["onNoMatch"]


@ON_ENVOY
async def test_a_forged_or_expired_session_is_none(envoy: PolicyEnvoy) -> None:
    header, payload, signature = make_token(session()).split(".")
    forged = f"{header}.{payload}.{signature[:-8]}AAAAAAAA"
    for case, name in (("signed-in", "unauth"), ("public", "allow:allow_public_unauthenticated_access")):
        assert (await envoy.ask(list(CASES).index(case), token=forged))[1] == name
        assert await ask(envoy, case, session(exp=1_000_000_000)) == name


@pytest.mark.parametrize(
    "case", ["signed-in", "signed-in-wildcard", "signed-in-anywhere", "not-bob", "not-bob-wildcard"]
)
@pytest.mark.parametrize(
    ("audience", "refusal"),
    [
        ([APP], None),
        (["x.example.com", APP], None),
        (["x.example.com"], "wrong-aud"),
        (["*.example.com"], "wrong-aud"),
        ([], "wrong-aud"),
        (APP, "wrong-aud"),
        ({APP: True}, "unauth"),
        ([[APP]], "unauth"),
        ([None, 1], "unauth"),
        (None, "unauth"),
        (7, "unauth"),
    ],
)
@ON_ENVOY
async def test_a_session_is_for_the_hosts_in_its_audience(
    envoy: PolicyEnvoy, case: str, audience: object, refusal: str | None
) -> None:
    name = await ask(envoy, case, session(aud=audience))
    assert name == (refusal or name.removeprefix("deny:"))
    assert name.startswith("allow:") == (refusal is None)


@ON_ENVOY
async def test_a_wildcard_session_is_for_its_own_host_only(envoy: PolicyEnvoy) -> None:
    assert await ask(envoy, "signed-in-wildcard", session(), host="b.example.com") == "wrong-aud"
    assert (await ask(envoy, "signed-in-wildcard", session(), host=APP)).startswith("allow:")


@ON_ENVOY
async def test_nobody_means_nobody(envoy: PolicyEnvoy) -> None:
    assert {await ask(envoy, "nobody"), await ask(envoy, "nobody", session())} == {"default_deny"}


@ON_ENVOY
async def test_deny_wins(envoy: PolicyEnvoy) -> None:
    assert await ask(envoy, "deny-wins", session()) == "allow:policy.allow"
    assert await ask(envoy, "deny-wins", session("bob@example.com")) == "deny:policy.deny"
    assert await ask(envoy, "deny-wins") == "unauth"


@ON_ENVOY
async def test_public_with_a_denied_user(envoy: PolicyEnvoy) -> None:
    assert await ask(envoy, "public-but-bob") == "allow:policy.allow"
    assert await ask(envoy, "public-but-bob", session("bob@example.com")) == "deny:policy.deny"


@ON_ENVOY
async def test_anonymous_is_asked_to_sign_in_where_only_a_session_could_avoid_a_denial(envoy: PolicyEnvoy) -> None:
    assert await ask(envoy, "deny-not") == "unauth"
    assert await ask(envoy, "deny-not", session(aud=["x.example.com"])) == "wrong-aud"
    assert await ask(envoy, "deny-not", session("eve@evil.test")) == "deny:policy.deny"
    assert await ask(envoy, "deny-not", session()) == "allow:policy.allow"


@ON_ENVOY
async def test_anonymous_is_denied_where_no_session_would_help(envoy: PolicyEnvoy) -> None:
    assert await ask(envoy, "deny-address", source="127.0.0.5") == "deny:policy.deny"
    assert await ask(envoy, "deny-address", source="127.0.0.6") == "allow:policy.allow"


@ON_ENVOY
async def test_the_address_cannot_be_spoofed(envoy: PolicyEnvoy) -> None:
    for name in ("x-forwarded-for", "x-real-ip", "x-envoy-external-address", "forwarded"):
        assert await ask(envoy, "from-address", headers={name: "10.1.2.3"}) == "default_deny"


@pytest.mark.parametrize("number", [0, 2500, 4999])
@ON_ENVOY
async def test_many_users(envoy: PolicyEnvoy, number: int) -> None:
    assert await ask(envoy, "many", session(MANY[number])) == "allow:allowed_users"
    assert await ask(envoy, "many", session("", sub=MANY[number])) == "allow:allowed_users"
    assert await ask(envoy, "many-on-path", session(MANY[number]), target="/a?b") == "allow:policy.allow"
    assert await ask(envoy, "many-on-path", session(MANY[number]), target="/b") == "default_deny"
    assert await ask(envoy, "not-many", session(MANY[number], sub="x")) == "default_deny"
    assert await ask(envoy, "not-many", session("other@example.com", sub="x")) == "allow:policy.allow"


NO_EMAIL = session()
del NO_EMAIL["email"]


@pytest.mark.parametrize(
    "payload",
    [NO_EMAIL, *(session(email) for email in ("user5000@example.com", "user1@example.co", "", "user1@example.com "))],
)
@ON_ENVOY
async def test_not_one_of_many_users(envoy: PolicyEnvoy, payload: dict[str, Any]) -> None:
    assert await ask(envoy, "many", payload) == "default_deny"
    assert await ask(envoy, "many-on-path", payload, target="/a") == "default_deny"


def test_many_users_are_a_look_up() -> None:
    text = json.dumps(compiled_policy(*CASES["many"]))
    assert text.count("exactMatchMap") == 2
    assert text.count(MANY[7]) == 2


@pytest.mark.parametrize(
    ("groups", "only"), [(["dev"], True), (["dev", "ops"], False), (["dev", "dev"], False), ([], False), (None, False)]
)
@ON_ENVOY
async def test_the_only_group(envoy: PolicyEnvoy, groups: list[str] | None, *, only: bool) -> None:
    payload = session() if groups is None else session(groups=groups)
    assert await ask(envoy, "only-dev", payload) == ("allow:policy.allow" if only else "default_deny")
    assert await ask(envoy, "deny-unless-only-dev", payload) == ("allow:policy.allow" if only else "deny:policy.deny")


@pytest.mark.parametrize(
    ("claims", "admitted"),
    [
        ({"a/b": "x"}, True),
        ({"a/b": ["y", "x"]}, True),
        ({"a": {"b": "x"}}, True),
        ({"a/b": "y", "a": {"b": "x"}}, False),
        ({"a": "x"}, False),
        ({"b": "x"}, False),
    ],
)
@ON_ENVOY
async def test_a_claim_is_its_name_before_it_is_a_path(
    envoy: PolicyEnvoy, claims: dict[str, Any], *, admitted: bool
) -> None:
    assert await ask(envoy, "claim", session(claims=claims)) == ("allow:policy.allow" if admitted else "default_deny")
    assert await ask(envoy, "claim", session(**claims)) == "default_deny"


@ON_ENVOY
async def test_the_domain_follows_the_last_at(envoy: PolicyEnvoy) -> None:
    for case, email in (("start", "a@at.io"), ("part", "a@b.at.io"), ("end", "a@b@cat.io")):
        assert await ask(envoy, f"domain-{case}", session(email)) == "allow:policy.allow"
    for case, email in (("start", "a@at@b.io"), ("part", "at@at@b.io"), ("end", "at.io"), ("end", "at.io@b.io")):
        assert await ask(envoy, f"domain-{case}", session(email)) == "default_deny"


@ON_ENVOY
async def test_a_long_value_is_no_less_exact(envoy: PolicyEnvoy) -> None:
    assert await ask(envoy, "long", session(f"a@{'d' * 300}.example")) == "allow:policy.allow"
    assert await ask(envoy, "long", session(f"a@{'d' * 299}.example")) == "default_deny"
    assert await ask(envoy, "long", session(f"{'d' * 300}@example.com")) == "default_deny"


@pytest.mark.parametrize(
    ("target", "admitted"),
    [("/ok", True), ("/a/ok?x", True), ("/a?/ok", False), ("/no?x=/ok", False), ("/ok?", True), ("/ok/", False)],
)
@ON_ENVOY
async def test_the_query_is_not_the_path(envoy: PolicyEnvoy, target: str, *, admitted: bool) -> None:
    assert await ask(envoy, "path", target=target) == ("allow:policy.allow" if admitted else "default_deny")
