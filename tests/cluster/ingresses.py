"""Ingresses of the tests of reports: made in the cluster, and read as the source reads them."""

import json

from ingress_controller.kubernetes_api import KubernetesApi
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.read import read
from ingress_controller.objects.views import Ingress, Service
from tests.real_servers import Manifest

INGRESS = BY_NAME["networking.k8s.io/v1", "Ingress"]
SERVICE = BY_NAME["v1", "Service"]


def make_ingress(namespace: str, name: str) -> Manifest:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ingressClassName": "pomerium", "defaultBackend": backend},
    }


async def read_ingress(api: KubernetesApi, namespace: str, name: str) -> Ingress:
    """The Ingress as it is now."""
    raw = await api.request("GET", f"{INGRESS.path(namespace)}/{name}")
    found = read(INGRESS, json.loads(raw))
    assert isinstance(found, Ingress)
    return found


async def create_ingress(api: KubernetesApi, namespace: str, name: str = "web") -> Ingress:
    await api.request("POST", INGRESS.path(namespace), body=make_ingress(namespace, name))
    return await read_ingress(api, namespace, name)


async def read_service(api: KubernetesApi, namespace: str, name: str) -> Service:
    """The Service as it is now."""
    raw = await api.request("GET", f"{SERVICE.path(namespace)}/{name}")
    found = read(SERVICE, json.loads(raw))
    assert isinstance(found, Service)
    return found
