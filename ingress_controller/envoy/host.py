"""A host as one resource, and one for each port that it has tunnels to.

In: a ``Host``. Out: a ``ScopedRouteConfiguration`` with its route configuration inline, keyed by the host's name:
what changes on a host changes this resource and no other. CONNECT names a host with a port, so a tunnel's scope is
keyed by both.
"""

from collections.abc import Iterable, Iterator, Mapping

from envoy_data_plane.envoy.config.core.v3 import HeaderValueOption, Metadata
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    RetryPolicy,
    Route,
    RouteConfiguration,
    RouteMatch,
    ScopedRouteConfiguration,
    ScopedRouteConfigurationKey,
    ScopedRouteConfigurationKeyFragment,
    VirtualHost,
)
from envoy_data_plane.google.protobuf import Struct

from ingress_controller.envoy.filters import OFF_BY_HOST, cookie_strip, policy, response_headers, scope_fallback
from ingress_controller.envoy.messages import resource_name
from ingress_controller.envoy.route import ANY_CONNECT, SCOPE_MATCHED, answer, exempt, has_default_headers, make_route
from ingress_controller.model.host import OWN_PATHS, Host
from ingress_controller.model.route import Connect, Forward

# Only requests that no upstream has begun to see: endpoints go away a moment before Envoy knows.
_RETRIES = RetryPolicy(retry_on="connect-failure,refused-stream,reset-before-request", num_retries=2)


def scopes(host: Host, listener_port: int) -> tuple[ScopedRouteConfiguration, ...]:
    """The resources of a host.

    Args:
        host: what they are made of.
        listener_port: the port that Envoy takes off a host's name, of CONNECT too.
    """
    tunnels = [route for route in host.routes if isinstance(route.match, Connect)]
    paths = [route for route in host.routes if not isinstance(route.match, Connect)]
    portless = [route for route in tunnels if route.match == Connect(listener_port)]
    # Where all routes have the default headers, the host has them in their place.
    shared = all(has_default_headers(route) for route in paths)
    asked = host.client_ca is not None
    routes = [make_route(route, defaults=not shared, asked=asked) for route in (*paths, *portless)]
    routes = [*_own_paths(host.name, asked=asked), *routes, *_NO_SUCH_ROUTE]
    ports = (_scope(f"{host.name}{each.path}", [make_route(each, defaults=False, asked=asked)]) for each in tunnels)
    return (_scope(host.name, routes, response_headers.DEFAULTS if shared else ()), *ports)


def names(host: Host) -> tuple[str, ...]:
    """The names of a host's resources."""
    ports = (route.path for route in host.routes if isinstance(route.match, Connect))
    return (resource_name(host.name), *(f"{host.name}{port}" for port in ports))


def references(host: Host, listener_port: int) -> Mapping[str, tuple[str, ...]]:
    """The upstreams that each of a host's resources refers to, by the resource's name."""
    found: dict[str, dict[str, None]] = {name: {} for name in names(host)}
    for route in host.routes:
        if isinstance(route.action, Forward):
            is_tunnel = isinstance(route.match, Connect)
            if is_tunnel:
                found[f"{host.name}{route.path}"][route.action.upstream] = None
            if not is_tunnel or route.match == Connect(listener_port):
                found[resource_name(host.name)][route.action.upstream] = None
    return {name: tuple(each) for name, each in found.items()}


def _scope(key: str, routes: list[Route], headers: Iterable[HeaderValueOption] = ()) -> ScopedRouteConfiguration:
    """A scope, whose responses get these headers.

    The scope fallback is disabled for what a route matches. A host has routes for everything; in the scope of a tunnel,
    requests that are no CONNECT have none, and the fallback brings them to the host.
    """
    virtual_host = VirtualHost(
        name=key,
        # The scope has chosen the host already.
        domains=["*"],
        routes=routes,
        request_headers_to_add=[cookie_strip.COOKIE_HEADER],
        response_headers_to_add=list(headers),
        typed_per_filter_config=dict(OFF_BY_HOST),
        retry_policy=_RETRIES,
    )
    name = resource_name(key)
    return ScopedRouteConfiguration(
        name=name,
        key=ScopedRouteConfigurationKey(fragments=[ScopedRouteConfigurationKeyFragment(string_key=key)]),
        route_configuration=RouteConfiguration(
            name=name, request_headers_to_remove=[scope_fallback.SCOPE_HEADER], virtual_hosts=[virtual_host]
        ),
    )


def retry(parts: tuple[bytes, ...], attempt: int) -> tuple[bytes, ...]:
    """The same resource in other bytes: protobuf merges what is appended into the route configuration.

    Envoy records the good scopes of a response that it refuses without putting them into force, and would take the
    same bytes for unchanged.
    """
    metadata = Metadata(filter_metadata={"xds": Struct.from_dict({"attempt": attempt})})
    return (*parts, bytes(ScopedRouteConfiguration(route_configuration=RouteConfiguration(metadata=metadata))))


def _own_paths(host: str, *, asked: bool) -> Iterator[Route]:
    """What every host answers itself, before anything that an Ingress claims.

    Sign-in, for a redirect to it must never be redirected; and a path of nothing but slashes, which Envoy does not
    merge to the one slash that routes and policies mean.
    """
    for match, said in (
        (RouteMatch(prefix=OWN_PATHS), answer(503, "sign-in-unavailable")),
        (RouteMatch(path="//"), answer(400, "invalid-path")),
    ):
        yield Route(
            match=match,
            direct_response=said,
            typed_per_filter_config={policy.NAME: exempt(host, asked=asked)},
            metadata=SCOPE_MATCHED,
        )


# What a host has no route for, denied by the policy filter itself like a request for no host. Without it the scope
# fallback would look for the path, or the port, on the wildcard above the host.
_NO_SUCH_ROUTE = tuple(
    Route(match=match, direct_response=DirectResponseAction(status=404), metadata=SCOPE_MATCHED)
    for match in (RouteMatch(prefix="/"), ANY_CONNECT)
)
