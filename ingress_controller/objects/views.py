"""The kinds of object that are read, each with the fields that are used.

In: raw objects (decoded by `ingress_controller.objects.read`). Out: frozen structs. Field names and meanings are
those of the Kubernetes API reference (networking.k8s.io/v1, core/v1, discovery.k8s.io/v1), in snake case.
Generated client models are not used: they are an order of magnitude slower to build and larger to keep.
"""

import socket
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from ingress_controller.model.reference import ObjectRef

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}

PortNumber = Annotated[int, Meta(ge=1, le=65535)]
"""A port that something can listen on."""


class _View(Struct, frozen=True, rename="camel", gc=False):
    """Common options: immutable, ``camelCase`` on the wire, no cycles for the garbage collector to look for."""


class Metadata(_View, frozen=True):
    """ObjectMeta: the part that is used. ``creation_timestamp`` is RFC 3339 text, which sorts by time."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = ""
    deletion_timestamp: str | None = None
    annotations: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None


class _Object(_View, frozen=True):
    """What every object has."""

    KIND: ClassVar[str]

    metadata: Metadata

    @property
    def ref(self) -> ObjectRef:
        """The reference by which other objects and messages name this one."""
        return ObjectRef(self.KIND, self.metadata.namespace, self.metadata.name)

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, empty when there are none."""
        return self.metadata.annotations or {}


class ServiceBackendPort(_View, frozen=True):
    """Exactly one of ``name`` and ``number`` is set on a valid object."""

    name: str = ""
    number: Annotated[int, Meta(ge=0, le=65535)] = 0

    def __str__(self) -> str:
        """The port as a person would name it."""
        return self.name or str(self.number)


class IngressServiceBackend(_View, frozen=True):
    """A Service of the Ingress's own namespace and one of its ports."""

    name: str
    port: ServiceBackendPort = ServiceBackendPort()


class TypedLocalObjectReference(_View, frozen=True):
    """A backend that is not a Service (`resource`), which no controller here serves."""

    kind: str
    name: str


class IngressBackend(_View, frozen=True):
    """Where a path's requests go."""

    service: IngressServiceBackend | None = None
    resource: TypedLocalObjectReference | None = None


class HTTPIngressPath(_View, frozen=True):
    """One path of a rule."""

    backend: IngressBackend
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"]
    path: str = ""


class HTTPIngressRuleValue(_View, frozen=True):
    """The paths of a rule."""

    paths: tuple[HTTPIngressPath, ...] = ()


class IngressRule(_View, frozen=True):
    """The paths of one host; an empty host means every host."""

    host: str = ""
    http: HTTPIngressRuleValue | None = None


class IngressTLS(_View, frozen=True):
    """A certificate Secret and the hosts it is for."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(_View, frozen=True):
    """The wish of an Ingress."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: tuple[IngressRule, ...] = ()
    tls: tuple[IngressTLS, ...] = ()


class PortStatus(_View, frozen=True):
    """The state of one port of a load balancer."""

    port: int
    protocol: str = "TCP"
    error: str | None = None


class LoadBalancerIngress(_View, frozen=True):
    """One address at which a load balancer is reached."""

    ip: str = ""
    hostname: str = ""
    ports: tuple[PortStatus, ...] = ()


class LoadBalancerStatus(_View, frozen=True):
    """The addresses of a load balancer."""

    ingress: tuple[LoadBalancerIngress, ...] | None = None


class LoadBalanced(_View, frozen=True):
    """The status that Ingress and Service share."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Ingress(_Object, frozen=True):
    """networking.k8s.io/v1 Ingress."""

    KIND: ClassVar[str] = "Ingress"

    spec: IngressSpec = IngressSpec()
    status: LoadBalanced = LoadBalanced()


class IngressClassSpec(_View, frozen=True):
    """Which controller serves the class."""

    controller: str = ""


class IngressClass(_Object, frozen=True):
    """networking.k8s.io/v1 IngressClass."""

    KIND: ClassVar[str] = "IngressClass"

    spec: IngressClassSpec = IngressClassSpec()


class ServicePort(_View, frozen=True):
    """One port of a Service; ``target_port`` is a number, or the name of a container's port."""

    port: PortNumber
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str | None = None


class ServiceSpec(_View, frozen=True):
    """How a Service is reached; ``cluster_ip`` is ``None`` (the word) for a headless one."""

    type: str = "ClusterIP"
    cluster_ip: str = field(default="", name="clusterIP")
    external_name: str = ""
    ports: tuple[ServicePort, ...] = ()


class Service(_Object, frozen=True):
    """core/v1 Service."""

    KIND: ClassVar[str] = "Service"

    spec: ServiceSpec = ServiceSpec()
    status: LoadBalanced = LoadBalanced()


class EndpointConditions(_View, frozen=True):
    """Absent ``ready`` means ready, absent ``serving`` means as ``ready`` says, as the API defines."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(_View, frozen=True):
    """One backend; its addresses are alternatives, of which the API says to use the first."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()


class EndpointPort(_View, frozen=True):
    """A port that all endpoints of a slice share."""

    name: str | None = ""
    port: PortNumber | None = None
    protocol: str | None = "TCP"


class EndpointSlice(_Object, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    KIND: ClassVar[str] = "EndpointSlice"

    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()

    def __post_init__(self) -> None:
        """Refuse what is no address: Envoy would refuse it too, and with it all other endpoints."""
        if family := _FAMILIES.get(self.address_type):
            for number, endpoint in enumerate(self.endpoints or ()):
                for address in endpoint.addresses:
                    _check_address(family, address, f"endpoints[{number}].addresses")

    @property
    def service(self) -> ObjectRef | None:
        """The Service that the slice belongs to, by its label."""
        name = (self.metadata.labels or {}).get(SERVICE_NAME_LABEL)
        return ObjectRef(Service.KIND, self.metadata.namespace, name) if name else None


def _check_address(family: socket.AddressFamily, address: str, where: str) -> None:
    try:
        socket.inet_pton(family, address)
    except (OSError, ValueError):
        expected = "IPv4" if family == socket.AF_INET else "IPv6"
        raise ValueError(f"Expected an {expected} address, got {address[:80]!r} - at `$.{where}`") from None


class Secret(_Object, frozen=True):
    """core/v1 Secret. Its values are kept out of every textual form."""

    KIND: ClassVar[str] = "Secret"

    type: str = "Opaque"
    data: Mapping[str, bytes] | None = None
    string_data: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        """The identity and the keys; never a value."""
        return f"Secret({self.metadata.namespace}/{self.metadata.name}, keys={sorted(self.values)}, [redacted])"

    @property
    def values(self) -> Mapping[str, bytes]:
        """The decoded values by key; ``stringData`` wins over ``data``, as the API server merges them."""
        return {**(self.data or {}), **{k: v.encode() for k, v in (self.string_data or {}).items()}}


class Namespace(_Object, frozen=True):
    """core/v1 Namespace."""

    KIND: ClassVar[str] = "Namespace"


KubernetesObject = Ingress | IngressClass | Service | EndpointSlice | Secret | Namespace
