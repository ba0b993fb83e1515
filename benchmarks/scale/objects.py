"""The objects of a run: N Ingresses, each with a host, a Service and an EndpointSlice of its own, and some to probe.

In: a number. Out: Kubernetes objects as dictionaries. The EndpointSlices are empty: no request leaves the proxies,
whose work is to find out that there is nobody to send it to. Policies are for this controller; Contour passes them by.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.scale.client import Target
from tests.real_servers import Manifest, make_endpoint_slice

NAMESPACE = "bench"
CLASS = "bench"
PREFIX = "ingress.pomerium.io"
CONTROLLER = "pomerium.io/ingress-controller"
POD_PORT = 8080

SHARED_POLICIES = 50
"""How many distinct policies there are where Ingresses share them."""

INGRESSES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"

PUBLIC = {f"{PREFIX}/allow_public_unauthenticated_access": "true"}
PATHS = ("/app", "/api")


def cluster_objects() -> tuple[Manifest, ...]:
    """The namespace and the class that both controllers serve."""
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": CLASS},
            "spec": {"controller": CONTROLLER},
        },
    )


def name_of(number: int) -> str:
    """The name of the Ingress of this number, of its Service, and the first label of its host."""
    return f"app-{number:06}"


def host_of(name: str) -> str:
    """The host of an Ingress."""
    return f"{name}.bench.example.com"


def target(number: int, path: str = PATHS[0]) -> Target:
    """A path of the host of a numbered Ingress."""
    return Target(host_of(name_of(number)), path)


def policy_of(number: int, policies: int) -> dict[str, str]:
    """The annotation with the policy of a numbered Ingress: a team's domain, its groups and one guest.

    Args:
        number: of the Ingress.
        policies: how many distinct ones there are.
    """
    team = number % policies
    allow = {
        "or": [
            {"domain": {"is": f"team-{team}.example.com"}},
            {"groups": {"has": f"team-{team}-admins"}},
            {"email": {"is": f"guest-{team}@example.org"}},
        ]
    }
    deny = {"or": [{"groups": {"has": "suspended"}}]}
    return {f"{PREFIX}/policy": json.dumps([{"allow": allow, "deny": deny}])}


def make_ingress(
    name: str, annotations: dict[str, str], paths: Sequence[str] = PATHS, service: str = "", secret: str = ""
) -> Manifest:
    """An Ingress of one host; its Service has its name unless another is given."""
    backend = {"service": {"name": service or name, "port": {"number": 80}}}
    http = {"paths": [{"path": path, "pathType": "Prefix", "backend": backend} for path in paths]}
    spec: dict[str, Any] = {"ingressClassName": CLASS, "rules": [{"host": host_of(name), "http": http}]}
    if secret:
        spec["tls"] = [{"hosts": [host_of(name)], "secretName": secret}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": spec,
    }


def make_numbered(number: int, policies: int, paths: Sequence[str] = PATHS) -> Manifest:
    """The Ingress of a number."""
    return make_ingress(name_of(number), policy_of(number, policies), paths)


def make_service(name: str) -> Manifest:
    """A Service on port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": POD_PORT}]},
    }


def make_slice(name: str, *addresses: str) -> Manifest:
    """The EndpointSlice of a Service."""
    return make_endpoint_slice(NAMESPACE, name, addresses, POD_PORT, "http")


def make_secret(name: str, certificate: bytes, key: bytes) -> Manifest:
    """A certificate and its key, both PEM, as a Secret."""
    data = {"tls.crt": certificate, "tls.key": key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "data": {field: base64.b64encode(value).decode() for field, value in data.items()},
    }


def objects_of(numbers: range, policies: int) -> Iterator[tuple[str, Manifest]]:
    """Everything of the Ingresses of some numbers, each with the path to create it at."""
    for number in numbers:
        name = name_of(number)
        yield SERVICES, make_service(name)
        yield SLICES, make_slice(name)
        yield INGRESSES, make_numbered(number, policies)
