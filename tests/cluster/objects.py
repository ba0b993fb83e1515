"""Objects for a real cluster, as text: what `tests.manifests` makes, with endpoints that an API server accepts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ingress_controller.kubernetes_api import KubernetesApi
from tests import manifests
from tests.cluster.ingresses import INGRESS
from tests.cluster.program import POD_PORT
from tests.envoy_process import eventually
from tests.manifests import PREFIX, PUBLIC, documents, make_parameters_reference, make_service
from tests.real_servers import ControlPlane, make_endpoint_slice

CONTROLLER = "pomerium.io/ingress-controller"
CLASS = "pomerium"
"""The IngressClass of the project's manifests."""

STATUS_SERVICE = "pomerium/proxy"
"""The Service whose addresses the shared controller copies."""


def make_ingress(
    namespace: str, name: str, host: str | Sequence[str], annotations: Mapping[str, str] = PUBLIC, **fields: Any
) -> str:
    """An Ingress of our class, unless ``ingressClassName`` says otherwise."""
    return manifests.make_ingress(name, host, annotations, namespace=namespace, **{"ingressClassName": CLASS, **fields})


def make_slice(namespace: str, addresses: Sequence[str], service: str = "web") -> str:
    """The EndpointSlice of a Service whose pods have these addresses."""
    return json.dumps(make_endpoint_slice(namespace, service, addresses, POD_PORT, "http"))


def make_web(namespace: str, address: str, name: str = "web") -> str:
    """A Service on port 80, and its one pod."""
    return documents(make_service(name, namespace=namespace), make_slice(namespace, [address], name))


def make_class(name: str, controller: str, *, default: bool = False, parameters: str = "") -> str:
    """An IngressClass; ``parameters`` is the name of its IngressClassParameters."""
    annotations = {"ingressclass.kubernetes.io/is-default-class": str(default).lower()}
    return json.dumps(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "controller": controller,
                **({"parameters": make_parameters_reference(parameters)} if parameters else {}),
            },
        }
    )


async def apply(control_plane: ControlPlane, *manifests: str) -> None:
    """Apply texts of any number of objects, with kubectl."""
    await control_plane.kubectl("apply", "--filename", "-", stdin=documents(*manifests))


async def show_addresses(control_plane: ControlPlane, service: str, *addresses: str) -> None:
    """Give a Service these load balancer addresses, as a cloud's controller would.

    Args:
        control_plane: where.
        service: ``namespace/name``; made as a LoadBalancer if it is not there.
        addresses: all of them.
    """
    namespace, _, name = service.partition("/")
    await apply(control_plane, make_service(name, namespace=namespace, type="LoadBalancer"))
    patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}})
    await control_plane.kubectl(
        "patch", "service", name, "-n", namespace, "--subresource=status", "--type=merge", "--patch", patch
    )


async def eventually_shown(api: KubernetesApi, namespace: str, name: str, *addresses: str) -> None:
    """Wait until the status of an Ingress has just these addresses."""

    async def are_shown() -> bool:
        ingress = json.loads(await api.request("GET", f"{INGRESS.path(namespace)}/{name}"))
        return [one["ip"] for one in ingress["status"]["loadBalancer"].get("ingress", ())] == list(addresses)

    await eventually(are_shown, f"{name} shows {addresses}")


async def patch_ingress(api: KubernetesApi, namespace: str, name: str, **fields: Any) -> None:
    """Change fields of an Ingress, by a merge patch."""
    await api.request("PATCH", f"{INGRESS.path(namespace)}/{name}", body=fields)


async def annotate(api: KubernetesApi, namespace: str, name: str, **annotations: str | None) -> None:
    """Set annotations of ours on an Ingress, or remove them."""
    prefixed = {f"{PREFIX}/{key}": value for key, value in annotations.items()}
    await patch_ingress(api, namespace, name, metadata={"annotations": prefixed})
