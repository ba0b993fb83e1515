"""The addresses behind a Service's port.

In: the Service's EndpointSlices. Out: ``Endpoints``. They depend on nothing else, so that pods that come and go touch
no route.
"""

from collections.abc import Callable, Iterable, Iterator

from ingress_controller.model.upstream import Address, Endpoints, ServicePort
from ingress_controller.objects.views import EndpointConditions, EndpointSlice


def resolve(service_port: ServicePort, slices: Iterable[EndpointSlice]) -> Endpoints:
    """Collect the ready endpoints of all slices, IPv4 and IPv6.

    Endpoints that are terminating but still serve are used only when none is ready, as kube-proxy does. Slices find the
    port by its name in the Service; a named target port is already resolved in them.
    """
    slices = list(slices)
    for usable in (_is_ready, _is_draining):
        if addresses := frozenset(_addresses(service_port.name, slices, usable)):
            return Endpoints(service_port, tuple(sorted(addresses, key=str)))
    return Endpoints(service_port, ())


def _addresses(
    port_name: str, slices: Iterable[EndpointSlice], usable: Callable[[EndpointConditions], bool]
) -> Iterator[Address]:
    for found in slices:
        numbers = [p.port for p in found.ports or () if (p.name or "") == port_name and p.protocol in {"TCP", None}]
        if found.address_type == "FQDN":
            continue
        for endpoint in found.endpoints or ():
            if endpoint.addresses and usable(endpoint.conditions):
                yield from (Address(endpoint.addresses[0], number) for number in numbers if number)


def _is_ready(conditions: EndpointConditions) -> bool:
    return conditions.ready is not False


def _is_draining(conditions: EndpointConditions) -> bool:
    return bool(conditions.serving and conditions.terminating)
