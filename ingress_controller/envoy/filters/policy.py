"""Decides whether a request is let through.

In: the session, and the policy of the route. Out: the request, or a denial whose name ``replies`` turns into the
right answer. Each route brings its own policy; the filter's own configuration denies everything, so a request that
has no route is denied too, under the name ``none``, which no route's policy uses.
"""

from typing import Final

from envoy_data_plane.envoy.config.rbac.v3 import Rbac as Rules
from envoy_data_plane.envoy.config.rbac.v3 import RbacAction
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from ingress_controller.envoy.encoding import encoded, packed
from ingress_controller.envoy.messages import pack

NAME: Final = "policy"

FILTER = HttpFilter(name=NAME, typed_config=pack(Rbac(rules=Rules(action=RbacAction.ALLOW))))
EXEMPT = packed(RbacPerRoute, encoded(RbacPerRoute))
"""For routes that nobody needs a policy for: they answer by themselves and say nothing worth protecting."""
