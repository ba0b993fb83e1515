"""The HTTP filters of the https listener, in the one order that is right.

In: nothing. Out: ``CHAIN``. Every connection manager of the listener has the same filters, byte for byte: Envoy
builds them before the scope fallback has run, so an optional filter is on by default and disabled for the hosts that
do without it. The other way round, a request that finds its host by the fallback would miss the filter and be let
through.
"""

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from ingress_controller.envoy.filters import cookie_strip, policy, router, scope_fallback, session_jwt, session_state

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
    router.FILTER,
)
