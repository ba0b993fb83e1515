"""What an Envoy is started with.

In: where the xDS server listens, and where Envoy's admin interface may. Out: the bootstrap configuration, for JSON.
All else comes over xDS, so it is the same for every change and can be handed to an Envoy that somebody else runs.
"""

from pathlib import Path
from typing import Any

from ingress_controller.model.route import MAX_PROGRAM_SIZE
from ingress_controller.model.upstream import Address

_XDS_CLUSTER = "xds"
_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def bootstrap(xds: Path | Address, admin: Path, node_id: str) -> dict[str, Any]:
    """The configuration of an Envoy that takes everything from ``xds``.

    Args:
        xds: the Unix socket, or the address, of the xDS server.
        admin: the Unix socket of Envoy's admin interface, which no request from the network can reach.
        node_id: how this Envoy names itself to the server.
    """
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": node_id, "cluster": "ingress"},
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                # Envoy describes itself in 60 kB, which would else go with every request.
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": _XDS_CLUSTER, "retry_policy": _RECONNECTION}}],
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        "static_resources": {"clusters": [_xds_cluster(xds)]},
        # Statistics of a cluster cost more memory than all else that is kept for it.
        "stats_config": {"stats_matcher": {"exclusion_list": {"patterns": [{"prefix": "cluster."}]}}},
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": MAX_PROGRAM_SIZE}}]
        },
        "overload_manager": {"resource_monitors": [_CONNECTION_LIMIT]},
    }


# Otherwise half a minute could pass before a controller that was away for a minute is asked again.
_RECONNECTION = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "2s"}}

_CONNECTION_LIMIT = {
    "name": "envoy.resource_monitors.global_downstream_max_connections",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
        ".DownstreamConnectionsConfig",
        "max_active_downstream_connections": 50_000,
    },
}


def _xds_cluster(xds: Path | Address) -> dict[str, Any]:
    match xds:
        case Path():
            address: dict[str, Any] = {"pipe": {"path": str(xds)}}
        case Address(host, port):
            address = {"socket_address": {"address": host, "port_value": port}}
    return {
        "name": _XDS_CLUSTER,
        "type": "STATIC" if isinstance(xds, Path) else "STRICT_DNS",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            _HTTP2: {
                "@type": f"type.googleapis.com/{_HTTP2}",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
                },
            }
        },
        "load_assignment": {
            "cluster_name": _XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
