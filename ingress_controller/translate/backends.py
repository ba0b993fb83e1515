"""Backends of an Ingress, as upstreams.

In: a backend, the Service it names and the settings about upstreams. Out: an ``Upstream`` and the Host header that is
its own, or ``BackendError``.
"""

import hashlib
import ipaddress
from dataclasses import dataclass, replace

import msgspec

from ingress_controller.annotations.settings import Connection, Settings
from ingress_controller.model.load_balancing import EVENLY, LoadBalancing
from ingress_controller.model.problem import Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.upstream import Address, ServicePort, Upstream, UpstreamTLS
from ingress_controller.objects.names import is_dns_name
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import IngressBackend, Service, ServiceBackendPort
from ingress_controller.objects.views import ServicePort as ServicePortView
from ingress_controller.translate.options import Options
from ingress_controller.translate.secrets import Named

_HEADLESS = "None"
# The values of a Service port's appProtocol that say how to speak to it.
_HTTP2 = frozenset({"kubernetes.io/h2c", "grpc"})
_TLS = frozenset({"https", "kubernetes.io/wss"})
# Names that systems' hosts files give to loopback addresses.
_LOCAL_NAMES = frozenset({"localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"})


class BackendError(ValueError):
    """A backend that cannot be served; ``reason`` is its kind."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Backend:
    """An upstream and the value of the Host header by which it knows itself."""

    upstream: Upstream
    host: str


def service_of(backend: IngressBackend, namespace: str) -> ObjectRef | None:
    """The Service that a backend names, if it names one."""
    return ObjectRef(Service.KIND, namespace, backend.service.name) if backend.service else None


def resolve(
    backend: IngressBackend, namespace: str, settings: Settings, named: Named, store: Store, options: Options
) -> Backend:
    """Find the Service and port of a backend, and say how to reach it.

    Raises:
        BackendError: the backend is no Service, or the Service or port is missing or may not be used.
    """
    if backend.service is None:
        raise BackendError("backend-not-allowed", "the backend must be a Service; resource backends are not served")
    port = backend.service.port
    if bool(port.name) == bool(port.number):
        raise BackendError("port-not-found", "service.port must have either a name or a number")
    service = store.get(Service, namespace, backend.service.name)
    if service is None:
        raise BackendError("service-not-found", f"Service {namespace}/{backend.service.name} not found")
    if service.spec.type == "ExternalName":
        found = _external(service, port, options)
    else:
        found = _internal(service, port, settings.connection, options)
    return _backend(found, settings, named)


@dataclass(frozen=True, slots=True)
class _Found:
    """Where requests are sent.

    Attributes:
        label: the beginning of the upstream's name.
        target: as in ``Upstream``.
        host: the upstream's own name.
        port: the port of the Service.
        protocol: what the Service says is spoken at its port; empty when it does not say.
    """

    label: str
    target: ServicePort | Address
    host: str
    port: int
    protocol: str


def _internal(service: Service, wanted: ServiceBackendPort, connection: Connection, options: Options) -> _Found:
    view = _port(service, wanted)
    port = ServicePort(service.ref, view.port, view.name)
    name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{options.cluster_domain}"
    protocol = view.app_protocol or ""
    if not connection.service_proxy:
        return _Found(str(port), port, name, port.port, protocol)
    host = name if service.spec.cluster_ip in {"", _HEADLESS} else service.spec.cluster_ip
    return _Found(f"{port}/service-proxy", Address(host, port.port), name, port.port, protocol)


def _external(service: Service, wanted: ServiceBackendPort, options: Options) -> _Found:
    host = service.spec.external_name.rstrip(".").lower()
    _check_external(service, host, options)
    # An ExternalName needs no ports; a number is taken as it is, a name must be among those listed.
    listed = next((port for port in service.spec.ports if _is_wanted(port, wanted)), None)
    number = wanted.number or (listed or _port(service, wanted)).port
    label = f"{service.metadata.namespace}/{service.metadata.name}:{number}"
    return _Found(label, Address(host, number), host, number, (listed and listed.app_protocol) or "")


def _backend(found: _Found, settings: Settings, named: Named) -> Backend:
    tls = _tls(found, settings.connection, named)
    http2 = found.protocol in _HTTP2
    authority = _authority(found.host, found.port, tls)
    name = f"{found.label}{'/tls' if tls else ''}{_digest(settings, named)}"
    load_balancing = _complete(settings.load_balancing, authority, http2=http2)
    return Backend(Upstream(name, found.target, tls, http2, load_balancing), authority)


def _tls(found: _Found, connection: Connection, named: Named) -> UpstreamTLS | None:
    if not connection.secure and found.protocol not in _TLS:
        return None
    return UpstreamTLS(
        server_name=connection.server_name or str(_address(found.host) or found.host),
        verify=not connection.skip_verify,
        authorities=named.the("tls_custom_ca"),
        certificate=named.the("tls_client"),
    )


def _digest(settings: Settings, named: Named) -> str:
    """What tells upstreams of one port apart whose settings differ; empty for those with none."""
    connection = settings.connection
    given = (
        connection.server_name,
        connection.skip_verify or None,
        named.the("tls_custom_ca"),
        named.the("tls_client"),
        None if settings.load_balancing == EVENLY else settings.load_balancing,
    )
    return f"/{hashlib.sha256(repr(given).encode()).hexdigest()[:16]}" if any(given) else ""


def _complete(load_balancing: LoadBalancing, authority: str, *, http2: bool) -> LoadBalancing:
    """Give a health check the host that requests have; otherwise Envoy would send the upstream's name as the host."""
    check = load_balancing.health_check
    if check is None:
        return load_balancing
    http, grpc = check.http_health_check, check.grpc_health_check
    if grpc and not http2:
        known = ", ".join(sorted(_HTTP2))
        message = f"grpc_health_check needs a port that speaks HTTP/2; the Service's appProtocol must be one of {known}"
        raise BackendError("backend-not-allowed", f"health_checks: {message}")
    if http:
        codec = http.codec_client_type or ("HTTP2" if http2 else None)
        http = msgspec.structs.replace(http, host=http.host or authority, codec_client_type=codec)
    if grpc:
        grpc = msgspec.structs.replace(grpc, authority=grpc.authority or authority)
    check = msgspec.structs.replace(check, http_health_check=http, grpc_health_check=grpc)
    return replace(load_balancing, health_check=check)


