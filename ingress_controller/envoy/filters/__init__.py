"""The HTTP filters of the https listener, in the one order that is right.

In: nothing. Out: ``CHAIN``. Every connection manager of the listener has the same filters, byte for byte: Envoy
builds them before the scope fallback has run, so an optional filter is on by default and disabled for the hosts that
do without it. The other way round, a request that finds its host by the fallback would miss the filter and be let
through.
"""

from collections.abc import Mapping

from envoy_data_plane.envoy.config.route.v3 import FilterConfig
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import Any

from ingress_controller.envoy.filters import (
    cookie_strip,
    impersonation,
    policy,
    request_headers,
    router,
    scope_fallback,
    session_jwt,
    session_state,
)
from ingress_controller.envoy.messages import pack

CHAIN: tuple[HttpFilter, ...] = (
    # First, since it decides which host's routes all the others see.
    *scope_fallback.FILTERS,
    # Verifies the session; what follows only believes what this filter has put into metadata.
    session_jwt.FILTER,
    # Makes the e-mail address and user id available to map look-ups in policies.
    session_state.FILTER,
    # Decides. Nothing after it may clear the route cache, or the decision would be for another route.
    policy.FILTER,
    # After the decision, so that a denied request costs nothing more.
    cookie_strip.FILTER,
    # After the session has been taken out, so that no header can be given its value.
    *request_headers.FILTERS,
    # The last that touch the request: nothing may take the user away, or put another token in place of this one.
    *impersonation.FILTERS,
    router.FILTER,
)

OFF_BY_HOST: Mapping[str, Any] = dict.fromkeys(
    (
        scope_fallback.NAME,
        request_headers.NAME,
        request_headers.GUARD,
        impersonation.NAME,
        impersonation.GUARD,
        impersonation.TOKEN,
    ),
    pack(FilterConfig(disabled=True)),
)
"""What every host disables. A route that has a configuration of its own for one of them has it all the same."""
