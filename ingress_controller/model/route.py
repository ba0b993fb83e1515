"""A route: which requests of a host, under which policy, get which treatment.

In: one path of an Ingress, compiled. Out: values that ``envoy`` encodes and ``translate`` prints. The order of
serving is defined here, once.
"""

from dataclasses import dataclass
from datetime import timedelta

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
class RequestHeaders:
    """What is done to a request's headers before it is sent on. Values are literal text."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to an upstream.

    Attributes:
        upstream: the name of an ``Upstream``.
        host: the Host header to send; ``None`` leaves the client's.
        prefix_rewrite: what replaces the matched path; ``None`` leaves it.
        timeout: for the whole response; zero is no limit.
        headers: changes to the request's headers.
        sticky: whether the upstream chooses an endpoint by who asks.
    """

    upstream: str
    host: str | None
    prefix_rewrite: str | None
    timeout: timedelta
    headers: RequestHeaders = RequestHeaders()
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Answer 503 with a short reason: the path is claimed, but cannot be served."""

    reason: Reason


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
        shadow: a policy that is tried: Envoy counts and logs what it would decide, and does not act on it.
    """

    id: str
    host: str
    ingress: ObjectRef
    match: PathMatch
    policy: Policy
    action: Forward | Unavailable
    shadow: Policy | None = None

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
