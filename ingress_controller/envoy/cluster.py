"""Upstreams as clusters, endpoints as load assignments.

In: upstreams and endpoints. Out: ``Cluster`` and, under the same name, ``ClusterLoadAssignment``: a pod that comes or
goes is one small resource for each cluster that leads to it.
"""

import ipaddress
from datetime import timedelta
from functools import cache, lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import DataSource, Http2ProtocolOptions, TransportSocket
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    SdsSecretConfig,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from ingress_controller.envoy.load_balancing import cluster_part
from ingress_controller.envoy.messages import ADS, address, pack
from ingress_controller.envoy.options import Options
from ingress_controller.model.load_balancing import EVENLY, LoadBalancing
from ingress_controller.model.upstream import Address, Endpoints, ServicePort, Upstream, UpstreamTLS

_CONNECT_TIMEOUT = timedelta(seconds=5)
_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def encode(upstream: Upstream, options: Options) -> tuple[bytes, ...]:
    """The encoding of the cluster of an upstream, which joined is one message; clusters share what many have alike."""
    parts = [bytes(_cluster(upstream, options))]
    if upstream.http2:
        parts.append(_http2())
    if upstream.load_balancing != EVENLY:
        parts.append(_balanced(upstream.load_balancing))
    return tuple(parts)


def _cluster(upstream: Upstream, options: Options) -> Cluster:
    made = Cluster(name=upstream.name, connect_timeout=_CONNECT_TIMEOUT)
    match upstream.target:
        case ServicePort():
            made.type = ClusterDiscoveryType.EDS
            made.eds_cluster_config = ClusterEdsClusterConfig(eds_config=ADS)
        case Address():
            made.type = _discovery_type(upstream.target)
            made.dns_lookup_family = ClusterDnsLookupFamily.V4_PREFERRED
            made.load_assignment = _assignment(upstream.name, (upstream.target,))
    if upstream.tls:
        made.transport_socket = _tls(upstream.tls, ["h2"] if upstream.http2 else [], options)
    return made


def load_assignment(name: str, endpoints: Endpoints) -> ClusterLoadAssignment:
    """The endpoints of a cluster, under its name. Without any, Envoy answers 503."""
    return _assignment(name, endpoints.addresses)


def _assignment(name: str, addresses: tuple[Address, ...]) -> ClusterLoadAssignment:
    members = [LbEndpoint(endpoint=Endpoint(address=address(member))) for member in addresses]
    localities = [LocalityLbEndpoints(lb_endpoints=members)] if members else []
    return ClusterLoadAssignment(cluster_name=name, endpoints=localities)


def _discovery_type(target: Address) -> ClusterDiscoveryType:
    return ClusterDiscoveryType.STATIC if _is_address(target.host) else ClusterDiscoveryType.STRICT_DNS


@lru_cache(maxsize=64)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def _balanced(balancing: LoadBalancing) -> bytes:
    return bytes(cluster_part(balancing))


@cache
def _http2() -> bytes:
    explicit = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
    return bytes(
        Cluster(typed_extension_protocol_options={_HTTP2: pack(HttpProtocolOptions(explicit_http_config=explicit))})
    )


def _tls(tls: UpstreamTLS, alpn: list[str], options: Options) -> TransportSocket:
    common = CommonTlsContext(tls_params=_VERSIONS, alpn_protocols=alpn)
    if tls.certificate:
        common.tls_certificate_sds_secret_configs = [SdsSecretConfig(name=tls.certificate, sds_config=ADS)]
    if tls.authorities and tls.verify:
        common.combined_validation_context = CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=_validation(tls.server_name),
            validation_context_sds_secret_config=SdsSecretConfig(name=tls.authorities, sds_config=ADS),
        )
    elif tls.verify:
        common.validation_context = _validation(tls.server_name)
        common.validation_context.trusted_ca = DataSource(filename=options.upstream_ca_file)
    sni = "" if _is_address(tls.server_name) else tls.server_name
    context = UpstreamTlsContext(sni=sni, common_tls_context=common)
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


# Envoy's own default ends with 1.2.
_VERSIONS = TlsParameters(
    tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2,
    tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
)


def _validation(server_name: str) -> CertificateValidationContext:
    kind = SubjectAltNameMatcherSanType.IP_ADDRESS if _is_address(server_name) else SubjectAltNameMatcherSanType.DNS
    name = SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=server_name))
    return CertificateValidationContext(match_typed_subject_alt_names=[name])
