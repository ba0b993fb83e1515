"""Upstreams as clusters, endpoints as load assignments.

In: upstreams and endpoints. Out: ``Cluster`` and, under the same name, ``ClusterLoadAssignment``: a pod that comes or
goes is one small resource for each cluster that leads to it.
"""

import ipaddress
from datetime import timedelta
from functools import lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import Address as EnvoyAddress
from envoy_data_plane.envoy.config.core.v3 import DataSource, Http2ProtocolOptions, SocketAddress, TransportSocket
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

from ingress_controller.envoy.encoding import Encoded, encoded, shared
from ingress_controller.envoy.load_balancing import cluster_part
from ingress_controller.envoy.messages import ADS, pack
from ingress_controller.envoy.options import Options
from ingress_controller.model.load_balancing import EVENLY, LoadBalancing
from ingress_controller.model.upstream import Address, Endpoints, ServicePort, Upstream, UpstreamTLS

_CONNECT_TIMEOUT = timedelta(seconds=5)
_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# What most clusters consist of.
_DISCOVERED = shared(
    encoded(
        Cluster,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS),
        connect_timeout=_CONNECT_TIMEOUT,
    )
)
_HTTP2_ONLY = shared(
    encoded(
        Cluster,
        typed_extension_protocol_options={
            _HTTP2: pack(
                HttpProtocolOptions(
                    explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                        http2_protocol_options=Http2ProtocolOptions()
                    )
                )
            )
        },
    )
)


def encode(upstream: Upstream, options: Options) -> Encoded:
    """The encoding of the cluster of an upstream, of which clusters share what many have alike."""
    made = encoded(Cluster, name=upstream.name)
    match upstream.target:
        case ServicePort():
            made += _DISCOVERED
        case Address():
            made += _fixed(upstream.name, upstream.target)
    if upstream.tls:
        made += _tls(upstream.tls, options.upstream_ca_file, http2=upstream.http2)
    if upstream.http2:
        made += _HTTP2_ONLY
    if upstream.load_balancing != EVENLY:
        made += _balanced(upstream.load_balancing)
    return made


def _fixed(name: str, target: Address) -> Encoded:
    return encoded(
        Cluster,
        type=_discovery_type(target),
        connect_timeout=_CONNECT_TIMEOUT,
        load_assignment=_assignment(name, (target,)),
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
    )


def load_assignment(name: str, endpoints: Endpoints) -> Encoded:
    """The endpoints of a cluster, under its name. Without any, Envoy answers 503."""
    return _assignment(name, endpoints.addresses)


def _assignment(name: str, addresses: tuple[Address, ...]) -> Encoded:
    members = [_member(each) for each in addresses]
    localities = [encoded(LocalityLbEndpoints, lb_endpoints=members)] if members else []
    return encoded(ClusterLoadAssignment, cluster_name=name, endpoints=localities)


def _member(member: Address) -> Encoded:
    socket_address = encoded(SocketAddress, address=member.host, port_value=member.port)
    return encoded(LbEndpoint, endpoint=encoded(Endpoint, address=encoded(EnvoyAddress, socket_address=socket_address)))


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
def _balanced(balancing: LoadBalancing) -> Encoded:
    return shared(cluster_part(balancing))


@lru_cache(maxsize=64)
def _tls(tls: UpstreamTLS, ca_file: str, *, http2: bool) -> Encoded:
    common = CommonTlsContext(tls_params=_VERSIONS, alpn_protocols=["h2"] if http2 else [])
    if tls.certificate:
        common.tls_certificate_sds_secret_configs = [SdsSecretConfig(name=tls.certificate, sds_config=ADS)]
    if tls.authorities and tls.verify:
        common.combined_validation_context = CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=_validation(tls.server_name),
            validation_context_sds_secret_config=SdsSecretConfig(name=tls.authorities, sds_config=ADS),
        )
    elif tls.verify:
        common.validation_context = _validation(tls.server_name)
        common.validation_context.trusted_ca = DataSource(filename=ca_file)
    sni = "" if _is_address(tls.server_name) else tls.server_name
    context = UpstreamTlsContext(sni=sni, common_tls_context=common)
    socket = TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
    return shared(encoded(Cluster, transport_socket=socket))


# Envoy's own default ends with 1.2.
_VERSIONS = TlsParameters(
    tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2,
    tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
)


def _validation(server_name: str) -> CertificateValidationContext:
    kind = SubjectAltNameMatcherSanType.IP_ADDRESS if _is_address(server_name) else SubjectAltNameMatcherSanType.DNS
    name = SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=server_name))
    return CertificateValidationContext(match_typed_subject_alt_names=[name])
