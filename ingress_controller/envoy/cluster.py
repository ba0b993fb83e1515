"""Upstreams as clusters, endpoints as load assignments.

In: upstreams and endpoints. Out: ``Cluster`` and, under the same name, ``ClusterLoadAssignment``: a pod that comes or
goes is one small resource for each cluster that leads to it.
"""

import ipaddress
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import DataSource, TransportSocket
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from ingress_controller.envoy.messages import ADS, address, pack
from ingress_controller.envoy.options import Options
from ingress_controller.model.upstream import Address, Endpoints, ServicePort, Upstream, UpstreamTLS

_CONNECT_TIMEOUT = timedelta(seconds=5)


def cluster(upstream: Upstream, options: Options) -> Cluster:
    """The cluster of an upstream, under its name."""
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
        made.transport_socket = _tls(upstream.tls, options)
    return made


def load_assignment(name: str, endpoints: Endpoints) -> ClusterLoadAssignment:
    """The endpoints of a cluster, under its name. Without any, Envoy answers 503."""
    return _assignment(name, endpoints.addresses)


def _assignment(name: str, addresses: tuple[Address, ...]) -> ClusterLoadAssignment:
    members = [LbEndpoint(endpoint=Endpoint(address=address(member))) for member in addresses]
    localities = [LocalityLbEndpoints(lb_endpoints=members)] if members else []
    return ClusterLoadAssignment(cluster_name=name, endpoints=localities)


def _discovery_type(target: Address) -> ClusterDiscoveryType:
    try:
        ipaddress.ip_address(target.host)
    except ValueError:
        return ClusterDiscoveryType.STRICT_DNS
    return ClusterDiscoveryType.STATIC


def _tls(tls: UpstreamTLS, options: Options) -> TransportSocket:
    name = SubjectAltNameMatcher(
        san_type=SubjectAltNameMatcherSanType.DNS, matcher=StringMatcher(exact=tls.server_name)
    )
    validation = CertificateValidationContext(
        trusted_ca=DataSource(filename=options.upstream_ca_file), match_typed_subject_alt_names=[name]
    )
    context = UpstreamTlsContext(
        sni=tls.server_name, common_tls_context=CommonTlsContext(validation_context=validation)
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
