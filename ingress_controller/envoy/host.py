"""A host as one resource, and one for each port that it has tunnels to.

In: a ``Host``. Out: a ``ScopedRouteConfiguration`` with its route configuration inline, keyed by the host's name:
what changes on a host changes this resource and no other. CONNECT names a host with a port, so a tunnel's scope is
keyed by both.
"""

from collections.abc import Mapping

from envoy_data_plane.envoy.config.core.v3 import Metadata
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

from ingress_controller.envoy import route
from ingress_controller.envoy.encoding import Encoded, encoded, shared
from ingress_controller.envoy.filters import OFF_BY_HOST, cookie_strip, policy, response_headers, scope_fallback
from ingress_controller.envoy.messages import resource_name
from ingress_controller.model.host import OWN_PATHS, Host
from ingress_controller.model.route import Connect, Forward

# Only requests that no upstream has begun to see: endpoints go away a moment before Envoy knows.
_RETRIES = RetryPolicy(retry_on="connect-failure,refused-stream,reset-before-request", num_retries=2)


def scopes(host: Host, listener_port: int) -> dict[str, Encoded]:
    """The resources of a host, by name.

    Args:
        host: what they are made of.
        listener_port: the port that Envoy takes off a host's name, of CONNECT too.
    """
    tunnels = [each for each in host.routes if isinstance(each.match, Connect)]
    paths = [each for each in host.routes if not isinstance(each.match, Connect)]
    portless = [each for each in tunnels if each.match == Connect(listener_port)]
    # Where all routes have the default headers, the host has them in their place.
    same = all(map(route.has_default_headers, paths))
    asked = host.client_ca is not None
    routes = [route.encode(each, defaults=not same, asked=asked) for each in (*paths, *portless)]
    served = _own_paths(host) + encoded(VirtualHost, routes=routes) + _NO_SUCH_ROUTE
    made = {resource_name(host.name): _scope(host.name, served + _COMMON + (_DEFAULT_HEADERS if same else ()))}
    for tunnel in tunnels:
        only = encoded(VirtualHost, routes=[route.encode(tunnel, defaults=False, asked=asked)])
        made[f"{host.name}{tunnel.path}"] = _scope(f"{host.name}{tunnel.path}", only + _COMMON)
    return made


def names(host: Host) -> tuple[str, ...]:
    """The names of a host's resources."""
    ports = (route.path for route in host.routes if isinstance(route.match, Connect))
    return (resource_name(host.name), *(f"{host.name}{port}" for port in ports))


def references(host: Host, listener_port: int) -> Mapping[str, tuple[str, ...]]:
    """The upstreams that each of a host's resources refers to, by the resource's name."""
    found: dict[str, dict[str, None]] = {name: {} for name in names(host)}
    for each in host.routes:
        if isinstance(each.action, Forward):
            is_tunnel = isinstance(each.match, Connect)
            if is_tunnel:
                found[f"{host.name}{each.path}"][each.action.upstream] = None
            if not is_tunnel or each.match == Connect(listener_port):
                found[resource_name(host.name)][each.action.upstream] = None
    return {name: tuple(upstreams) for name, upstreams in found.items()}


def _scope(key: str, virtual_host: Encoded) -> Encoded:
    """A scope; ``virtual_host`` is what is in its host besides the name."""
    name = resource_name(key)
    fragment = encoded(ScopedRouteConfigurationKeyFragment, string_key=key)
    return encoded(
        ScopedRouteConfiguration,
        name=name,
        key=encoded(ScopedRouteConfigurationKey, fragments=[fragment]),
        route_configuration=encoded(
            RouteConfiguration,
            name=name,
            request_headers_to_remove=[scope_fallback.SCOPE_HEADER],
            virtual_hosts=[encoded(VirtualHost, name=key) + virtual_host],
        ),
    )


# What all hosts have in common. The scope fallback is disabled for what a route matches. A host has routes for all; in
# the scope of a tunnel, requests that are no CONNECT have none, and the fallback brings them to the host.
_COMMON = shared(
    encoded(
        VirtualHost,
        # The scope has chosen the host already.
        domains=["*"],
        request_headers_to_add=[cookie_strip.COOKIE_HEADER],
        typed_per_filter_config=OFF_BY_HOST,
        retry_policy=_RETRIES,
    )
)

_DEFAULT_HEADERS = shared(encoded(VirtualHost, response_headers_to_add=response_headers.DEFAULTS))


def retry(parts: tuple[bytes, ...], attempt: int) -> tuple[bytes, ...]:
    """The same resource in other bytes: protobuf merges what is appended into the route configuration.

    Envoy records the good scopes of a response that it refuses without putting them into force, and would take the
    same bytes for unchanged.
    """
    metadata = Metadata(filter_metadata={"xds": Struct.from_dict({"attempt": attempt})})
    return (*parts, bytes(ScopedRouteConfiguration(route_configuration=RouteConfiguration(metadata=metadata))))


def _own_paths(host: Host) -> Encoded:
    """What every host answers itself, before anything that an Ingress claims."""
    if host.client_ca is None:
        return _OWN_PATHS
    return _answered(route.exempt(host.name, asked=True))


def _answered(exempt: Encoded) -> Encoded:
    """The routes that answer by themselves.

    Sign-in, for a redirect to it must never be redirected; and a path of nothing but slashes, which Envoy does not
    merge to the one slash that routes and policies mean.
    """
    answers = (
        (RouteMatch(prefix=OWN_PATHS), route.answer(503, "sign-in-unavailable")),
        (RouteMatch(path="//"), route.answer(400, "invalid-path")),
    )
    routes = [
        encoded(
            Route,
            match=match,
            direct_response=answer,
            metadata=route.SCOPE_MATCHED,
            typed_per_filter_config={policy.NAME: exempt},
        )
        for match, answer in answers
    ]
    return encoded(VirtualHost, routes=routes)


_OWN_PATHS = shared(_answered(policy.EXEMPT))

# What a host has no route for, denied by the policy filter itself like a request for no host. Without it the scope
# fallback would look for the path, or the port, on the wildcard above the host.
_NO_SUCH_ROUTE = shared(
    encoded(
        VirtualHost,
        routes=[
            encoded(Route, match=match, direct_response=DirectResponseAction(status=404), metadata=route.SCOPE_MATCHED)
            for match in (RouteMatch(prefix="/"), route.ANY_CONNECT)
        ],
    )
)
