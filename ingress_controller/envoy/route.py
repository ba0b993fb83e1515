"""One route of a host.

In: a ``Route``. Out: Envoy's: the requests that it matches, the policy, and where they go and how.
"""

from collections.abc import Iterator
from functools import lru_cache

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
from envoy_data_plane.google.protobuf import Any, Struct

from ingress_controller.envoy import access_log
from ingress_controller.envoy import policy as compiled_policy
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

_MATCHED: dict[str, object] = {scope_fallback.MATCHED: True}

SCOPE_MATCHED = Metadata(filter_metadata={scope_fallback.NAME: Struct.from_dict(_MATCHED)})
"""What tells the scope fallback that a route of a host was found."""

# HTTP/2 has no such header, and Envoy adds none for an upstream of HTTP/1, which refuses a handshake without it. It
# proves to a client of HTTP/1 that it speaks to a websocket server; one of HTTP/2 does not look. So any will do.
_WEBSOCKET_KEY = HeaderValueOption(
    header=HeaderValue(
        key="sec-websocket-key", value="%CEL('upgrade' in request.headers ? 'dGhlIHNhbXBsZSBub25jZQ==' : '')%"
    ),
    append_action=HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
)


# The user; whoever is not signed in, by address.
_BY_WHO_ASKS = [
    RouteActionHashPolicy(filter_state=RouteActionHashPolicyFilterState(key=session_state.SUBJECT), terminal=True),
    RouteActionHashPolicy(connection_properties=RouteActionHashPolicyConnectionProperties(source_ip=True)),
]


_EVERYBODY = Policy(allow=(Rule("allow", "everybody", Constant(value=True)),))

ANY_CONNECT = RouteMatch(connect_matcher=RouteMatchConnectMatcher())
"""Every CONNECT, which a prefix does not match."""

# For a change of protocol Envoy sends Connection on as it came. A proxy behind would drop what a client names in it.
_ONLY_UPGRADE = HeaderValueOption(
    header=HeaderValue(key="connection", value="upgrade"),
    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS,
)

# Envoy ends the CONNECT itself and sends the bytes on.
_TUNNEL = RouteActionUpgradeConfig(upgrade_type="CONNECT", connect_config=RouteActionUpgradeConfigConnectConfig())


def make_route(route: ModelRoute, *, defaults: bool, asked: bool) -> Route:
    """Envoy's form of a route.

    Args:
        route: what it is made of.
        defaults: whether it brings the default response headers itself, if it has them.
        asked: whether clients of its host are asked for a certificate.
    """
    made = Route(name=route.id, match=_match(route.match), metadata=_metadata(route.ingress, _upgrades(route)))
    match route.action:
        case Forward() as action:
            made.route = _forward(route.match, action)
            made.typed_per_filter_config = {
                policy.NAME: compiled_policy.packed(
                    route.policy, route.host, route.shadow, server_name_must_match=asked
                ),
                **request_headers.of_route(action.request_headers),
                **impersonation.of_route(action.service_account_token),
                **response_headers.of_route(action.response_headers),
            }
            made.request_headers_to_add = list(_of_upgrades(action.upgrades))
            made.request_headers_to_remove = list(action.request_headers.remove)
            if defaults and has_default_headers(route):
                made.response_headers_to_add = list(response_headers.DEFAULTS)
        case Unavailable(reason):
            made.direct_response = answer(503, reason)
            made.typed_per_filter_config = {policy.NAME: exempt(route.host, asked=asked)}
    return made


def exempt(host: str, *, asked: bool) -> Any:
    """For what nobody needs a policy for. Where clients show certificates, it must be on the host's own connection."""
    return compiled_policy.packed(_EVERYBODY, host, server_name_must_match=True) if asked else policy.EXEMPT


def has_default_headers(route: ModelRoute) -> bool:
    """Whether responses get the default headers; what answers by itself may have them or not."""
    return not isinstance(route.action, Forward) or route.action.response_headers.defaults


def _of_upgrades(upgrades: tuple[Upgrade, ...]) -> Iterator[HeaderValueOption]:
    if upgrades:
        yield _ONLY_UPGRADE
    if "websocket" in upgrades:
        yield _WEBSOCKET_KEY


# Most Ingresses have several routes, and hosts are encoded one after the other.
@lru_cache(maxsize=128)
def _metadata(ingress: ObjectRef, upgrades: tuple[Upgrade, ...]) -> Metadata:
    """What the scope fallback and the access log want to know of a route."""
    scope = _MATCHED | ({scope_fallback.UPGRADES: dict.fromkeys(upgrades, True)} if upgrades else {})
    origin = {access_log.INGRESS: f"{ingress.namespace}/{ingress.name}"}
    made = {scope_fallback.NAME: scope, access_log.METADATA: origin}
    return Metadata(filter_metadata={name: Struct.from_dict(told) for name, told in made.items()})


def _upgrades(route: ModelRoute) -> tuple[Upgrade, ...]:
    return route.action.upgrades if isinstance(route.action, Forward) else ()


def answer(status: int, reason: str) -> DirectResponseAction:
    """An answer of Envoy's own."""
    return DirectResponseAction(status=status, body=DataSource(inline_string=f"{status} {reason}\n"))


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
        case Connect():
            return ANY_CONNECT


def _forward(match: PathMatch, action: Forward) -> RouteAction:
    made = RouteAction(cluster=action.upstream, timeout=action.timeout, idle_timeout=action.idle_timeout)
    made.upgrade_configs = [RouteActionUpgradeConfig(upgrade_type=upgrade) for upgrade in action.upgrades]
    if action.sticky:
        made.hash_policy = _BY_WHO_ASKS
    if isinstance(match, Connect):
        made.upgrade_configs = [_TUNNEL]
    if action.host is not None:
        _rewrite_host(made, action.host)
    if action.path_rewrite is not None:
        _rewrite_path(made, match, action.path_rewrite)
    return made


def _rewrite_host(made: RouteAction, host: HostRewrite) -> None:
    made.append_x_forwarded_host = True
    match host:
        case str():
            made.host_rewrite_literal = host
        case RequestHeader(name):
            made.host_rewrite_header = name
        case Substitution():
            made.host_rewrite_path_regex = _substitution(host)


def _rewrite_path(made: RouteAction, match: PathMatch, rewrite: PathRewrite) -> None:
    """Replace what matched, element by element: ``/foo`` to ``/`` makes ``/bar`` of ``/foo/bar``, not ``//bar``."""
    match rewrite, match:
        case Substitution(), _:
            made.regex_rewrite = _substitution(rewrite)
        case str(), Prefix("/"):
            made.prefix_rewrite = rewrite if rewrite.endswith("/") else f"{rewrite}/"
        case str(), Prefix(path) if rewrite.endswith("/"):
            literal = Substitution(f"^{_quote(path)}/?", rewrite.replace("\\", "\\\\"))
            made.regex_rewrite = _substitution(literal)
        case str(), _:
            made.prefix_rewrite = rewrite


def _substitution(substitution: Substitution) -> RegexMatchAndSubstitute:
    return RegexMatchAndSubstitute(pattern=regex(substitution.pattern), substitution=substitution.replacement)


def _quote(path: str) -> str:
    """``path`` as an RE2 pattern that matches just it."""
    return r"\Q" + path.replace(r"\E", r"\E\\E\Q") + r"\E"
