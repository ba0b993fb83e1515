"""A host as one resource.

In: a ``Host``. Out: a ``ScopedRouteConfiguration`` with its route configuration inline, keyed by the host's name:
what changes on a host changes this resource and no other.
"""

from functools import lru_cache
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Metadata,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    RetryPolicy,
    Route,
    RouteAction,
    RouteActionHashPolicy,
    RouteActionHashPolicyConnectionProperties,
    RouteActionHashPolicyFilterState,
    RouteConfiguration,
    RouteMatch,
    ScopedRouteConfiguration,
    ScopedRouteConfigurationKey,
    ScopedRouteConfigurationKeyFragment,
    VirtualHost,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute
from envoy_data_plane.google.protobuf import Any, Struct

from ingress_controller.envoy import access_log
from ingress_controller.envoy import policy as compiled_policy
from ingress_controller.envoy.filters import cookie_strip, policy, scope_fallback, session_state
from ingress_controller.envoy.messages import literal, pack, regex, resource_name
from ingress_controller.model.host import Host
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import Exact, Forward, PathMatch, Prefix, Regex, Unavailable
from ingress_controller.model.route import Route as ModelRoute

OWN_PATHS: Final = "/.pomerium/"

_MATCHED = Struct.from_dict({scope_fallback.MATCHED: True})
_SCOPE_MATCHED = Metadata(filter_metadata={scope_fallback.NAME: _MATCHED})

# Only requests that no upstream has begun to see: endpoints go away a moment before Envoy knows.
_RETRIES = RetryPolicy(retry_on="connect-failure,refused-stream,reset-before-request", num_retries=2)

# The user; whoever is not signed in, by address.
_BY_WHO_ASKS = [
    RouteActionHashPolicy(filter_state=RouteActionHashPolicyFilterState(key=session_state.SUBJECT), terminal=True),
    RouteActionHashPolicy(connection_properties=RouteActionHashPolicyConnectionProperties(source_ip=True)),
]


def scope(host: Host) -> ScopedRouteConfiguration:
    """The resource of a host."""
    routes = RouteConfiguration(
        name=resource_name(host.name),
        request_headers_to_remove=[scope_fallback.SCOPE_HEADER],
        virtual_hosts=[
            VirtualHost(
                name=host.name,
                # The scope has chosen the host already.
                domains=["*"],
                routes=[_own_paths(), *(_route(route) for route in host.routes), _no_such_route()],
                request_headers_to_add=[cookie_strip.COOKIE_HEADER],
                typed_per_filter_config={scope_fallback.NAME: scope_fallback.DISABLED},
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
        direct_response=_answer(503, "sign-in-unavailable"),
        typed_per_filter_config={policy.NAME: policy.EXEMPT},
        metadata=_SCOPE_MATCHED,
    )


def _no_such_route() -> Route:
    """What the host has no route for, denied by the policy filter itself like a request for no host.

    Without it the scope fallback would look for the path on the wildcard above the host.
    """
    return Route(
        match=RouteMatch(prefix="/"), direct_response=DirectResponseAction(status=404), metadata=_SCOPE_MATCHED
    )


def _route(route: ModelRoute) -> Route:
    made = Route(name=route.id, match=_match(route.match), metadata=_metadata(route.ingress))
    match route.action:
        case Forward():
            made.route = _forward(route.match, route.action)
            made.typed_per_filter_config = {policy.NAME: _policy(route)}
            made.request_headers_to_add = [_set(name, value) for name, value in route.action.headers.set]
            made.request_headers_to_remove = list(route.action.headers.remove)
        case Unavailable(reason):
            made.direct_response = _answer(503, reason)
            made.typed_per_filter_config = {policy.NAME: policy.EXEMPT}
    return made


# Most Ingresses have several routes, and hosts are encoded one after the other.
@lru_cache(maxsize=128)
def _metadata(ingress: ObjectRef) -> Metadata:
    origin = Struct.from_dict({access_log.INGRESS: f"{ingress.namespace}/{ingress.name}"})
    return Metadata(filter_metadata={scope_fallback.NAME: _MATCHED, access_log.METADATA: origin})


def _policy(route: ModelRoute) -> Any:
    return pack(compiled_policy.rbac_per_route(route.policy, route.host, route.shadow))


def _match(match: PathMatch) -> RouteMatch:
    match match:
        case Exact(path):
            return RouteMatch(path=path)
        case Prefix("/"):
            return RouteMatch(prefix="/")
        case Prefix(path):
            return RouteMatch(path_separated_prefix=path)
        case Regex(pattern):
            return RouteMatch(safe_regex=regex(pattern))


def _forward(match: PathMatch, action: Forward) -> RouteAction:
    made = RouteAction(cluster=action.upstream, timeout=action.timeout)
    if action.host is not None:
        made.host_rewrite_literal = action.host
        made.append_x_forwarded_host = True
    if action.sticky:
        made.hash_policy = _BY_WHO_ASKS
    if action.prefix_rewrite is not None:
        _rewrite(made, match, action.prefix_rewrite)
    return made


def _rewrite(made: RouteAction, match: PathMatch, replacement: str) -> None:
    """Replace what matched, element by element: ``/foo`` to ``/`` makes ``/bar`` of ``/foo/bar``, not ``//bar``."""
    match match:
        case Prefix("/"):
            made.prefix_rewrite = replacement if replacement.endswith("/") else f"{replacement}/"
        case Prefix(path) if replacement.endswith("/"):
            made.regex_rewrite = RegexMatchAndSubstitute(
                pattern=regex(f"^{_quote(path)}/?"), substitution=replacement.replace("\\", "\\\\")
            )
        case _:
            made.prefix_rewrite = replacement


def _quote(path: str) -> str:
    """``path`` as an RE2 pattern that matches just it."""
    return r"\Q" + path.replace(r"\E", r"\E\\E\Q") + r"\E"


def _answer(status: int, reason: str) -> DirectResponseAction:
    return DirectResponseAction(status=status, body=DataSource(inline_string=f"{status} {reason}\n"))


def _set(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=literal(value)),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        # Without it, the client's own header would take the place of an empty one.
        keep_empty_value=True,
    )
