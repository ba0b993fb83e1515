"""Random policies, requests and sessions over a small world, so that they often meet.

In: a seeded generator. Out: the text of a policy as a user writes it, and what is asked of it. Every criterion,
operator and conditional of the language occurs; ``test_policy`` says so when a criterion stops occurring.
"""

import json
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import Any

from ingress_controller.policy.evaluate import Request, Session

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
METHODS = ("GET", "POST", "PUT")
PATHS = ("/", "/api", "/api/v1", "/a.b", "/api(1)+", "/axb", "/api/")
TARGETS = (*PATHS, "/api?x=/api/v1", "/?/api", "/axb?a.b", "/api?", "/api/v1?y=1?z")
SOURCES = ("127.0.0.1", "127.0.0.5", "127.0.1.7")
NETWORKS = ("127.0.0.0/24", "127.0.0.5", "127.0.0.4/31", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0")
MANY = tuple(f"user{number}@example.com" for number in range(12))


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as Envoy gets it and as ``evaluate`` does."""

    request: Request
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
    request = Request(asked, random.choice(METHODS), target, ip_address(source))
    if random.random() < 0.2:
        return Question(request, target, None, None)
    return Question(request, target, *_session(random, asked))


def _rule(random: Random) -> dict[str, Any]:
    actions = random.choice((("allow",), ("allow",), ("deny",), ("allow", "deny"), ("deny", "allow")))
    return {action: _block(random) for action in actions}


def _block(random: Random) -> dict[str, Any]:
    names = random.sample(("and", "or", "not", "nor"), random.choice((1, 1, 1, 2, 3)))
    return {name: [_criterion(random) for _ in range(random.choice((0, 1, 1, 2, 3)))] for name in names}


def _criterion(random: Random) -> dict[str, Any]:
    listed = random.choice(("groups", *(f"claim/{claim}" for claim in CLAIMS)))
    value = random.choice(GROUPS)
    networks = random.sample(NETWORKS, random.choice((0, 1, 2)))
    kinds: tuple[dict[str, Any], ...] = (
        {random.choice(("accept", "reject", "authenticated_user")): random.random() < 0.8},
        {"email": _string(random, (*EMAILS, *MANY), ("ann", "@", "example.com", "@sub", "zo"))},
        {"email": {"in": [*MANY, *random.sample(EMAILS, 2)]}},
        {"domain": _string(random, DOMAINS, ("example", "sub.", ".com", "com", "bü", "at", "a"))},
        {"user": _string(random, USERS, ("u", "1", "@example.com"))},
        {"user": {"in": [*MANY, *USERS]}},
        {listed: random.choice((value, {"has": value}, {"is": value}, {"has": value, "is": value}))},
        {"http_method": _string(random, METHODS, ("P", "T", "O"))},
        {"http_path": _path(random)},
        {"source_ip": networks[0] if len(networks) == 1 else networks},
    )
    return random.choices(kinds, (2, 2, 1, 2, 1, 1, 2, 1, 1, 1))[0]


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