def _is_wanted(port: ServicePortView, wanted: ServiceBackendPort) -> bool:
    return port.protocol == "TCP" and (port.name == wanted.name if wanted.name else port.port == wanted.number)


def _port(service: Service, wanted: ServiceBackendPort) -> ServicePortView:
    for port in service.spec.ports:
        if _is_wanted(port, wanted):
            return port
    known = ", ".join(_shown(port) for port in service.spec.ports) or "none"
    name = f"Service {service.metadata.namespace}/{service.metadata.name}"
    raise BackendError("port-not-found", f"{name} has no TCP port {wanted}; it has {known}")


def _shown(port: ServicePortView) -> str:
    number = str(port.port) if port.protocol == "TCP" else f"{port.port}/{port.protocol}"
    return f"{number} ({port.name})" if port.name else number


def _check_external(service: Service, host: str, options: Options) -> None:
    name = f"Service {service.metadata.namespace}/{service.metadata.name} has externalName {host[:253]!r}"
    address = _address(host)
    if address is None and (not is_dns_name(host) or _is_odd_address(host)):
        raise BackendError("backend-not-allowed", f"{name}, which is neither a DNS name nor an IP address")
    if options.allow_local_external_names:
        return
    if _is_local(host, address) or str(address or host) in options.own_addresses:
        raise BackendError(
            "backend-not-allowed",
            f"{name}, which points to this controller's machine, its link or the controller itself; "
            "--allow-external-name-local would allow it",
        )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return None if address.scope_id else address.ipv4_mapped or address


def _is_local(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is None:
        return host in _LOCAL_NAMES or host.endswith((".localhost", ".localdomain", ".localdomain4", ".localdomain6"))
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _is_odd_address(host: str) -> bool:
    """Whether the name's last label is numeric: resolvers read ``127.1`` and ``0x7f000001`` as addresses."""
    last = host.rpartition(".")[2]
    return last.isdigit() or last.startswith("0x")


def _authority(host: str, port: int, tls: UpstreamTLS | None) -> str:
    authority = str(Address(host, port))
    return authority.removesuffix(f":{port}") if port == (443 if tls else 80) else authority
