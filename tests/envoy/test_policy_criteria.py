"""Criteria about times, client certificates and long lists of groups, on a real Envoy."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from ingress_controller.policy.allowed import from_allowed
from ingress_controller.policy.parse import combine, parse
from ingress_controller.policy.times import zone_names, zone_of
from tests.envoy.client_certificates import Client
from tests.envoy.policy_envoy import EXPIRED, FORGED, NOBODY, TRUSTED, PolicyEnvoy, make_token, serving

ON_ENVOY = pytest.mark.asyncio(loop_scope="module")

APP = "app.example.com"
EVERYBODY = {"or": [{"accept": True}]}


def make_session(**more: Any) -> dict[str, Any]:
    return {"sub": "u1", "aud": [APP], "email": "ann@example.com", **more}


# --- Times.


@pytest.mark.parametrize("sources", [None, "/nonexistent"])
async def test_attack_15_a_time_zone_that_the_proxy_does_not_know_opens_nothing(
    sources: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the proxy's database can be missing: a zone that this program does not know is refused when it is read."""
    if sources is not None:
        monkeypatch.setenv("TZDIR", sources)
    now = datetime.now(ZoneInfo("Asia/Kathmandu"))
    around = {"timezone": "Asia/Kathmandu", "after": _clock(now, -2), "before": _clock(now, 2)}
    away = {**around, "after": around["before"], "before": around["after"]}
    opening: list[dict[str, Any]] = [
        {"allow": {"or": [{"time_of_day": around}]}},
        {"allow": {"not": [{"time_of_day": away}]}},
        {"allow": EVERYBODY, "deny": {"or": [{"time_of_day": away}]}},
        {"allow": EVERYBODY, "deny": {"not": [{"time_of_day": around}]}},
        {"allow": EVERYBODY, "deny": {"nor": [{"day_of_week": {"timezone": "Asia/Kathmandu", "days": "mon-sun"}}]}},
        {"allow": EVERYBODY, "deny": {"and": [{"authenticated_user": True}, {"time_of_day": away}]}},
        {"allow": {"and": [{"authenticated_user": True}, {"time_of_day": around}]}},
    ]
    async with serving([(parse(json.dumps(policy)), APP) for policy in opening]) as envoy:
        token = make_token(make_session())
        statuses = [(await envoy.ask(case, token=token))[0] for case in range(len(opening))]
    known = sources is None
    # Every day is always, which asks no zone.
    assert statuses == [200 if known or "day_of_week" in json.dumps(policy) else 403 for policy in opening]


def _clock(now: datetime, hours: int) -> str:
    return (now + timedelta(hours=hours)).strftime("%H:%M")


async def test_every_zone_and_offset_that_is_accepted_works() -> None:
    zones = sorted({*zone_names(), *(f"{sign}{hour:02}:30" for sign in "+-" for hour in range(20))})
    now = datetime.now(UTC)
    # Many in a policy: each policy is a route, and Envoy tries routes one after the other.
    groups = [zones[at : at + 20] for at in range(0, len(zones), 20)]
    policies = [{"allow": {"and": [{"time_of_day": _around(now, zone)} for zone in group]}} for group in groups]
    async with serving([(parse(json.dumps(policy)), APP) for policy in policies]) as envoy:
        refused = [group for case, group in enumerate(groups) if (await envoy.ask(case))[0] != 200]
    assert refused == []


def _around(now: datetime, zone: str) -> dict[str, str]:
    there = now.astimezone(zone_of(zone))
    return {"timezone": zone, "after": _clock(there, -1), "before": _clock(there, 1)}


# --- Client certificates.


def one_of(*clients: Client) -> dict[str, Any]:
    return {"client_certificate": {"fingerprint": [client.shown.fingerprint for client in clients if client.shown]}}


