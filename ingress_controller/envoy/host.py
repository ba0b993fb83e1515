"""A host as one resource.

In: a ``Host``. Out: a ``ScopedRouteConfiguration`` with its route configuration inline, keyed by the host's name:
what changes on a host changes this resource and no other.
"""

from typing import Final

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

from ingress_controller.envoy.filters import OFF_BY_HOST, cookie_strip, policy, response_headers, scope_fallback
from ingress_controller.envoy.messages import resource_name
from ingress_controller.envoy.route import SCOPE_MATCHED, answer, has_default_headers, make_route
from ingress_controller.model.host import Host

OWN_PATHS: Final = "/.pomerium/"

# Only requests that no upstream has begun to see: endpoints go away a moment before Envoy knows.
_RETRIES = RetryPolicy(retry_on="connect-failure,refused-stream,reset-before-request", num_retries=2)


def scope(host: Host) -> ScopedRouteConfiguration:
    """The resource of a host."""
    # Where all routes have the default headers, the host has them in their place.
    shared = all(has_default_headers(route) for route in host.routes)
    own = [make_route(route, defaults=not shared) for route in host.routes]
    routes = RouteConfiguration(
        name=resource_name(host.name),
        request_headers_to_remove=[scope_fallback.SCOPE_HEADER],
        virtual_hosts=[
            VirtualHost(
                name=host.name,
                # The scope has chosen the host already.
                domains=["*"],
                routes=[
                    _own_paths(),
                    *own,
                    _no_such_route(),
                ],
                request_headers_to_add=[cookie_strip.COOKIE_HEADER],
                response_headers_to_add=list(response_headers.DEFAULTS) if shared else [],
                typed_per_filter_config=dict(OFF_BY_HOST),
                retry_policy=_RETRIES,
            )
        ],
    )
    key = ScopedRouteConfigurationKey(fragments=[ScopedRouteConfigurationKeyFragment(string_key=host.name)])
    return ScopedRouteConfiguration(name=resource_name(host.name), key=key, route_configuration=routes)


def retry(parts: tuple[bytes, ...], attempt: int) -> tuple[bytes, ...]:
    """The same resource in other bytes: protobuf merges what is appended into the route configuration.

    Envoy records the good scopes of a response that it refuses without putting them into force, and would take the
    same bytes for unchanged.
    """
    metadata = Metadata(filter_metadata={"xds": Struct.from_dict({"attempt": attempt})})
    return (*parts, bytes(ScopedRouteConfiguration(route_configuration=RouteConfiguration(metadata=metadata))))


def _own_paths() -> Route:
    """Sign-in, on every host, before anything that an Ingress claims: a redirect to it must never be redirected."""
    return Route(
        match=RouteMatch(prefix=OWN_PATHS),
        direct_response=answer(503, "sign-in-unavailable"),
        typed_per_filter_config={policy.NAME: policy.EXEMPT},
        metadata=SCOPE_MATCHED,
    )


def _no_such_route() -> Route:
    """What the host has no route for, denied by the policy filter itself like a request for no host.

    Without it the scope fallback would look for the path on the wildcard above the host.
    """
    return Route(match=RouteMatch(prefix="/"), direct_response=DirectResponseAction(status=404), metadata=SCOPE_MATCHED)
