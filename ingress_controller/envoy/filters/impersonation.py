"""Speaks to a kube-apiserver as the user.

In: the verified session, on routes that have a service account's token. Out: a request with ``Impersonate-User``, one
``Impersonate-Group`` for each group, and that token; what the user may do is for the API server to decide. The service
account itself is never the acting user: a request without the right ``Impersonate-User`` is denied.

Every host disables the filters, and the routes that need them turn them on again. The script is the only way to make a
header for each element of a list. It has no default, so it never runs on other routes, in whatever form the host is
written.
"""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.rbac.v3 import Action, RbacAction
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua, LuaPerRoute
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher, ValueMatcher
from envoy_data_plane.google.protobuf import Any

from ingress_controller.envoy import cel, matching
from ingress_controller.envoy.encoding import Encoded, encoded, packed, shared
from ingress_controller.envoy.filters import header_mutation, session_jwt
from ingress_controller.envoy.matching import Lines, Value
from ingress_controller.envoy.messages import pack, regex
from ingress_controller.model.headers import RequestHeaders

NAME: Final = "impersonate"
GUARD: Final = "impersonate-guard"
TOKEN: Final = "service-account-token"  # noqa: S105 (the name of a filter)

_USER = "impersonate-user"

# Names that begin with system: are Kubernetes' own. A group system:masters of an identity provider would rule the
# cluster, so such groups are left out, and such users denied. The user is set last: any mistake leaves it unset.
_SCRIPT = f"""
local function usable(name)
  return type(name) == "string" and name ~= "" and name:sub(1, 7) ~= "system:"
end

function envoy_on_request(request)
  request:headers():remove("authorization")
  local session = request:streamInfo():dynamicMetadata():get("{session_jwt.METADATA}")["{session_jwt.PAYLOAD}"]
  if not usable(session["email"]) then return end
  for _, group in ipairs(session["groups"] or {{}}) do
    if usable(group) then request:headers():add("impersonate-group", group) end
  end
  request:headers():replace("{_USER}", session["email"])
end
"""

# Scripts end a text at NUL, and a header's value loses the spaces around it: another name would be left.
_AMBIGUOUS = Value(
    encoded(ValueMatcher, string_match=StringMatcher(safe_regex=regex(r"(?s).*[\x00-\x1f\x7f].*|\s.*|.*\s|")))
)


def _guard() -> Encoded:
    payload = cel.index(cel.attribute("metadata", "filter_metadata"), session_jwt.METADATA, session_jwt.PAYLOAD)
    user = cel.index(cel.attribute("request", "headers"), _USER)
    as_user = matching.expression(cel.matcher(cel.call("_==_", user, cel.index(payload, "email"))))
    claims = {"email": _AMBIGUOUS, "groups": matching.list_with(_AMBIGUOUS)}
    ambiguous = matching.any_of(
        [matching.metadata(session_jwt.METADATA, [session_jwt.PAYLOAD, name], value) for name, value in claims.items()]
    )
    lines = (
        *matching.line(ambiguous, matching.action(Action(name="ambiguous-identity", action=RbacAction.DENY))),
        *matching.line(as_user, matching.action(Action(name="as-user", action=RbacAction.ALLOW))),
    )
    nobody = matching.action(Action(name="no-identity", action=RbacAction.DENY))
    rbac = encoded(Rbac, matcher=matching.first_match(Lines(lines), nobody))
    return packed(RbacPerRoute, encoded(RbacPerRoute, rbac=rbac))


FILTERS = (
    HttpFilter(name=NAME, typed_config=pack(Lua(source_codes={NAME: DataSource(inline_string=_SCRIPT)}))),
    HttpFilter(name=GUARD, typed_config=pack(Rbac())),
    HttpFilter(name=TOKEN, typed_config=pack(header_mutation.HeaderMutation())),
)
_RUN = shared(pack(LuaPerRoute(name=NAME)))
_GUARD = shared(_guard())


def of_route(token: str | None) -> dict[str, Any | Encoded]:
    """The configuration of a route, by filter; ``token`` is the name of the secret with the token."""
    if token is None:
        return {}
    return {
        NAME: _RUN,
        GUARD: _GUARD,
        TOKEN: header_mutation.of_request(RequestHeaders(secret=(("authorization", token),))),
    }
