"""One route of a host.

In: a ``Route``. Out: Envoy's, encoded: the requests that it matches, the policy, and where they go and how.
"""

from collections.abc import Iterator
from functools import cache

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Metadata,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    Route,
    RouteAction,
    RouteActionHashPolicy,
    RouteActionHashPolicyConnectionProperties,
    RouteActionHashPolicyFilterState,
    RouteActionUpgradeConfig,
    RouteActionUpgradeConfigConnectConfig,
    RouteMatch,
    RouteMatchConnectMatcher,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute
from envoy_data_plane.google.protobuf import Struct, Value

from ingress_controller.envoy import access_log
from ingress_controller.envoy import policy as compiled_policy
from ingress_controller.envoy.encoding import Encoded, encoded
from ingress_controller.envoy.filters import (
    impersonation,
    policy,
    request_headers,
    response_headers,
    scope_fallback,
    session_state,
)
from ingress_controller.envoy.messages import regex
from ingress_controller.model.headers import RequestHeader
from ingress_controller.model.policy import Constant, Policy, Rule
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import (
    Connect,
    Exact,
    Forward,
    HostRewrite,
    PathMatch,
    PathRewrite,
    Prefix,
    Regex,
    Substitution,
    Unavailable,
    Upgrade,
)
from ingress_controller.model.route import Route as ModelRoute

# HTTP/2 has no such header, and Envoy adds none for an upstream of HTTP/1, which refuses a handshake without it. It
# proves to a client of HTTP/1 that it speaks to a websocket server; one of HTTP/2 does not look. So any will do.
_WEBSOCKET_KEY = encoded(
    HeaderValueOption,
    header=HeaderValue(
        key="sec-websocket-key", value="%CEL('upgrade' in request.headers ? 'dGhlIHNhbXBsZSBub25jZQ==' : '')%"
    ),
    append_action=HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
)


# The user; whoever is not signed in, by address.
_BY_WHO_ASKS = (
    encoded(
        RouteActionHashPolicy, filter_state=RouteActionHashPolicyFilterState(key=session_state.SUBJECT), terminal=True
    ),
    encoded(RouteActionHashPolicy, connection_properties=RouteActionHashPolicyConnectionProperties(source_ip=True)),
)


_EVERYBODY = Policy(allow=(Rule("allow", "everybody", Constant(value=True)),))

ANY_CONNECT = encoded(RouteMatch, connect_matcher=RouteMatchConnectMatcher())
"""Every CONNECT, which a prefix does not match."""

# For a change of protocol Envoy sends Connection on as it came. A proxy behind would drop what a client names in it.
_ONLY_UPGRADE = encoded(
    HeaderValueOption,
    header=HeaderValue(key="connection", value="upgrade"),
    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS,
)

# Envoy ends the CONNECT itself and sends the bytes on.
_TUNNEL = encoded(
    RouteActionUpgradeConfig, upgrade_type="CONNECT", connect_config=RouteActionUpgradeConfigConnectConfig()
)


def encode(route: ModelRoute, *, defaults: bool, asked: bool) -> Encoded:
    """Envoy's form of a route.

    Args:
        route: what it is made of.
        defaults: whether it brings the default response headers itself, if it has them.
        asked: whether clients of its host are asked for a certificate.
    """
    upgrades = route.action.upgrades if isinstance(route.action, Forward) else ()
    made = encoded(Route, name=route.id, match=_match(route.match), metadata=_metadata(route.ingress, upgrades))
    match route.action:
        case Forward() as action:
            own = response_headers.DEFAULTS if defaults and has_default_headers(route) else ()
            decided = compiled_policy.per_route(route.policy, route.host, route.shadow, server_name_must_match=asked)
            return made + encoded(
                Route,
                route=_forward(route.match, action),
                request_headers_to_add=_of_upgrades(upgrades),
                request_headers_to_remove=action.request_headers.remove,
                response_headers_to_add=own,
                typed_per_filter_config={
                    policy.NAME: decided,
                    **request_headers.of_route(action.request_headers),
                    **impersonation.of_route(action.service_account_token),
                    **response_headers.of_route(action.response_headers),
                },
            )
        case Unavailable(reason):
            by_itself = {policy.NAME: exempt(route.host, asked=asked)}
            return made + encoded(Route, direct_response=answer(503, reason), typed_per_filter_config=by_itself)


def exempt(host: str, *, asked: bool) -> Encoded:
    """For what nobody needs a policy for. Where clients show certificates, it must be on the host's own connection."""
    return compiled_policy.per_route(_EVERYBODY, host, server_name_must_match=True) if asked else policy.EXEMPT


