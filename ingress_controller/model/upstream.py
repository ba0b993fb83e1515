"""An upstream: where requests are sent, and how.

In: a Service's port and the settings of the Ingresses that use it. Out: values from which Envoy's clusters and
endpoints are made. Routes with the same Service port and the same settings share one upstream.
"""

from dataclasses import dataclass

from ingress_controller.model.reference import ObjectRef


@dataclass(frozen=True, slots=True)
class Address:
    """A host (an IP address, or a name for DNS) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """``10.0.0.1:80``, ``[fd00::1]:80`` or ``example.com:443``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service, resolved.

    Attributes:
        service: the Service.
        port: its number in the Service.
        name: its name in the Service, by which EndpointSlices refer to it; empty when it has none.
    """

    service: ObjectRef
    port: int
    name: str

    def __str__(self) -> str:
        """``app/web:80``, as in the names of upstreams."""
        return f"{self.service.namespace}/{self.service.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class UpstreamTLS:
    """TLS towards the upstream: the server name that is sent (SNI) and must be in its certificate."""

    server_name: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """A destination of routes.

    Attributes:
        name: unique among different upstreams; equal for equal ones.
        target: the endpoints of a Service's port, or one address (a cluster IP, or a name that Envoy resolves).
        tls: how to speak TLS to it; ``None`` for plain text.
    """

    name: str
    target: ServicePort | Address
    tls: UpstreamTLS | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses behind a Service's port, sorted; empty when none is ready."""

    service_port: ServicePort
    addresses: tuple[Address, ...]
