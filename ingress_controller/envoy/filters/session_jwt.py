"""Verifies the session of a request.

In: a token in the session cookie, or in ``Authorization: Bearer Pomerium-<token>``. Out: its payload in dynamic
metadata, or nothing: a request with a bad token is treated as not signed in, and the policy decides what that means.
The configuration comes by ECDS, so that a change of keys touches no listener.
"""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import DataSource, ExtensionConfigSource, TypedExtensionConfig
from envoy_data_plane.envoy.config.route.v3 import RouteMatch, RouteMatchConnectMatcher
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwtAuthentication,
    JwtCacheConfig,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    JwtRequirementOrList,
    RequirementRule,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import Empty

from ingress_controller.envoy.messages import ADS, pack

NAME: Final = "session-jwt"
METADATA: Final = "envoy.filters.http.jwt_authn"
PAYLOAD: Final = "session"
FAILURE: Final = "session_error"
COOKIE: Final = "__Host-pomerium"
_BEARER_PREFIX: Final = "Bearer Pomerium-"

FILTER = HttpFilter(
    name=NAME,
    config_discovery=ExtensionConfigSource(
        config_source=ADS,
        type_urls=["type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"],
    ),
)


def extension_config(issuer: str, jwks: str) -> TypedExtensionConfig:
    """The ECDS resource of the filter."""
    provider = JwtProvider(
        issuer=issuer,
        local_jwks=DataSource(inline_string=jwks),
        require_expiration=True,
        from_cookies=[COOKIE],
        from_headers=[JwtHeader(name="Authorization", value_prefix=_BEARER_PREFIX)],
        payload_in_metadata=PAYLOAD,
        failed_status_in_metadata=FAILURE,
        # A miss costs a signature check. The token may be as large as a cookie can be.
        jwt_cache_config=JwtCacheConfig(jwt_cache_size=1000, jwt_max_token_size=8192),
        clock_skew_seconds=1,
    )
    optional = JwtRequirement(
        requires_any=JwtRequirementOrList(
            requirements=[JwtRequirement(provider_name=PAYLOAD), JwtRequirement(allow_missing_or_failed=Empty())]
        )
    )
    # A prefix does not match CONNECT, which has no path.
    matches = RouteMatch(prefix="/"), RouteMatch(connect_matcher=RouteMatchConnectMatcher())
    config = JwtAuthentication(
        providers={PAYLOAD: provider}, rules=[RequirementRule(match=match, requires=optional) for match in matches]
    )
    return TypedExtensionConfig(name=NAME, typed_config=pack(config))
