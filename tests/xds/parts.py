"""Envoy resources for the tests of the server: small, and encoded by the message library.

Listeners and upstreams are Unix sockets, so no port is ever taken.
"""

from pathlib import Path
from typing import Any, Protocol, Self

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import ScopedRouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3 import Sni
from envoy_data_plane.envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3 import (
    Config as OnDemand,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import DownstreamTlsContext, Secret

import xds

PREFIX = "type.googleapis.com/"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
EXTENSION = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
ROUTES = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SCOPE = PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
ADS = {"ads": {}, "resource_api_version": "V3"}
# Messages inside an `Any` are found by their type URL once their modules are imported.
ANY_TYPES = (HttpConnectionManager, Router, DownstreamTlsContext, OnDemand, Sni)


def retry_scope(parts: tuple[bytes, ...], attempt: int) -> tuple[bytes, ...]:
    """Change a scope's bytes by merging metadata into its route configuration."""
    mark = {"route_configuration": {"metadata": {"filter_metadata": {"xds": {"attempt": attempt}}}}}
    return (*parts, bytes(ScopedRouteConfiguration.from_dict(mark)))


TYPES = (
    xds.ResourceType(CLUSTER, 0, refreshes=ENDPOINTS),
    xds.ResourceType(ENDPOINTS, 1, eager=True),
    xds.ResourceType(SECRET, 2, eager=True),
    xds.ResourceType(LISTENER, 3),
    xds.ResourceType(EXTENSION, 4),
    xds.ResourceType(ROUTES, 5),
    xds.ResourceType(SCOPE, 6, retry_scope),
)


class Message(Protocol):
    @classmethod
    def from_dict(cls, value: Any) -> Self: ...
    def __bytes__(self) -> bytes: ...


def resource(name: str, message: type[Message], fields: dict[str, Any]) -> xds.Resource:
    return xds.Resource(name, (bytes(message.from_dict(fields)),))


def make_cluster(name: str, **fields: Any) -> xds.Resource:
    eds = {"eds_config": ADS}
    defaults = {"name": name, "type": "EDS", "eds_cluster_config": eds, "connect_timeout": "1s"}
    return resource(name, Cluster, defaults | fields)


def make_endpoints(name: str, *sockets: Path) -> xds.Resource:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}} for socket in sockets]
    return resource(name, ClusterLoadAssignment, {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]})


def make_listener(name: str, socket: Path, *filters: dict[str, Any], **chain: Any) -> xds.Resource:
    """Give a listener on a Unix socket that routes by scopes; the scope is the header `x-scope`."""
    extractor = {"name": "x-scope", "index": 0}
    manager = {
        "@type": PREFIX + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [
            *filters,
            {"name": "router", "typed_config": {"@type": PREFIX + "envoy.extensions.filters.http.router.v3.Router"}},
        ],
        "scoped_routes": {
            "name": "scopes",
            "scope_key_builder": {"fragments": [{"header_value_extractor": extractor}]},
            "rds_config_source": ADS,
            "scoped_rds": {"scoped_rds_config_source": ADS},
        },
    }
    chains = [{"filters": [{"name": "http", "typed_config": manager}], **chain}]
    address = {"pipe": {"path": str(socket)}}
    return resource(name, Listener, {"name": name, "address": address, "filter_chains": chains})


def make_scope(name: str, action: dict[str, Any]) -> xds.Resource:
    host = {"name": name, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}
    key = {"fragments": [{"string_key": name}]}
    return resource(
        name,
        ScopedRouteConfiguration,
        {"name": name, "key": key, "route_configuration": {"name": name, "virtual_hosts": [host]}},
    )


def make_answer(name: str, body: str) -> xds.Resource:
    """Give a scope that answers by itself."""
    return make_scope(name, {"direct_response": {"status": 200, "body": {"inline_string": body}}})


def make_route(name: str, cluster: str) -> xds.Resource:
    """Give a scope that routes to a cluster."""
    return make_scope(name, {"route": {"cluster": cluster}})


def make_bad_scope(name: str) -> xds.Resource:
    """Give a scope that decodes and that Envoy refuses: its regular expression does not compile."""
    action = {"direct_response": {"status": 200}, "match": {"safe_regex": {"regex": "("}}}
    return make_scope(name, action)


def make_secret(name: str, certificate: bytes, key: bytes) -> xds.Resource:
    pair = {
        "certificate_chain": {"inline_string": certificate.decode()},
        "private_key": {"inline_string": key.decode()},
    }
    return resource(name, Secret, {"name": name, "tls_certificate": pair})