CERTIFICATES: dict[str, dict[str, Any]] = {
    "one": {"allow": {"or": [one_of(TRUSTED)]}},
    "the-untrusted": {"allow": {"or": [one_of(FORGED, EXPIRED)]}},
    "deny-others": {"allow": EVERYBODY, "deny": {"not": [one_of(TRUSTED, FORGED, EXPIRED)]}},
    "any-valid": {"allow": {"not": [{"invalid_client_certificate": True}]}},
    "deny-invalid": {"allow": EVERYBODY, "deny": {"or": [{"invalid_client_certificate": True}]}},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def certificates() -> AsyncIterator[PolicyEnvoy]:
    async with serving([(parse(json.dumps(policy)), APP) for policy in CERTIFICATES.values()]) as client:
        yield client


@pytest.mark.parametrize(
    ("client", "admitted"),
    [(NOBODY, set()), (TRUSTED, set(CERTIFICATES) - {"the-untrusted"}), (EXPIRED, set()), (FORGED, set())],
    ids=["nobody", "trusted", "expired", "forged"],
)
@ON_ENVOY
async def test_attack_14_only_a_certificate_that_the_authority_vouches_for_counts(
    certificates: PolicyEnvoy, client: Client, admitted: set[str]
) -> None:
    found = {name for case, name in enumerate(CERTIFICATES) if (await certificates.ask(case, client=client))[0] == 200}
    assert found == admitted


async def test_attack_14_a_request_over_the_connection_of_another_host_is_misdirected() -> None:
    public = combine(from_allowed(public=True))
    hosts = [APP, "*.example.com", "*", "app.example.com:5432"]
    async with serving([(public, host) for host in hosts], server_name_must_match=True) as envoy:
        for case, _ in enumerate(hosts):
            assert (await envoy.ask(case))[1] == "allow:allow_public_unauthenticated_access"
            for name in ("b.example.com", "app.example.co", "example.com"):
                assert await envoy.ask(case, server_name=name) == (403, "misdirected")
        for case in (1, 2):
            assert await envoy.ask(case, host="b.example.com") == (403, "misdirected")
            assert (await envoy.ask(case, host="b.example.com", server_name="b.example.com"))[0] == 200


# --- Long lists.


async def test_a_long_list_under_a_not_is_exact() -> None:
    """It is split by how the values begin: values that begin others, and characters of several bytes, count too."""
    chain = ["a" * length for length in range(1, 60)]
    words = [f"{first}{second}@{rest}" for first in "bcdü" for second in "xyzé€" for rest in ("b.io", "bücher.de", "b")]
    listed = [*chain, *words]
    others = ["a" * 60, "b", "ax", "aa@", "bx@b.i", "bx@b.ioo", "cx@bucher.de", "ey@b.io", "dü@b"]
    criterion = {"email": {"in": listed}}
    policies = [{"allow": {"not": [criterion]}}, {"allow": EVERYBODY, "deny": {"not": [criterion]}}]
    async with serving([(parse(json.dumps(policy)), APP) for policy in policies]) as envoy:
        for email in (*listed, *others):
            token = make_token(make_session(email=email))
            statuses = [(await envoy.ask(case, token=token))[0] for case in range(2)]
            assert statuses == ([403, 200] if email in listed else [200, 403]), email


async def test_two_hundred_groups_in_a_session_and_in_a_policy() -> None:
    groups = [f"team-{number:03}-of-the-engineers" for number in range(200)]
    listed = parse(json.dumps({"allow": {"or": [{"groups": {"in": groups}}]}}))
    separate = parse(json.dumps({"allow": {"or": [{"groups": group} for group in groups]}}))
    none = parse(json.dumps({"allow": {"and": [{"groups": {"not_in": groups}}]}}))
    others = [f"other-{number:03}-of-engineers" for number in range(199)]
    assert len(make_token(make_session(groups=groups))) < 8192 - 200
    async with serving([(policy, APP) for policy in (listed, separate, none)]) as envoy:
        for mine, admitted in ((groups, True), ([*others, groups[199]], True), ([*others, "x"], False), ([], False)):
            token = make_token(make_session(groups=mine))
            statuses = [(await envoy.ask(case, token=token))[0] for case in range(3)]
            assert statuses == ([200, 200, 403] if admitted else [403, 403, 200])
