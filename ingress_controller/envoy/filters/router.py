"""Sends the request on: Envoy's router, last in every chain.

In: a request that was let through. Out: the upstream's answer.
"""

from typing import Final

from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from ingress_controller.envoy.filters import response_headers
from ingress_controller.envoy.messages import pack

NAME: Final = "envoy.filters.http.router"
FILTER = HttpFilter(name=NAME, typed_config=pack(Router(upstream_http_filters=list(response_headers.UPSTREAM_FILTERS))))
