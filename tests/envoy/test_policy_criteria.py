"""Every time zone that is accepted, and long lists, on a real Envoy."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingress_controller.policy.parse import parse
from ingress_controller.policy.times import zone_names, zone_of
from tests.envoy.policy_envoy import make_token, serving

ON_ENVOY = pytest.mark.asyncio(loop_scope="module")

APP = "app.example.com"
EVERYBODY = {"or": [{"accept": True}]}


def make_session(**more: Any) -> dict[str, Any]:
    return {"sub": "u1", "aud": [APP], "email": "ann@example.com", **more}


# --- Times.


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
