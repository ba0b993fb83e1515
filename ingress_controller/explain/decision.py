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
from ingress_controller.explain.url import TUNNEL, RefusedPathError, Target
from ingress_controller.model.host import CATCH_ALL, SIGN_IN_PATH, Host
from ingress_controller.model.route import Forward, Route, Unavailable
from ingress_controller.model.upstream import Endpoints, ServicePort, Upstream
from ingress_controller.policy.evaluate import Decision, Request, Session, ShownCertificate, evaluate

_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: hosts, upstreams and their endpoints, by name; and the port that redirects to https name."""

    hosts: Mapping[str, Host]
    upstreams: Mapping[str, Upstream]
    endpoints: Mapping[str, Endpoints]
    https_port: int = 443


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
        server_name: of the TLS handshake, lower case; empty without one. ``None`` is the host of the request.
    """

    method: str
    source_ip: IPv4Address | IPv6Address
    session: Session | None
    time: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: ShownCertificate | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one kind of client is told. ``status`` is ``None`` where that is up to the upstream."""

    client: Literal["browser", "program"]
    status: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one request.

    Attributes:
        target: what is asked for.
        visitor: who asks, and how.
        routing: the choice of the route.
        decision: what its policy says; ``None`` where none was asked.
        answers: what each kind of client is told.
        shadow: what the policy would say that is only tried; ``None`` where there is none.
        redirect: where the plain listener sends what is asked over http; ``None`` for https.
    """

    target: Target
    visitor: Visitor
    routing: Routing
    decision: Decision | None
    answers: tuple[Answer, ...]
    shadow: Decision | None = None
    redirect: str | None = None

    @property
    def forwarded(self) -> Route | None:
        """The route by which the request is sent on; ``None`` if it is not."""
        return self.routing.route if self.answers[0].status is None else None


def explain(served: Served, target: Target, visitor: Visitor) -> Explanation:
    """Follow a request as the proxy would take it. A session that is given has the target's host as its audience.

    One over http is answered by a redirect alone; the rest is about the request that follows it.
    """
    routing = choose(served.hosts, target)
    redirect = _redirect(target, served.https_port) if target.scheme == "http" else None
    route = routing.route
    if told := _without_policy(routing, target, visitor):
        return Explanation(target, visitor, routing, None, _both(*told), redirect=redirect)
    if route is None or isinstance(route.action, Unavailable):
        raise AssertionError("what has no policy to ask is told without one")
    request = _request(target.host, routing.path, visitor)
    decision = evaluate(route.policy, request, visitor.session)
    match decision.outcome:
        case "allow":
            answers = _both(*_forwarded(served, route.action))
        case "deny":
            answers = _both(403, f"denied by {decision.name}")
        case "sign_in":
            answers = _asked_to_sign_in(target.with_query(routing.path or ""), visitor.method)
    shadow = evaluate(route.shadow, request, visitor.session) if route.shadow else None
    return Explanation(target, visitor, routing, decision, answers, shadow, redirect)


def _redirect(target: Target, port: int) -> str | None:
    try:
        path = target.path
    except RefusedPathError:
        return None
    return f"https://{target.host}{'' if port == _HTTPS_PORT else f':{port}'}{target.with_query(path)}"


def _request(host: str, path: str | None, visitor: Visitor) -> Request:
    return Request(
        host=host,
        method=visitor.method,
        path=path,
        source_ip=visitor.source_ip,
        time=visitor.time,
        headers=visitor.headers,
        certificate=visitor.certificate,
    )


def _without_policy(routing: Routing, target: Target, visitor: Visitor) -> tuple[int, str] | None:
    """The answer to what never comes to a policy; ``None`` for what does."""
    host, route = routing.host, routing.route
    if routing.refusal and not routing.own:
        return 400, routing.refusal
    if host is None:
        return 404, "no host has this name; most clients are already refused in the TLS handshake"
    if route is None and not routing.own:
        return 404, _no_route(host, target)
    if host.client_ca and visitor.server_name not in {None, target.host}:
        # On the connection of another name, the certificate was judged by that host's authorities, or by none.
        name = f"for {visitor.server_name}" if visitor.server_name else "without a name"
        return 421, f"misdirected: {host.name} asks for client certificates, and the TLS handshake was {name}"
    if route is None:
        return (400, routing.refusal) if routing.refusal else (503, "sign-in-unavailable")
    return (503, route.action.reason) if isinstance(route.action, Unavailable) else None


def _no_route(host: Host, target: Target) -> str:
    every = "" if host.name == CATCH_ALL else f" of {host.name}"
    if target.scheme == TUNNEL:
        return f"no tunnel{every} leads to port {target.port}"
    return f"no route{every} has the path"


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
