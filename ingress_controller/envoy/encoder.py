"""From changes of the model to changes of xDS resources.

In: the hosts, upstreams and endpoints that changed. Out: the resources that this makes different, by type and name. It
remembers the hosts, to know which of them need a filter chain of their own.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration, ScopedRouteConfiguration
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret

from ingress_controller.envoy import cluster, secret
from ingress_controller.envoy.filters import session_jwt
from ingress_controller.envoy.host import names, references, retry, scopes
from ingress_controller.envoy.listener import NO_SERVER_NAME, listeners, redirects
from ingress_controller.envoy.messages import chain_secret, resource_name
from ingress_controller.envoy.options import Options
from ingress_controller.model.host import Host, is_wildcard, suffixes
from ingress_controller.model.secret import Material
from ingress_controller.model.upstream import Endpoints, Upstream
from xds import Resource, ResourceType

_URL = "type.googleapis.com/envoy."
CLUSTER: Final = _URL + "config.cluster.v3.Cluster"
ENDPOINTS: Final = _URL + "config.endpoint.v3.ClusterLoadAssignment"
SECRET: Final = _URL + "extensions.transport_sockets.tls.v3.Secret"
EXTENSION: Final = _URL + "config.core.v3.TypedExtensionConfig"
LISTENER: Final = _URL + "config.listener.v3.Listener"
ROUTES: Final = _URL + "config.route.v3.RouteConfiguration"
SCOPE: Final = _URL + "config.route.v3.ScopedRouteConfiguration"

TYPES = (
    ResourceType(CLUSTER, order=0, refreshes=ENDPOINTS),
    ResourceType(ENDPOINTS, order=1, eager=True),
    ResourceType(SECRET, order=2, eager=True),
    ResourceType(EXTENSION, order=3, named=(CLUSTER, ENDPOINTS)),
    ResourceType(LISTENER, order=4, named=(CLUSTER, ENDPOINTS)),
    ResourceType(ROUTES, order=5, named=(CLUSTER, ENDPOINTS)),
    ResourceType(SCOPE, order=6, retry=retry, named=(CLUSTER, ENDPOINTS)),
)
"""What Envoy is served, in the order in which things must be there: what is referred to before what refers to it. Only
scopes refer to clusters, and each says to which."""

MESSAGES: Mapping[str, type[betterproto2.Message]] = {
    CLUSTER: Cluster,
    ENDPOINTS: ClusterLoadAssignment,
    SECRET: Secret,
    EXTENSION: TypedExtensionConfig,
    LISTENER: Listener,
    ROUTES: RouteConfiguration,
    SCOPE: ScopedRouteConfiguration,
}
"""The message of each type."""

Changes = dict[str, dict[str, Resource | None]]


class Encoder:
    """Encodes what has changed; ``None`` in its results means that a resource is gone."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._hosts: dict[str, Host] = {}
        self._tunnels: dict[str, tuple[str, ...]] = {}
        self._wildcards: set[str] = set()
        self._chained: Mapping[str, str | None] = {}

    def start(self) -> Changes:
        """The resources that are there with no host at all."""
        keys = session_jwt.extension_config(self._options.issuer, self._options.jwks)
        parts = secret.encode(NO_SERVER_NAME, self._options.bootstrap_certificate)
        routes = redirects(self._options)
        return {
            SECRET: {NO_SERVER_NAME: Resource(NO_SERVER_NAME, parts)},
            EXTENSION: {keys.name: Resource(keys.name, (bytes(keys),), needs=())},
            ROUTES: {routes.name: Resource(routes.name, (bytes(routes),), needs=())},
            LISTENER: self._listeners(),
        }

    def encode(
        self,
        hosts: Mapping[str, Host | None],
        upstreams: Mapping[str, Upstream | None],
        secrets: Mapping[str, Material | None],
        endpoints: Mapping[str, Endpoints | None],
    ) -> Changes:
        """The resources that change with these hosts, upstreams, secrets and endpoints."""
        chained = self._chained
        scopes_of_hosts = self._scopes(hosts)
        listener = self._rechain(hosts)
        return {
            CLUSTER: {name: self._cluster(name, upstream) for name, upstream in upstreams.items()},
            ENDPOINTS: {name: _assignment(name, resolved) for name, resolved in endpoints.items()},
            SECRET: self._secrets(hosts.keys(), chained) | {name: _secret(name, s) for name, s in secrets.items()},
            LISTENER: listener,
            SCOPE: scopes_of_hosts,
        }

    def chain(self, hosts: Mapping[str, Host | None]) -> Changes:
        """What changes of the listeners with these hosts, which are to be encoded after that, some at a time."""
        chained = self._chained
        listener = self._rechain(hosts)
        return {SECRET: self._secrets(frozenset(), chained), LISTENER: listener}

    def _scopes(self, hosts: Mapping[str, Host | None]) -> dict[str, Resource | None]:
        """The scopes of changed hosts; those that a host had before and has no longer are gone."""
        made: dict[str, Resource | None] = {}
        for name, host in hosts.items():
            made |= dict.fromkeys((resource_name(name), *self._tunnels.pop(name, ())))
            if host is None:
                continue
            port = self._options.https.port
            needs = references(host, port)
            made |= {scope: Resource(scope, parts, needs[scope]) for scope, parts in scopes(host, port).items()}
            if tunnels := names(host)[1:]:
                self._tunnels[name] = tunnels
        return made

    def _cluster(self, name: str, upstream: Upstream | None) -> Resource | None:
        return Resource(name, cluster.encode(upstream, self._options)) if upstream else None

    def _secrets(self, changed: AbstractSet[str], chained: Mapping[str, object]) -> dict[str, Resource | None]:
        """The certificates of changed hosts, and of those that came to a chain of their own, or had one before."""
        by_name = {resource_name(name): self._secret(resource_name(name), name) for name in changed}
        for name in (changed & self._chained.keys()) | (chained.keys() ^ self._chained.keys()):
            of_chain = chain_secret(name)
            by_name[of_chain] = self._secret(of_chain, name) if name in self._chained else None
        return by_name

    def _secret(self, name: str, host: str) -> Resource | None:
        found = self._hosts.get(host)
        if found is None:
            return None
        return Resource(name, secret.encode(name, found.certificate or self._options.bootstrap_certificate))

    def _rechain(self, hosts: Mapping[str, Host | None]) -> dict[str, Resource | None]:
        """The listener, if the hosts with a chain of their own, or their authorities, are no longer the same."""
        wildcards = set(self._wildcards)
        for name, changed in hosts.items():
            if changed is None:
                self._hosts.pop(name, None)
                self._wildcards.discard(name)
                continue
            self._hosts[name] = changed
            if is_wildcard(name):
                self._wildcards.add(name)
        if wildcards == self._wildcards:
            others = {name: client_ca for name, client_ca in self._chained.items() if name not in hosts}
            chained = others | self._own_chains(found for found in hosts.values() if found)
        else:
            chained = self._own_chains(self._hosts.values())
        if chained == self._chained:
            return {}
        self._chained = chained
        return self._listeners()

    def _own_chains(self, hosts: Iterable[Host]) -> dict[str, str | None]:
        """Of some hosts, those that need a filter chain of their own, each with its ``client_ca``."""
        return {host.name: host.client_ca for host in hosts if host.client_ca or self._is_under_wildcard(host.name)}

    def _is_under_wildcard(self, name: str) -> bool:
        """Whether a wildcard's chain would take the name's connections, or is the host's own."""
        return bool(self._wildcards) and (is_wildcard(name) or not self._wildcards.isdisjoint(suffixes(name)))

    def _listeners(self) -> dict[str, Resource | None]:
        made = listeners(self._options, self._chained)
        return {listener.name: Resource(listener.name, (bytes(listener),), needs=()) for listener in made}


def _assignment(name: str, resolved: Endpoints | None) -> Resource | None:
    """The endpoints of a cluster, under its own name even where clusters share a port.

    A cluster waits for the endpoints it asks for, and Envoy does not ask a second time for what it has.
    """
    return Resource(name, cluster.load_assignment(name, resolved)) if resolved else None


def _secret(name: str, material: Material | None) -> Resource | None:
    return Resource(name, secret.encode(name, material)) if material else None
