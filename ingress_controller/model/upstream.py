"""An upstream: where requests are sent, and how.

In: a Service's port and the settings of the Ingresses that use it. Out: values from which Envoy's clusters and
endpoints are made. Routes with the same Service port and the same settings share one upstream.
"""

from msgspec import Struct

from ingress_controller.model.load_balancing import EVENLY, LoadBalancing
from ingress_controller.model.reference import ObjectRef


class Address(Struct, frozen=True, gc=False):
    """A host (an IP address, or a name for DNS) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """``10.0.0.1:80``, ``[fd00::1]:80`` or ``example.com:443``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ServicePort(Struct, frozen=True, gc=False):
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


class UpstreamTLS(Struct, frozen=True, gc=False):
    """TLS towards the upstream.

    Attributes:
        server_name: a DNS name or an IP address, which must be in its certificate. A name is also sent (SNI).
        verify: whether the certificate is verified at all.
        authorities: the name of the secret whose authorities it is verified with; ``None`` for the system's.
        certificate: the name of the secret whose certificate the upstream is shown; ``None`` for none.
    """

    server_name: str
    verify: bool = True
    authorities: str | None = None
    certificate: str | None = None


class Upstream(Struct, frozen=True, gc=False):
    """A destination of routes.

    Attributes:
        name: unique among different upstreams; equal for equal ones.
        target: the endpoints of a Service's port, or one address (a cluster IP, or a name that Envoy resolves).
        tls: how to speak TLS to it; ``None`` for plain text.
        http2: whether to speak HTTP/2, without asking, rather than HTTP/1.1.
        load_balancing: which of its endpoints get requests; a health check by HTTP or gRPC has its host.
    """

    name: str
    target: ServicePort | Address
    tls: UpstreamTLS | None = None
    http2: bool = False
    load_balancing: LoadBalancing = EVENLY


class Endpoints(Struct, frozen=True, gc=False):
    """The addresses behind a Service's port, sorted; empty when none is ready."""

    service_port: ServicePort
    addresses: tuple[Address, ...]
