"""Finds the host of a request that is not written in its usual form.

In: a request whose ``:authority`` matched no scope. Out: the same request with the authority in lower case, without
port and trailing dot, and with the scope of the exact host, of the wildcard, or of the catch-all; that of a CONNECT
keeps the port. It is Lua, which is slow, so each matched virtual host disables it: ordinary requests never run it.
"""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from ingress_controller.envoy.messages import pack

NAME: Final = "scope-fallback"
SCOPE_HEADER: Final = "x-host-scope"
"""Set by early header mutation from ``:authority``; the key of the scoped routes. Removed before the upstream."""

MATCHED: Final = "matched"
"""Key of the route metadata, under ``NAME``, that tells the script that a scope has matched."""

UPGRADES: Final = "upgrades"
"""Key of the same metadata: the protocols that the route allows a change to, each with ``true``."""

# A script sees the metadata of one route only, the first that it asks for: so there are several, with one look each.
_TRY = f"""
local function try(request, scope)
  request:headers():replace("{SCOPE_HEADER}", scope)
  request:clearRouteCache()
end

local function matched(request)
  return request:metadata():get("{MATCHED}") ~= nil
end
"""

# A CONNECT names its target with the port, which is part of the scope. A host of its own has all its ports, also those
# that it has no tunnel to: the wildcard above it is not tried.
_HOST_OR_WILDCARD = f"""{_TRY}
function envoy_on_request(request)
  local authority = request:headers():get(":authority") or ""
  local host = string.lower(authority):gsub(":%d+$", ""):gsub("%.$", "")
  local port = ""
  if request:headers():get(":method") == "CONNECT" then
    port = authority:match(":%d+$") or ""
  end
  if host ~= authority then
    request:headers():replace(":authority", host)
    try(request, host)
    if matched(request) then
      if port ~= "" then try(request, host .. port) end
      return
    end
  end
  try(request, host:gsub("^[%w_-]+%.", "*.", 1) .. port)
end
"""

_CATCH_ALL = f"""{_TRY}
function envoy_on_request(request)
  if not matched(request) then try(request, "*") end
end
"""

# Envoy refuses a change of protocol that the route does not allow, but not where it knows no route yet.
_UPGRADE = f"""
function envoy_on_request(request)
  local upgrade = request:headers():get("upgrade")
  if upgrade == nil then return end
  local allowed = request:metadata():get("{UPGRADES}") or {{}}
  if not allowed[string.lower(upgrade)] then request:respond({{[":status"] = "403"}}, "") end
end
"""


def _filter(script: str) -> HttpFilter:
    return HttpFilter(name=NAME, typed_config=pack(Lua(default_source_code=DataSource(inline_string=script))))


FILTERS = (_filter(_HOST_OR_WILDCARD), _filter(_CATCH_ALL), _filter(_UPGRADE))
