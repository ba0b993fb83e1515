"""Random policies, requests and sessions over a small world, so that they often meet.

In: a seeded generator. Out: the text of a policy as a user writes it, and what is asked of it. Every criterion,
operator and conditional of the language occurs; ``test_policy`` says so when a criterion stops occurring.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from random import Random
from typing import Any

from ingress_controller.policy.evaluate import Request, Session
from ingress_controller.policy.times import DAYS, zone_of
from tests.envoy.client_certificates import Client
from tests.envoy.policy_envoy import EXPIRED, FORGED, NOBODY, TRUSTED

HOSTS = ("app.example.com", "b.example.com")
EMAILS = (
    "ann@example.com",
    "bob@example.com",
    "ann@sub.example.com",
    "weird@at@corp.io",
    "ann.example.com",
    "zoë@bücher.example",
)
DOMAINS = ("example.com", "sub.example.com", "corp.io", "bücher.example")
USERS = ("u1", "u2", "ann@example.com", 'u"3\\{}')
GROUPS = ("dev", "ops", "100%", "a b")
CLAIMS = ("family_name", "a/b", "a/b/c", "https://example.com/roles", "x.y")
METHODS = ("GET", "POST", "PUT", "OPTIONS")
HEADERS = ({"origin": "https://b.example"}, {"access-control-request-method": "PUT"}, {"origin": ""})
CLIENTS = (NOBODY, TRUSTED, EXPIRED, FORGED)
FINGERPRINTS = (*(client.shown.fingerprint for client in CLIENTS if client.shown), "ab" * 32)
ZONES = ("UTC", "+05:30", "-09:30", "Europe/Berlin", "America/Phoenix", "Pacific/Kiritimati", "Asia/Kathmandu")
STEP = timedelta(minutes=5)
NEAR = 8 * 60 // 5
"""Times in policies are up to so many steps from now, and never nearer than two: no clock comes between decisions."""
PATHS = ("/", "/api", "/api/v1", "/a.b", "/api(1)+", "/axb", "/api/")
TARGETS = (*PATHS, "/api?x=/api/v1", "/?/api", "/axb?a.b", "/api?", "/api/v1?y=1?z")
SOURCES = ("127.0.0.1", "127.0.0.5", "127.0.1.7")
NETWORKS = ("127.0.0.0/24", "127.0.0.5", "127.0.0.4/31", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0")
MANY = tuple(f"user{number}@example.com" for number in range(12))


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as Envoy gets it and as ``evaluate`` does."""

    request: Request
    client: Client
    target: str
    payload: dict[str, Any] | None
    session: Session | None


def make_policy(random: Random) -> str:
    """One policy, as JSON, which is YAML too."""
    rules = [_rule(random) for _ in range(random.choice((1, 1, 2, 3)))]
    return json.dumps(rules[0] if len(rules) == 1 and random.random() < 0.5 else rules)


def make_question(random: Random, host: str) -> Question:
    """One request for a route of a host, which may be a wildcard."""
    target, source = random.choice(TARGETS), random.choice(SOURCES)
    asked = random.choice(HOSTS) if "*" in host else host
    headers = {name: value for given in random.sample(HEADERS, random.randrange(3)) for name, value in given.items()}
    client = random.choice(CLIENTS)
    method = random.choice(METHODS)
    request = Request(asked, method, target, ip_address(source), datetime.now(UTC), headers, client.shown)
    if random.random() < 0.2:
        return Question(request, client, target, None, None)
    return Question(request, client, target, *_session(random, asked))


def _rule(random: Random) -> dict[str, Any]:
    actions = random.choice((("allow",), ("allow",), ("deny",), ("allow", "deny"), ("deny", "allow")))
    return {action: _block(random) for action in actions}


def _block(random: Random) -> dict[str, Any]:
    names = random.sample(("and", "or", "not", "nor"), random.choice((1, 1, 1, 2, 3)))
    return {name: [_criterion(random) for _ in range(random.choice((0, 1, 1, 2, 3)))] for name in names}


def _criterion(random: Random) -> dict[str, Any]:
    make = random.choices((_of_session, _of_request, _of_time, _of_client), (9, 5, 3, 2))[0]
    return make(random)


def _of_session(random: Random) -> dict[str, Any]:
    claim, value = random.choice(CLAIMS), random.choice(GROUPS)
    kinds: tuple[dict[str, Any], ...] = (
        {"authenticated_user": random.random() < 0.8},
        {"email": _string(random, (*EMAILS, *MANY), ("ann", "@", "example.com", "@sub", "zo"))},
        {"email": {"in": [*MANY, *random.sample(EMAILS, 2)]}},
        {"domain": _string(random, DOMAINS, ("example", "sub.", ".com", "com", "bü", "at", "a"))},
        {"user": _string(random, USERS, ("u", "1", "@example.com"))},
        {"user": {"in": [*MANY, *USERS]}},
        {"groups": _string(random, GROUPS, ("d", "o", "0%", " b", "s"))},
        {"groups": random.choice(({"has": value}, {"has": value, "is": value}))},
        {f"claim/{claim}": random.choice((value, {"has": value}, {"is": value}, {"has": value, "is": value}))},
    )
    return random.choices(kinds, (1, 2, 1, 2, 1, 1, 2, 1, 2))[0]


