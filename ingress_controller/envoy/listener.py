"""The two listeners, and the routes of the plain one.

In: the options, and the names of the hosts that need a filter chain of their own. Out: the listeners ``https`` and
``http``, and the route configuration ``http``. A change of a route, policy, endpoint or certificate touches none of
them.

Certificates of exact hosts come on demand by the name that the client asks for. A wildcard host has a filter chain of
its own with a fixed certificate, or attackers could make names without end; so has an exact host below a wildcard,
which would otherwise show the wildcard's certificate, and a host that asks clients for a certificate. Envoy changes
chains in place: only connections of a changed chain drain.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation, HeaderMutationRemoveOnMatch
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    TransportSocket,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.config.route.v3 import (
    RedirectAction,
    RedirectActionRedirectResponseCode,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpConnectionManagerUpgradeConfig,
    Rds,
    ScopedRds,
    ScopedRoutes,
    ScopedRoutesScopeKeyBuilder,
    ScopedRoutesScopeKeyBuilderFragmentBuilder,
    ScopedRoutesScopeKeyBuilderFragmentBuilderHeaderValueExtractor,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3 import Sni
from envoy_data_plane.envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3 import (
    Config as OnDemandSecret,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CertificateValidationContextTrustChainVerification,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    TlsParameters,
    TlsParametersTlsProtocol,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from ingress_controller.envoy.access_log import access_log
from ingress_controller.envoy.filters import CHAIN
from ingress_controller.envoy.filters.router import FILTER as ROUTER
from ingress_controller.envoy.filters.scope_fallback import SCOPE_HEADER
from ingress_controller.envoy.messages import ADS, address, chain_secret, pack, regex
from ingress_controller.envoy.options import Options
from ingress_controller.envoy.replies import LOCAL_REPLIES
from ingress_controller.model.host import CATCH_ALL, is_wildcard

HTTPS = "https"
HTTP = "http"
NO_SERVER_NAME = "(no server name)"
"""The certificate of clients that send no server name; no host can be named like this."""

_HANDSHAKE_TIMEOUT = timedelta(seconds=5)
# Names are compared after folding: some servers read X.Pomerium.Email or X_Pomerium_Email as X-Pomerium-Email.
_IDENTITY_HEADERS = r"(?i)(?:x[^a-z0-9]pomerium|impersonate)[^a-z0-9].*"
# Some servers believe these about the host or path that was asked for, which would then not be the one decided on.
# Envoy itself sees to X-Forwarded-For, -Proto and -Client-Cert.
_FORWARDING_HEADERS = (
    r"(?i)forwarded|x[^a-z0-9]forwarded[^a-z0-9](?:host|port|server|scheme|method|path|prefix|uri)"
    r"|x[^a-z0-9](?:original|rewrite)[^a-z0-9](?:url|uri|host)"
)


def listeners(options: Options, chained: Mapping[str, str | None]) -> tuple[Listener, Listener]:
    """Both listeners; ``chained`` are the hosts with a filter chain of their own, each with its ``client_ca``."""
    return _https(options, chained), _http(options)


def redirects(options: Options) -> RouteConfiguration:
    """The routes of the plain listener: everything is sent to https."""
    # Port 443 is left out of Location.
    port = 0 if options.external_https_port == 443 else options.external_https_port
    redirect = RedirectAction(
        https_redirect=True, port_redirect=port, response_code=RedirectActionRedirectResponseCode.PERMANENT_REDIRECT
    )
    everything = Route(match=RouteMatch(prefix="/"), redirect=redirect)
    return RouteConfiguration(
        name=HTTP, virtual_hosts=[VirtualHost(name="redirect", domains=["*"], routes=[everything])]
    )


def _https(options: Options, chained: Mapping[str, str | None]) -> Listener:
    manager = _https_manager(options.access_log)
    chains = [_chain(name, client_ca, manager) for name, client_ca in sorted(chained.items())]
    if CATCH_ALL not in chained:
        chains.insert(0, _on_demand_chain(manager))
    inspector = ListenerFilter(name="envoy.filters.listener.tls_inspector", typed_config=pack(TlsInspector()))
    return Listener(
        name=HTTPS,
        address=address(options.https),
        listener_filters=[inspector],
        filter_chains=chains,
        per_connection_buffer_limit_bytes=32768,
    )


def _http(options: Options) -> Listener:
    manager = _manager(HTTP, options.access_log)
    manager.http_filters = [ROUTER]
    manager.rds = Rds(route_config_name=HTTP, config_source=ADS)
    manager.strip_any_host_port = True
    return Listener(
        name=HTTP,
        address=address(options.http),
        filter_chains=[FilterChain(name=HTTP, filters=[_network_filter(pack(manager))])],
        per_connection_buffer_limit_bytes=32768,
    )


def _on_demand_chain(manager: Any) -> FilterChain:
    selector = TypedExtensionConfig(
        name="envoy.tls.certificate_selectors.on_demand_secret",
        typed_config=pack(
            OnDemandSecret(
                config_source=ADS,
                certificate_mapper=TypedExtensionConfig(
                    name="envoy.tls.certificate_mappers.sni", typed_config=pack(Sni(default_value=NO_SERVER_NAME))
                ),
            )
        ),
    )
    return _filter_chain("on-demand", _tls(CommonTlsContext(custom_tls_certificate_selector=selector)), None, manager)


def _chain(host: str, client_ca: str | None, manager: Any) -> FilterChain:
    secret = SdsSecretConfig(name=chain_secret(host), sds_config=ADS)
    context = CommonTlsContext(tls_certificate_sds_secret_configs=[secret])
    if client_ca:
        context.combined_validation_context = _client_validation(client_ca)
    match = None if host == CATCH_ALL else FilterChainMatch(server_names=[host])
    name = host if is_wildcard(host) else f"exact/{host}"
    return _filter_chain(name, _tls(context), match, manager)


def _client_validation(client_ca: str) -> CommonTlsContextCombinedCertificateValidationContext:
    """Asks for a certificate and verifies it, but leaves it to the policies what to make of a bad one or none."""
    return CommonTlsContextCombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(
            trust_chain_verification=CertificateValidationContextTrustChainVerification.ACCEPT_UNTRUSTED
        ),
        validation_context_sds_secret_config=SdsSecretConfig(name=client_ca, sds_config=ADS),
    )


def _filter_chain(name: str, tls: TransportSocket, match: FilterChainMatch | None, manager: Any) -> FilterChain:
    return FilterChain(
        name=name,
        filter_chain_match=match,
        filters=[_network_filter(manager)],
        transport_socket=tls,
        # With the control plane away, a handshake for a certificate that was never asked for waits.
        transport_socket_connect_timeout=_HANDSHAKE_TIMEOUT,
    )


def _tls(context: CommonTlsContext) -> TransportSocket:
    context.alpn_protocols = ["h2", "http/1.1"]
    context.tls_params = TlsParameters(tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2)
    downstream = DownstreamTlsContext(
        common_tls_context=context,
        require_client_certificate=False,
        # The on-demand selector demands it, and a resumed session would carry no verified client certificate.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(downstream))


def _network_filter(manager: Any) -> Filter:
    return Filter(name="envoy.filters.network.http_connection_manager", typed_config=manager)


@cache
def _https_manager(sink: Path | str) -> Any:
    """The connection manager of every https chain: equal bytes share one SRDS subscription and one ECDS filter."""
    manager = _manager(HTTPS, sink)
    manager.http_filters = list(CHAIN)
    manager.local_reply_config = LOCAL_REPLIES
    # Not strip_any_host_port: that strips a CONNECT's port too, and all TCP routes of a host would be one.
    manager.strip_matching_host_port = True
    # A CONNECT is answered by routes like any request. Only those of tunnels send it on; a prefix does not match it.
    manager.upgrade_configs = [HttpConnectionManagerUpgradeConfig(upgrade_type="CONNECT")]
    extractor = ScopedRoutesScopeKeyBuilderFragmentBuilderHeaderValueExtractor(name=SCOPE_HEADER, index=0)
    fragment = ScopedRoutesScopeKeyBuilderFragmentBuilder(header_value_extractor=extractor)
    manager.scoped_routes = ScopedRoutes(
        name="hosts",
        scope_key_builder=ScopedRoutesScopeKeyBuilder(fragments=[fragment]),
        rds_config_source=ADS,
        scoped_rds=ScopedRds(scoped_rds_config_source=ADS),
    )
    return pack(manager)


def _manager(name: str, sink: Path | str) -> HttpConnectionManager:
    """What both connection managers share: the request as it is routed and decided on is the one that is sent on."""
    return HttpConnectionManager(
        stat_prefix=name,
        access_log=list(access_log(sink)),
        early_header_mutation_extensions=[_early_mutations()],
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=100,
            allow_connect=True,
            initial_stream_window_size=65536,
            initial_connection_window_size=1048576,
        ),
        common_http_protocol_options=HttpProtocolOptions(
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
            idle_timeout=timedelta(hours=1),
        ),
        request_headers_timeout=timedelta(seconds=10),
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
        # The address of the connection counts, not what a client writes into X-Forwarded-For.
        use_remote_address=True,
        strip_trailing_host_dot=True,
    )


def _early_mutations() -> TypedExtensionConfig:
    """Takes away what only Envoy may say about a request, and notes the host for the choice of routes."""
    names = (_IDENTITY_HEADERS, _FORWARDING_HEADERS)
    removed = [HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(safe_regex=regex(name))) for name in names]
    scope = HeaderValueOption(
        header=HeaderValue(key=SCOPE_HEADER, value="%REQ(:AUTHORITY)%"),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    mutations = [*(HeaderMutation(remove_on_match=remove) for remove in removed), HeaderMutation(append=scope)]
    return TypedExtensionConfig(name="identity-headers", typed_config=pack(EarlyHeaderMutation(mutations=mutations)))
