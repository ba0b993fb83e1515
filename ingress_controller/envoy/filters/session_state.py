"""Copies identity from the session into filter state.

In: the payload that ``session_jwt`` left in metadata. Out: filter state objects, the only place where Envoy's
exact-match maps can look a value up without an attacker being able to set it; policies with many users need that.
"""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import DataSource, SubstitutionFormatString
from envoy_data_plane.envoy.extensions.filters.common.set_filter_state.v3 import FilterStateValue
from envoy_data_plane.envoy.extensions.filters.http.set_filter_state.v3 import Config
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from ingress_controller.envoy.filters import session_jwt
from ingress_controller.envoy.messages import pack

NAME: Final = "session-state"
EMAIL: Final = "ingress.email"
SUBJECT: Final = "ingress.sub"


def _value(key: str, claim: str) -> FilterStateValue:
    source = f"%DYNAMIC_METADATA({session_jwt.METADATA}:{session_jwt.PAYLOAD}:{claim})%"
    return FilterStateValue(
        object_key=key,
        # Such a string can also choose an endpoint.
        factory_key="envoy.hashable_string",
        format_string=SubstitutionFormatString(text_format_source=DataSource(inline_string=source)),
        skip_if_empty=True,
    )


FILTER = HttpFilter(
    name=NAME,
    typed_config=pack(Config(on_request_headers=[_value(EMAIL, "email"), _value(SUBJECT, "sub")])),
)
