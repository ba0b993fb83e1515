"""Keeps the session from the upstream.

In: the Cookie header. Out: the same without the session cookie. The filter takes the header away and leaves the rest
of it in metadata, from which every virtual host puts it back (``COOKIE_HEADER``). Native filters do this at half the
cost of a script.
"""

import re
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption, HeaderValueOptionHeaderAppendAction
from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    Config,
    ConfigKeyValuePair,
    ConfigRule,
    ConfigValueType,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute

from ingress_controller.envoy.filters.session_jwt import COOKIE
from ingress_controller.envoy.messages import pack, regex

NAME: Final = "cookie-strip"
_METADATA: Final = "ingress"

# The comma too: two Cookie lines of HTTP/1.1 arrive joined by one. At the end, what separates it goes as well.
_SESSION = rf"\s*{re.escape(COOKIE)}=[^;,]*"
_PATTERN = rf"(?:[;,]{_SESSION})+[;,]?\s*$|(^|[;,])(?:{_SESSION}(?:[;,]|$))+"

FILTER = HttpFilter(
    name=NAME,
    typed_config=pack(
        Config(
            request_rules=[
                ConfigRule(
                    header="cookie",
                    remove=True,
                    on_header_present=ConfigKeyValuePair(
                        metadata_namespace=_METADATA,
                        key="cookie",
                        type=ConfigValueType.STRING,
                        regex_value_rewrite=RegexMatchAndSubstitute(pattern=regex(_PATTERN), substitution=r"\1"),
                    ),
                )
            ]
        )
    ),
)

COOKIE_HEADER = HeaderValueOption(
    header=HeaderValue(key="cookie", value=f"%DYNAMIC_METADATA({_METADATA}:cookie)%"),
    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
)
"""Puts the other cookies back; without it, all cookies would be gone."""
