"""Sets headers on requests that are sent on.

In: the request as it was let through, and what its route sets. Out: the request with these headers. Every host disables
the filters, and the routes that set something turn them on again.

A second filter answers 503 where a header that a Secret holds has no value yet: Envoy asks for secrets when it has the
route, and does not wait for them.
"""

from typing import Final

from envoy_data_plane.envoy.config.rbac.v3 import Permission, PermissionSet, Principal, RbacAction
from envoy_data_plane.envoy.config.rbac.v3 import Policy as Rule
from envoy_data_plane.envoy.config.rbac.v3 import Rbac as Rules
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from ingress_controller.envoy.filters import header_mutation
from ingress_controller.envoy.messages import pack, regex
from ingress_controller.model.headers import RequestHeaders

NAME: Final = "request-headers"
GUARD: Final = "request-secrets"
UNDELIVERED: Final = "undelivered"
"""What the guard calls its denial."""

FILTERS = (
    HttpFilter(name=NAME, typed_config=pack(header_mutation.HeaderMutation())),
    HttpFilter(name=GUARD, typed_config=pack(Rbac())),
)


def of_route(headers: RequestHeaders) -> dict[str, Any]:
    """The configuration of a route, by filter."""
    made = {}
    if headers.set or headers.secret or headers.identity:
        made[NAME] = header_mutation.of_request(headers)
    if headers.secret:
        made[GUARD] = _guard(tuple(name for name, _ in headers.secret))
    return made


def _guard(names: tuple[str, ...]) -> Any:
    missing = [Permission(not_rule=Permission(header=_has_value(name))) for name in names]
    rule = Rule(permissions=[Permission(or_rules=PermissionSet(rules=missing))], principals=[Principal(any=True)])
    return pack(RbacPerRoute(rbac=Rbac(rules=Rules(action=RbacAction.DENY, policies={UNDELIVERED: rule}))))


def _has_value(name: str) -> HeaderMatcher:
    return HeaderMatcher(name=name, string_match=StringMatcher(safe_regex=regex("(?s).+")))
