"""What a policy must not be talked into: a time that cannot be told, a certificate that nobody vouches for."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from ingress_controller.policy.allowed import from_allowed
from ingress_controller.policy.certificates import resolve
from ingress_controller.policy.parse import combine, parse
from tests.envoy.client_certificates import Client
from tests.envoy.policy_envoy import EXPIRED, FORGED, NOBODY, TRUSTED, PolicyEnvoy, make_token, serving

ON_ENVOY = pytest.mark.asyncio(loop_scope="module")

APP = "app.example.com"
EVERYBODY = {"or": [{"accept": True}]}


@pytest.mark.parametrize("sources", [None, "/nonexistent"])
async def test_attack_15_a_time_zone_that_the_proxy_does_not_know_opens_nothing(
    sources: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the proxy's database can be missing: a zone that this program does not know is refused when it is read."""
    if sources is not None:
        monkeypatch.setenv("TZDIR", sources)
    now = datetime.now(ZoneInfo("Asia/Kathmandu"))
    after, before = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-2, 2))
    around = {"timezone": "Asia/Kathmandu", "after": after, "before": before}
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
        token = make_token({"sub": "u1", "aud": [APP]})
        statuses = [(await envoy.ask(case, token=token))[0] for case in range(len(opening))]
    known = sources is None
    # Every day is always, which asks no zone.
    assert statuses == [200 if known or "day_of_week" in json.dumps(policy) else 403 for policy in opening]


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


async def test_attack_14_a_host_that_asks_for_certificates_denies_without_one_before_sign_in() -> None:
    signed_in = combine(from_allowed(any_authenticated=True))
    async with serving([(resolve(signed_in, asked=True), APP), (resolve(signed_in, asked=False), APP)]) as envoy:
        for client in (NOBODY, EXPIRED, FORGED):
            assert await envoy.ask(0, client=client) == (403, "deny:invalid_client_certificate")
            token = make_token({"sub": "u1", "aud": [APP]})
            assert await envoy.ask(0, client=client, token=token) == (403, "deny:invalid_client_certificate")
            assert await envoy.ask(1, client=client) == (403, "unauth")
        assert await envoy.ask(0, client=TRUSTED) == (403, "unauth")


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
