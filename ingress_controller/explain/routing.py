"""Which host and which route of it a request gets.

In: the hosts that are served, and a target. Out: ``Routing``: everything that was tried, in order, and why it was not
taken. It is the same choice that ``envoy.host`` and the scope fallback make in the proxy.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import re2

from ingress_controller.explain.url import TUNNEL, RefusedPathError, Target
from ingress_controller.model.host import OWN_PATHS, Host, covering
from ingress_controller.model.route import Connect, Exact, PathMatch, Prefix, Regex, Route


@dataclass(frozen=True, slots=True)
class Tried:
    """A route that was looked at; ``obstacle`` is why it does not match, empty where it does."""

    route: Route
    obstacle: str


@dataclass(frozen=True, slots=True)
class Routing:
    """The choice of a route.

    Attributes:
        names: the names under which a host was looked for, in order; the last is that of ``host`` if there is one.
        host: the host; ``None`` if nobody has the name.
        path: the path in its normal form, that routes and policies see; ``None`` if it has none,
            and for CONNECT.
        refusal: why the path is refused; else empty.
        own: whether the host answers the path by itself, a refusal too; else that is up to the listener.
        tried: the routes up to the one that matches.
        later: how many routes come after it, and were not looked at.
    """

    names: tuple[str, ...]
    host: Host | None
    path: str | None = None
    refusal: str = ""
    own: bool = False
    tried: tuple[Tried, ...] = ()
    later: int = 0

    @property
    def route(self) -> Route | None:
        """The route that matches."""
        return self.tried[-1].route if self.tried and not self.tried[-1].obstacle else None


def choose(hosts: Mapping[str, Host], target: Target) -> Routing:
    """Find the host and the route of a target."""
    names = tuple(_names(hosts, target.host))
    host = hosts.get(names[-1])
    if target.scheme == TUNNEL:
        tried = _tried(host, lambda match: obstacle_of_tunnel(match, target.port)) if host else ()
        return Routing(names, host, tried=tried, later=len(host.routes) - len(tried) if host else 0)
    try:
        path = target.path
    except RefusedPathError as error:
        return Routing(names, host, refusal=str(error))
    if host is None:
        return Routing(names, None, path)
    if path == "//":
        return Routing(names, host, path, refusal="the path has nothing but slashes", own=True)
    if path.startswith(OWN_PATHS):
        return Routing(names, host, path, own=True)
    tried = _tried(host, lambda match: obstacle(match, path))
    return Routing(names, host, path, tried=tried, later=len(host.routes) - len(tried))


def obstacle(match: PathMatch, path: str) -> str:
    """Why a route does not match a path in its normal form; empty if it does."""
    match match:
        case Exact(wanted):
            return "" if path == wanted else "another path"
        case Prefix("/"):
            return ""
        case Prefix(prefix) if path == prefix or path.startswith(f"{prefix}/"):
            return ""
        case Prefix(prefix) if path.startswith(prefix):
            return "begins alike, but prefixes match whole elements"
        case Prefix():
            return "the path is not below it"
        case Regex(pattern):
            return "" if re2.fullmatch(pattern, path) else "the pattern does not match the whole path"
        case Connect():
            return "a tunnel, which only CONNECT asks for"


def obstacle_of_tunnel(match: PathMatch, port: int) -> str:
    """Why a route does not match a CONNECT to a port of its host; empty if it does."""
    match match:
        case Connect(wanted):
            return "" if port == wanted else "another port"
        case _:
            return "no tunnel"


def _names(hosts: Mapping[str, Host], name: str) -> Iterator[str]:
    for candidate in (name, *covering(name)):
        yield candidate
        if candidate in hosts:
            return


def _tried(host: Host, why_not: Callable[[PathMatch], str]) -> tuple[Tried, ...]:
    tried: list[Tried] = []
    for route in host.routes:
        tried.append(Tried(route, why_not(route.match)))
        if not tried[-1].obstacle:
            break
    return tuple(tried)
