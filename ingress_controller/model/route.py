"""A route: which requests of a host, under which policy, get which treatment.

In: one path of an Ingress, compiled. Out: values that ``envoy`` encodes and ``translate`` prints. The order of
serving is defined here, once.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from ingress_controller.model.headers import RequestHeader, RequestHeaders, ResponseHeaders
from ingress_controller.model.policy import Policy
from ingress_controller.model.problem import Reason
from ingress_controller.model.reference import ObjectRef

MAX_PROGRAM_SIZE = 10_000
"""Instructions that a pattern may compile to. Envoy is started with the same limit, or it would refuse the route."""


@dataclass(frozen=True, slots=True)
class Exact:
    """The path, and nothing but it (pathType Exact)."""

    path: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The path and everything below it, element by element: ``/foo`` is not ``/foobar`` (pathType Prefix).

    ``path`` has no trailing slash, except ``/`` itself.
    """

    path: str


@dataclass(frozen=True, slots=True)
class Regex:
    """An RE2 pattern that matches the whole path without the query."""

    pattern: str


PathMatch = Exact | Prefix | Regex


@dataclass(frozen=True, slots=True)
class Substitution:
    """Every place of a path where an RE2 pattern matches, and what is put there.

    In ``replacement``, a backslash and a digit stand for a group of the pattern, two backslashes for one.
    """

    pattern: str
    replacement: str


HostRewrite: TypeAlias = str | RequestHeader | Substitution
"""The Host header to send: a text, a header of the request, or what a substitution makes of the path."""

PathRewrite: TypeAlias = str | Substitution
"""What becomes of the path: a text in place of the matched part, or a substitution."""

Upgrade: TypeAlias = Literal["websocket", "spdy/3.1"]
"""A protocol that a connection may change to, as its ``Upgrade`` header names it."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to an upstream.

    Attributes:
        upstream: the name of an ``Upstream``.
        host: the Host header to send; ``None`` leaves the client's.
        path_rewrite: ``None`` leaves the path.
        timeout: for the whole response; zero is no limit.
        idle_timeout: how long nothing may be sent either way; zero is no limit, ``None`` the proxy's own.
        upgrades: the protocols that a client may change to; others are refused.
        request_headers: changes to the request's headers.
        response_headers: changes to the response's headers.
        sticky: whether the upstream chooses an endpoint by who asks.
    """

    upstream: str
    host: HostRewrite | None
    path_rewrite: PathRewrite | None
    timeout: timedelta
    idle_timeout: timedelta | None = None
    upgrades: tuple[Upgrade, ...] = ()
    request_headers: RequestHeaders = field(default_factory=RequestHeaders)
    response_headers: ResponseHeaders = field(default_factory=ResponseHeaders)
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Answer 503 with a short reason: the path is claimed, but cannot be served."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class About:
    """What people are told of a route; empty where nothing is said."""

    name: str = ""
    description: str = ""
    logo_url: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of one host.

    Attributes:
        id: unique and stable: the last word in the order, and the route's name in Envoy.
        host: lower case; ``*.example.com`` for a wildcard, ``*`` for every host that nothing else claims.
        ingress: where it comes from.
        match: the paths it serves.
        policy: who may.
        action: what they get.
        about: what people are told of it.
    """

    id: str
    host: str
    ingress: ObjectRef
    match: PathMatch
    policy: Policy
    action: Forward | Unavailable
    about: About = About()

    @property
    def path(self) -> str:
        """The text of the path or pattern."""
        return self.match.pattern if isinstance(self.match, Regex) else self.match.path


def serving_order(routes: list[Route]) -> tuple[Route, ...]:
    """Sort routes as they are tried: host ascending, path, regex and prefix descending, id ascending.

    Strings are compared as such; a longer path therefore comes before each of its own prefixes.
    """
    by_id = sorted(routes, key=lambda route: route.id)
    by_match = sorted(by_id, key=_specificity, reverse=True)
    return tuple(sorted(by_match, key=lambda route: route.host))


def _specificity(route: Route) -> tuple[str, str, str]:
    match route.match:
        case Exact(path):
            return (path, "", "")
        case Regex(pattern):
            return ("", pattern, "")
        case Prefix(path):
            return ("", "", path)
