"""Changes headers of the upstream's responses.

In: the upstream's response, and what its route says. Out: the response with other headers. The filters belong to the
router's own chain, which only what comes from an upstream passes: they never change an answer of Envoy's, least of all
add a secret to one that denies. They are off, and the routes that need one turn it on: that chain is built when the
route is known for good.

Headers are rewritten by a script, since no other filter can change one of several values. It is the same for all; what
it does comes as data from the route.
"""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua, LuaPerRoute
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import Any, Struct

from ingress_controller.envoy.encoding import Encoded, encoded
from ingress_controller.envoy.filters import header_mutation
from ingress_controller.envoy.messages import pack
from ingress_controller.model.headers import PrefixRewrite, ResponseHeaders

NAME: Final = "response-headers"
REWRITE: Final = "response-rewrite"

_SCRIPT = """
local function rewritten(value, rules, header)
  for _, rule in ipairs(rules) do
    if rule.header == header and value:sub(1, #rule.prefix) == rule.prefix then
      return rule.value .. value:sub(#rule.prefix + 1)
    end
  end
  return value
end

function envoy_on_response(response)
  local context = response:filterContext()
  local rules = context and context:get("rules")
  if rules == nil then return end
  local headers = response:headers()
  local done = {}
  for _, rule in ipairs(rules) do
    local header = rule.header
    local count = done[header] and 0 or headers:getNumValues(header)
    done[header] = true
    local values, changed = {}, false
    for index = 0, count - 1 do
      local value = headers:getAtIndex(header, index)
      values[#values + 1] = rewritten(value, rules, header)
      changed = changed or values[#values] ~= value
    end
    if changed then
      headers:remove(header)
      for _, value in ipairs(values) do headers:add(header, value) end
    end
  end
end
"""

UPSTREAM_FILTERS = (
    HttpFilter(
        name=REWRITE, typed_config=pack(Lua(default_source_code=DataSource(inline_string=_SCRIPT))), disabled=True
    ),
    HttpFilter(name=NAME, typed_config=pack(header_mutation.HeaderMutation()), disabled=True),
    # What speaks to the upstream; it has to be the last.
    HttpFilter(name="envoy.filters.http.upstream_codec", typed_config=pack(UpstreamCodec())),
)


def _if_absent(name: str, value: str) -> Encoded:
    return encoded(
        HeaderValueOption,
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
    )


DEFAULTS = (_if_absent("x-frame-options", "SAMEORIGIN"), _if_absent("x-xss-protection", "1; mode=block"))
"""What protects browsers where an upstream does not say how."""


def of_route(headers: ResponseHeaders) -> dict[str, Any]:
    """The configuration of a route, by filter."""
    made = {}
    if headers.set or headers.secret:
        made[NAME] = header_mutation.of_response(headers)
    if headers.rewrite:
        rules = [_rule(rewrite) for rewrite in headers.rewrite]
        made[REWRITE] = pack(LuaPerRoute(filter_context=Struct.from_dict({"rules": rules})))
    return made


def _rule(rewrite: PrefixRewrite) -> dict[str, str]:
    return {"header": rewrite.header.lower(), "prefix": rewrite.prefix, "value": rewrite.value}
