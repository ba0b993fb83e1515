"""The Envoys that do not come from the program: a bare listener, an upstream, and what asks an external authorizer.

In: ports and certificates. Out: bootstraps, the cluster of an authorizer, and the program's own
listener with it in the place of policy.
"""

from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Http2ProtocolOptions,
    Pipe,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, Listener
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthz
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)

from ingress_controller.envoy.filters import policy
from ingress_controller.envoy.messages import pack

AUTHORIZER = "authorizer"
_TYPES = "type.googleapis.com/envoy.extensions"


def _listener(port: int, route: dict[str, Any], **chain: Any) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]},
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": "all", "address": address, "filter_chains": [{"filters": filters, **chain}]}


def upstream(port: int) -> dict[str, Any]:
    """An Envoy that answers every request with 200 and nothing."""
    return {"static_resources": {"listeners": [_listener(port, {"direct_response": {"status": 200}})]}}


def bare(port: int, to: int, certificate: tuple[bytes, bytes]) -> dict[str, Any]:
    """An Envoy with TLS that sends every request on, and nothing else."""
    chain, key = ({"inline_string": part.decode()} for part in certificate)
    context = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [{"certificate_chain": chain, "private_key": key}]},
    }
    tls = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    listener = _listener(port, {"route": {"cluster": "upstream"}}, transport_socket=tls)
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": to}}}}
    assignment = {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]}
    clusters = [{"name": "upstream", "load_assignment": assignment}]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def authorizer(socket: Path) -> Cluster:
    """The cluster of an authorizer that listens on a Unix socket."""
    address = Address(pipe=Pipe(path=str(socket)))
    endpoints = LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=Endpoint(address=address))])
    made = Cluster(name=AUTHORIZER)
    made.load_assignment = ClusterLoadAssignment(cluster_name=AUTHORIZER, endpoints=[endpoints])
    explicit = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
    options = pack(HttpProtocolOptions(explicit_http_config=explicit))
    made.typed_extension_protocol_options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    return made


def authorized(listener: Listener) -> Listener:
    """The program's listener, with an external authorizer in the place of the policy filter."""
    for chain in [*listener.filter_chains, *([listener.default_filter_chain] if listener.default_filter_chain else [])]:
        chain.filters = [_authorized(each) for each in chain.filters]
    return listener


def _authorized(network_filter: Filter) -> Filter:
    manager = network_filter.typed_config.unpack() if network_filter.typed_config else None
    if not isinstance(manager, HttpConnectionManager):
        return network_filter
    manager.http_filters = [_ask() if each.name == policy.NAME else each for each in manager.http_filters]
    return Filter(name=network_filter.name, typed_config=pack(manager))


def _ask() -> HttpFilter:
    service = GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=AUTHORIZER))
    return HttpFilter(name=AUTHORIZER, typed_config=pack(ExtAuthz(grpc_service=service)))