def _of_request(random: Random) -> dict[str, Any]:
    networks = random.sample(NETWORKS, random.choice((0, 1, 2)))
    kinds: tuple[dict[str, Any], ...] = (
        {random.choice(("accept", "reject")): random.random() < 0.8},
        {"http_method": _string(random, METHODS, ("P", "T", "O"))},
        {"http_path": _path(random)},
        {"source_ip": networks[0] if len(networks) == 1 else networks},
        {"cors_preflight": random.random() < 0.8},
    )
    return random.choice(kinds)


def _of_client(random: Random) -> dict[str, Any]:
    fingerprints = random.sample(FINGERPRINTS, random.choice((0, 1, 2)))
    written = [
        random.choice((it, it.upper(), ":".join(it[at : at + 2] for at in range(0, 64, 2)))) for it in fingerprints
    ]
    return random.choice(
        (
            {"client_certificate": {"fingerprint": written[0] if len(written) == 1 else written}},
            {"invalid_client_certificate": random.random() < 0.8},
        )
    )


def _of_time(random: Random) -> dict[str, Any]:
    now, zone = datetime.now(UTC), random.choice(ZONES)
    steps = [step for step in range(-NEAR, NEAR) if abs(step) > 1]
    first, second = (now + STEP * step for step in random.sample(steps, 2))
    if random.random() < 0.3:
        limits = {"after": min(first, second), "before": max(first, second)}
        chosen = random.choice((("after",), ("before",), ("after", "before")))
        return {"date": {name: limits[name].isoformat(timespec="seconds") for name in chosen}}
    if random.random() < 0.5 and _days(now - STEP, zone) == _days(now + STEP, zone):
        listed, ends = ",".join(random.sample(DAYS, random.choice((1, 2, 4, 6)))), random.choices(DAYS, k=2)
        return {"day_of_week": random.choice((listed, "-".join(ends), "*", {"timezone": zone, "days": listed}))}
    clocks = {"after": first.astimezone(zone_of(zone)), "before": second.astimezone(zone_of(zone))}
    written = {name: clock.strftime(random.choice(("%H:%M", "%H:%M:%S", "%I:%M %p"))) for name, clock in clocks.items()}
    return {"time_of_day": {"timezone": zone, **written}}


def _days(instant: datetime, zone: str) -> tuple[int, int]:
    """The day in UTC and there."""
    return instant.weekday(), instant.astimezone(zone_of(zone)).weekday()


def _string(random: Random, whole: tuple[str, ...], parts: tuple[str, ...]) -> str | dict[str, Any]:
    operators = {
        "is": random.choice(whole),
        "not": random.choice(whole),
        "in": random.sample(whole, random.choice((0, 1, 2, 3))),
        "not_in": random.sample(whole, random.choice((0, 1, 2))),
        "contains": random.choice(parts),
        "starts_with": random.choice(parts),
        "ends_with": random.choice(parts),
    }
    if random.random() < 0.2:
        return random.choice(whole)
    return {name: operators[name] for name in random.sample(tuple(operators), random.choice((1, 1, 1, 2)))}


def _path(random: Random) -> str | dict[str, Any]:
    value = _string(random, PATHS, ("api", "/", ".b", "1", "(1)"))
    if isinstance(value, dict) and "starts_with" in value:
        value["starts_with"] = random.choice(PATHS)
    return value


def _session(random: Random, host: str) -> tuple[dict[str, Any], Session]:
    audience = random.choice(([host], [host], [host], ["x.example.com", host], ["x.example.com"], [], host))
    payload: dict[str, Any] = {"sub": random.choice((*USERS, *MANY)), "aud": audience}
    if random.random() < 0.9:
        payload["email"] = random.choice((*EMAILS, *MANY))
    if random.random() < 0.8:
        payload["groups"] = random.choices(GROUPS, k=random.choice((0, 1, 1, 2, 3)))
    if random.random() < 0.8:
        payload["claims"] = _claims(random)
    listed = tuple(audience) if isinstance(audience, list) else ()
    groups = tuple(payload["groups"]) if "groups" in payload else None
    session = Session(payload["sub"], listed, payload.get("email"), groups, payload.get("claims", {}))
    return payload, session


def _claims(random: Random) -> dict[str, Any]:
    trees: tuple[dict[str, Any], ...] = (
        {"family_name": _claim(random)},
        {"a/b": _claim(random)},
        {"a": {"b": _claim(random)}},
        {"a": {"b": {"c": _claim(random)}}},
        {"a/b": {"c": "dev"}, "a": {"b": _claim(random)}},
        {"https://example.com/roles": _claim(random)},
        {"x.y": _claim(random), "a": "dev"},
    )
    first, second = random.sample(trees, 2)
    return {**first, **second}


def _claim(random: Random) -> str | list[str]:
    return random.choice((random.choice(GROUPS), random.choices(GROUPS, k=random.choice((0, 1, 1, 2)))))