def has_default_headers(route: ModelRoute) -> bool:
    """Whether responses get the default headers; what answers by itself may have them or not."""
    return not isinstance(route.action, Forward) or route.action.response_headers.defaults


def _of_upgrades(upgrades: tuple[Upgrade, ...]) -> Iterator[Encoded]:
    if upgrades:
        yield _ONLY_UPGRADE
    if "websocket" in upgrades:
        yield _WEBSOCKET_KEY


def _metadata(ingress: ObjectRef, upgrades: tuple[Upgrade, ...]) -> Encoded:
    """What the scope fallback and the access log want to know of a route."""
    name = encoded(Value, string_value=f"{ingress.namespace}/{ingress.name}")
    origin = encoded(Struct, fields={access_log.INGRESS: name})
    return encoded(Metadata, filter_metadata={scope_fallback.NAME: _matched(upgrades), access_log.METADATA: origin})


@cache
def _matched(upgrades: tuple[Upgrade, ...]) -> Encoded:
    """What tells the scope fallback that a route of a host was found, and the changes of protocol that it allows."""
    allowed = {scope_fallback.UPGRADES: dict.fromkeys(upgrades, True)} if upgrades else {}
    return (bytes(Struct.from_dict({scope_fallback.MATCHED: True} | allowed)),)


SCOPE_MATCHED = encoded(Metadata, filter_metadata={scope_fallback.NAME: _matched(())})
"""The metadata of a route that no Ingress has asked for."""


@cache
def answer(status: int, reason: str) -> Encoded:
    """An answer of Envoy's own."""
    return encoded(DirectResponseAction, status=status, body=DataSource(inline_string=f"{status} {reason}\n"))


def _match(match: PathMatch) -> Encoded:
    match match:
        case Exact(path):
            return encoded(RouteMatch, path=path)
        case Prefix("/"):
            return encoded(RouteMatch, prefix="/")
        case Prefix(path):
            return encoded(RouteMatch, path_separated_prefix=path)
        case Regex(pattern):
            return encoded(RouteMatch, safe_regex=regex(pattern))
        case Connect():
            return ANY_CONNECT


def _forward(match: PathMatch, action: Forward) -> Encoded:
    upgrades = [encoded(RouteActionUpgradeConfig, upgrade_type=upgrade) for upgrade in action.upgrades]
    return encoded(
        RouteAction,
        cluster=action.upstream,
        timeout=action.timeout,
        idle_timeout=action.idle_timeout,
        upgrade_configs=[_TUNNEL] if isinstance(match, Connect) else upgrades,
        hash_policy=_BY_WHO_ASKS if action.sticky else (),
        **({} if action.host is None else _host_rewrite(action.host)),
        **({} if action.path_rewrite is None else _path_rewrite(match, action.path_rewrite)),
    )


def _host_rewrite(host: HostRewrite) -> dict[str, object]:
    match host:
        case str():
            rewrite: dict[str, object] = {"host_rewrite_literal": host}
        case RequestHeader(name):
            rewrite = {"host_rewrite_header": name}
        case Substitution():
            rewrite = {"host_rewrite_path_regex": _substitution(host)}
    return {"append_x_forwarded_host": True} | rewrite


def _path_rewrite(match: PathMatch, rewrite: PathRewrite) -> dict[str, object]:
    """Replace what matched, element by element: ``/foo`` to ``/`` makes ``/bar`` of ``/foo/bar``, not ``//bar``."""
    match rewrite, match:
        case Substitution(), _:
            return {"regex_rewrite": _substitution(rewrite)}
        case str(), Prefix("/"):
            return {"prefix_rewrite": rewrite if rewrite.endswith("/") else f"{rewrite}/"}
        case str(), Prefix(path) if rewrite.endswith("/"):
            literal = Substitution(f"^{_quote(path)}/?", rewrite.replace("\\", "\\\\"))
            return {"regex_rewrite": _substitution(literal)}
        case _:
            return {"prefix_rewrite": rewrite}


def _substitution(substitution: Substitution) -> RegexMatchAndSubstitute:
    return RegexMatchAndSubstitute(pattern=regex(substitution.pattern), substitution=substitution.replacement)


def _quote(path: str) -> str:
    """``path`` as an RE2 pattern that matches just it."""
    return r"\Q" + path.replace(r"\E", r"\E\\E\Q") + r"\E"
