"""Backends of an Ingress, as upstreams.

In: a backend, the Service it names and the connection settings. Out: an ``Upstream`` and the Host header that is its
own, or ``BackendError``.
"""

import ipaddress
from dataclasses import dataclass

from ingress_controller.annotations.settings import Connection
from ingress_controller.model.problem import Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.upstream import Address, ServicePort, Upstream, UpstreamTLS
from ingress_controller.objects.names import is_dns_name
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import IngressBackend, Service, ServiceBackendPort
from ingress_controller.objects.views import ServicePort as ServicePortView
from ingress_controller.translate.options import Options

_HEADLESS = "None"
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


def resolve(backend: IngressBackend, namespace: str, connection: Connection, store: Store, options: Options) -> Backend:
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
        return _external(service, port, connection, options)
    return _internal(service, port, connection, options)


def _internal(service: Service, wanted: ServiceBackendPort, connection: Connection, options: Options) -> Backend:
    port = _port(service, wanted)
    name = f"{service.metadata.name}.{service.metadata.namespace}.svc"
    target: ServicePort | Address = port
    suffix = ""
    if connection.service_proxy:
        headless = service.spec.cluster_ip in {"", _HEADLESS}
        host = f"{name}.{options.cluster_domain}" if headless else service.spec.cluster_ip
        target, suffix = Address(host, port.port), "/service-proxy"
    full_name = f"{name}.{options.cluster_domain}"
    tls = UpstreamTLS(full_name) if connection.secure else None
    return Backend(Upstream(f"{port}{suffix}{_tls_suffix(tls)}", target, tls), _authority(full_name, port.port, tls))


def _external(service: Service, wanted: ServiceBackendPort, connection: Connection, options: Options) -> Backend:
    host = service.spec.external_name.rstrip(".").lower()
    _check_external(service, host, options)
    # An ExternalName needs no ports; a number is taken as it is, a name must be among those listed.
    number = wanted.number or _port(service, wanted).port
    tls = UpstreamTLS(host) if connection.secure else None
    name = f"{service.metadata.namespace}/{service.metadata.name}:{number}{_tls_suffix(tls)}"
    return Backend(Upstream(name, Address(host, number), tls), _authority(host, number, tls))


def _port(service: Service, wanted: ServiceBackendPort) -> ServicePort:
    for port in service.spec.ports:
        if port.protocol == "TCP" and (port.name == wanted.name if wanted.name else port.port == wanted.number):
            return ServicePort(service.ref, port.port, port.name)
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


def _tls_suffix(tls: UpstreamTLS | None) -> str:
    return "/tls" if tls else ""


def _authority(host: str, port: int, tls: UpstreamTLS | None) -> str:
    authority = str(Address(host, port))
    return authority.removesuffix(f":{port}") if port == (443 if tls else 80) else authority
