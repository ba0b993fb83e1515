"""What a request is answered, and why.

In: what is served, a target, and who asks how. Out: ``Explanation``: the choice of the route, the decision of its
policy with every criterion, and what a browser and a program are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from ingress_controller.explain.routing import Routing, choose
from ingress_controller.explain.url import Target
from ingress_controller.model.host import CATCH_ALL, Host
from ingress_controller.model.route import Forward, Unavailable
from ingress_controller.model.upstream import Endpoints, ServicePort, Upstream
from ingress_controller.policy.evaluate import Decision, Request, Session, ShownCertificate, evaluate

SIGN_IN_PATH = "/.pomerium/sign_in"


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: hosts, upstreams and their endpoints, by name."""

    hosts: Mapping[str, Host]
    upstreams: Mapping[str, Upstream]
    endpoints: Mapping[str, Endpoints]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and how.

    Attributes:
        method: of the request, in upper case.
        source_ip: the client's address.
        session: for the host of the request; ``None`` for somebody who is not signed in.
        time: when; with a time zone.
        headers: by lower-case name.
        certificate: what the client shows where it is asked for one.
    """

    method: str
    source_ip: IPv4Address | IPv6Address
    session: Session | None
    time: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: ShownCertificate | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one kind of client is told. ``status`` is ``None`` where that is up to the upstream."""

    client: Literal["browser", "program"]
    status: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one request; ``decision`` is ``None`` where no policy was asked."""

    target: Target
    visitor: Visitor
    routing: Routing
    decision: Decision | None
    answers: tuple[Answer, ...]


def explain(served: Served, target: Target, visitor: Visitor) -> Explanation:
    """Follow a request as the proxy would take it. A session that is given has the target's host as its audience."""
    routing = choose(served.hosts, target)
    route, path = routing.route, routing.path
    if route is None or path is None or isinstance(route.action, Unavailable):
        return Explanation(target, visitor, routing, None, _both(*_without_policy(routing)))
    decision = evaluate(route.policy, _request(target.host, path, visitor), visitor.session)
    match decision.outcome:
        case "allow":
            answers = _both(*_forwarded(served, route.action))
        case "deny":
            answers = _both(403, f"denied by {decision.name}")
        case "sign_in":
            answers = _asked_to_sign_in(target.with_query(path), visitor.method)
    return Explanation(target, visitor, routing, decision, answers)


def _request(host: str, path: str, visitor: Visitor) -> Request:
    return Request(
        host=host,
        method=visitor.method,
        path=path,
        source_ip=visitor.source_ip,
        time=visitor.time,
        headers=visitor.headers,
        certificate=visitor.certificate,
    )


def _without_policy(routing: Routing) -> tuple[int, str]:
    """The answer to what never comes to a policy."""
    if routing.refusal:
        return 400, routing.refusal
    if routing.host is None:
        return 404, "no host has this name; most clients are already refused in the TLS handshake"
    if routing.own:
        return 503, "sign-in-unavailable"
    if routing.route and isinstance(routing.route.action, Unavailable):
        return 503, routing.route.action.reason
    every = "" if routing.host.name == CATCH_ALL else f" of {routing.host.name}"
    return 404, f"no route{every} has the path"


def _forwarded(served: Served, action: Forward) -> tuple[int | None, str]:
    upstream = served.upstreams[action.upstream]
    if isinstance(upstream.target, ServicePort) and not served.endpoints[upstream.name].addresses:
        return 503, f"no healthy upstream: {upstream.name} has no ready endpoint"
    return None, f"forwarded to {upstream.name}"


def _asked_to_sign_in(path: str, method: str) -> tuple[Answer, ...]:
    program = Answer("program", 401, "login required")
    if method in {"GET", "HEAD"}:
        return Answer("browser", 302, f"to {SIGN_IN_PATH}?redirect_uri={path}"), program
    return Answer("browser", 401, "login required"), program


def _both(status: int | None, text: str) -> tuple[Answer, ...]:
    return Answer("browser", status, text), Answer("program", status, text)
