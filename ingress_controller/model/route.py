"""A route: which requests of a host, under which policy, get which treatment.

In: one path of an Ingress, compiled. Out: values that ``envoy`` encodes and ``translate`` prints. The order of
serving is defined here, once.
"""

from datetime import timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

from ingress_controller.model.headers import RequestHeader, RequestHeaders, ResponseHeaders
from ingress_controller.model.policy import Policy
from ingress_controller.model.problem import Reason
from ingress_controller.model.reference import ObjectRef

MAX_PROGRAM_SIZE = 10_000
"""Instructions that a pattern may compile to. Envoy is started with the same limit, or it would refuse the route."""


class Exact(Struct, frozen=True, gc=False):
    """The path, and nothing but it (pathType Exact)."""

    path: str


class Prefix(Struct, frozen=True, gc=False):
    """The path and everything below it, element by element: ``/foo`` is not ``/foobar`` (pathType Prefix).

    ``path`` has no trailing slash, except ``/`` itself.
    """

    path: str


class Regex(Struct, frozen=True, gc=False):
    """An RE2 pattern that matches the whole path without the query."""

    pattern: str


class Connect(Struct, frozen=True, gc=False):
    """CONNECT to the host and this port, which asks for a TCP tunnel."""

    port: int

    @property
    def path(self) -> str:
        """What stands for a path: ``:5432``."""
        return f":{self.port}"


PathMatch = Exact | Prefix | Regex | Connect


class Substitution(Struct, frozen=True, gc=False):
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


class Forward(Struct, frozen=True, gc=False):
    """Send the request to an upstream.

    Attributes:
        upstream: the name of an ``Upstream``.
        host: the Host header to send; ``None`` leaves the client's.
        path_rewrite: ``None`` leaves the path.
        timeout: for the whole response; zero is no limit.
        sticky: whether the upstream chooses an endpoint by who asks.
        idle_timeout: how long nothing may be sent either way; zero is no limit, ``None`` the proxy's own.
        upgrades: the protocols that a client may change to; others are refused.
        request_headers: changes to the request's headers.
        response_headers: changes to the response's headers.
        service_account_token: the name of the secret with which a kube-apiserver is asked in the name of the user;
            ``None`` for other upstreams.
    """

    upstream: str
    host: HostRewrite | None
    path_rewrite: PathRewrite | None
    timeout: timedelta
    sticky: bool = False
    idle_timeout: timedelta | None = None
    upgrades: tuple[Upgrade, ...] = ()
    request_headers: RequestHeaders = RequestHeaders()
    response_headers: ResponseHeaders = ResponseHeaders()
    service_account_token: str | None = None


class Unavailable(Struct, frozen=True, gc=False):
    """Answer 503 with a short reason: the path is claimed, but cannot be served."""

    reason: Reason


class About(Struct, frozen=True, gc=False):
    """What people are told of a route; empty where nothing is said."""

    name: str = ""
    description: str = ""
    logo_url: str = ""


class Route(Struct, frozen=True, gc=False):
    """One path of one host.

    Attributes:
        id: unique and stable: the last word in the order, and the route's name in Envoy.
        host: lower case; ``*.example.com`` for a wildcard, ``*`` for every host that nothing else claims.
        ingress: where it comes from.
        match: the paths it serves.
        policy: who may.
        action: what they get.
        about: what people are told of it.
        shadow: a policy that is tried: Envoy counts and logs what it would decide, and does not act on it.
    """

    id: str
    host: str
    ingress: ObjectRef
    match: PathMatch
    policy: Policy
    action: Forward | Unavailable
    about: About = About()
    shadow: Policy | None = None

    @property
    def path(self) -> str:
        """The text of the path or pattern."""
        return self.match.pattern if isinstance(self.match, Regex) else self.match.path


def serving_order(routes: list[Route]) -> tuple[Route, ...]:
    """Sort routes as they are tried: host ascending, path, regex and prefix descending, id ascending.

    Strings are compared as such; a longer path therefore comes before each of its own prefixes. Tunnels, which no other
    route competes with, come last.
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
        case Connect():
            return ("", "", "")
