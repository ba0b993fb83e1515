"""Copies the addresses of a Service to the status of Ingresses.

In: the Service named by ``--update-status-from-service``, the Ingresses that are ours. Out: PATCH requests of their
status subresource, where it differs. ``kubectl get ingress`` shows the addresses, and external-dns, Argo CD and the
like wait for them.

A Service of type LoadBalancer gives the addresses that its load balancer has been given; until then, none. One of type
NodePort or ClusterIP gives its cluster IP: nodes' addresses cannot be known from the Service, other controllers show
the same, and an Ingress without any address counts as unhealthy to many tools. An ExternalName Service gives its name,
a headless one nothing. ``ipMode`` is not copied because the status of an Ingress has no such field.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from ingress_controller.kubernetes_api import ApiError, KubernetesApi
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.views import Ingress, LoadBalanced, LoadBalancerIngress, PortStatus, Service
from ingress_controller.report.work import CONCURRENCY, WorkQueue, write

log = structlog.get_logger(__name__)

Addresses = tuple[LoadBalancerIngress, ...]

_INGRESS = BY_NAME["networking.k8s.io/v1", "Ingress"]


def from_service(service: Service | None) -> Addresses:
    """The addresses at which a Service is reached; none for a Service that is not there."""
    if service is None:
        return ()
    spec = service.spec
    if spec.type == "LoadBalancer":
        return _shown(service.status)
    if spec.type == "ExternalName":
        return (LoadBalancerIngress(hostname=spec.external_name),) if spec.external_name else ()
    return (LoadBalancerIngress(ip=spec.cluster_ip),) if spec.cluster_ip not in {"", "None"} else ()


def _shown(status: LoadBalanced) -> Addresses:
    """The addresses in a status, as far as that of an Ingress can show them."""
    return tuple(
        LoadBalancerIngress(ip=address.ip, hostname=address.hostname, ports=address.ports)
        for address in status.load_balancer.ingress or ()
    )


class StatusReporter:
    """Keeps the status of our Ingresses at the addresses of a Service.

    All methods but ``run`` return at once, and may be called before it.
    """

    def __init__(self, api: KubernetesApi, concurrency: int = CONCURRENCY) -> None:
        """Choose where to write.

        Args:
            api: the client; the caller closes it.
            concurrency: how many Ingresses are written at a time.
        """
        self._api = api
        self._addresses: Addresses | None = None
        self._ours: dict[ObjectRef, Ingress] = {}
        self._released: dict[ObjectRef, Ingress] = {}
        self._work = WorkQueue(self._write, concurrency)

    def publish(self, service: Service | None) -> None:
        """Take note of the Service's newest state. Nothing is written before the first call."""
        addresses = from_service(service)
        if addresses != self._addresses:
            self._addresses = addresses
            for ref in self._ours:
                self._work.mark(ref)

    def observe(self, ingress: Ingress) -> None:
        """Take note of the newest state of an Ingress of ours."""
        self._released.pop(ingress.ref, None)
        self._ours[ingress.ref] = ingress
        if self._addresses is not None and _shown(ingress.status) != self._addresses:
            self._work.mark(ingress.ref)

    def release(self, ingress: Ingress) -> None:
        """An Ingress that is there is not ours: if it was, and shows what was written here, its status is emptied."""
        if self._ours.pop(ingress.ref, None) and self._addresses and _shown(ingress.status) == self._addresses:
            self._released[ingress.ref] = ingress
            self._work.mark(ingress.ref)

    def forget(self, ref: ObjectRef) -> None:
        """The Ingress is gone."""
        self._ours.pop(ref, None)
        self._released.pop(ref, None)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._work.run()

    async def _write(self, ref: ObjectRef) -> None:
        ingress = self._ours.get(ref) or self._released.pop(ref, None)
        wanted = self._addresses if ref in self._ours else ()
        if ingress is None or wanted is None or _shown(ingress.status) == wanted:
            return
        path = f"{_INGRESS.path(ref.namespace)}/{ref.name}/status"
        try:
            await write(self._api, "PATCH", path, to_patch(wanted))
        except ApiError as error:
            if error.status != 404:
                log.warning("cannot write status", object=str(ref), verb="patch", error=error.message)
            if error.transient:
                self._work.mark(ref)


def to_patch(addresses: Addresses) -> Mapping[str, Any]:
    """A merge patch that sets exactly these addresses."""
    return {"status": {"loadBalancer": {"ingress": [_to_address(address) for address in addresses] or None}}}


def _to_address(address: LoadBalancerIngress) -> Mapping[str, Any]:
    fields = {"ip": address.ip, "hostname": address.hostname, "ports": [_to_port(port) for port in address.ports]}
    return {name: value for name, value in fields.items() if value}


def _to_port(port: PortStatus) -> Mapping[str, Any]:
    return {"port": port.port, "protocol": port.protocol, **({"error": port.error} if port.error else {})}
