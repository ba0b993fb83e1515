"""What the controller may do: the manifests grant just that, and Roles of some namespaces can suffice."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingress_controller.kubernetes_api import KubernetesApi, connect
from ingress_controller.objects.kinds import BY_VIEW
from ingress_controller.objects.views import IngressClassParameters, SharedPolicy
from tests.cluster.conftest import MANIFESTS
from tests.cluster.objects import (
    annotate,
    apply,
    eventually_shown,
    make_class,
    make_ingress,
    make_web,
    show_addresses,
)
from tests.cluster.program import Program, pod, running
from tests.envoy_process import eventually
from tests.manifests import make_parameters, make_shared_policy
from tests.real_servers import ControlPlane

Right = tuple[str, str, str]
"""API group, resource, verb."""

REFUSAL = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"')
POLICY, PARAMETERS = BY_VIEW[SharedPolicy], BY_VIEW[IngressClassParameters]
RBAC = "rbac.authorization.k8s.io"


def granted_by_manifests() -> set[Right]:
    documents = yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text(encoding="utf-8"))
    (role,) = (document for document in documents if document["kind"] == "ClusterRole")
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def to_rules(rights: set[Right]) -> list[Any]:
    return [{"apiGroups": [group], "resources": [resource], "verbs": [verb]} for group, resource, verb in rights]


def refused(program: Program) -> set[Right]:
    """The rights that the log says are missing."""
    texts = (value for line in program.log() for value in line.values() if isinstance(value, str))
    found = (match for text in texts for match in REFUSAL.finditer(text))
    return {(group, resource, verb) for verb, resource, group in (match.groups() for match in found)}


async def grant(control_plane: ControlPlane, kubeconfig: Path, rights: set[Right]) -> None:
    """Give a user these rights everywhere, and wait until the API server has noticed."""
    name = kubeconfig.stem
    role = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": to_rules(rights)}
    binding = {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": name}],
    }
    await control_plane.apply(*({"apiVersion": f"{RBAC}/v1", **one} for one in (role, binding)))
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    async def is_allowed(api: KubernetesApi, right: Right) -> bool:
        group, resource, verb = right
        resource, _, subresource = resource.partition("/")
        wanted = {"group": group, "resource": resource, "subresource": subresource, "verb": verb}
        body = {"spec": {"resourceAttributes": wanted}}
        return bool(json.loads(await api.request("POST", path, body=body))["status"]["allowed"])

    async with connect(kubeconfig) as api:

        async def are_allowed() -> bool:
            return all([await is_allowed(api, right) for right in rights])

        await eventually(are_allowed, "the rights are in force")


async def next_refusals(program: Program, api: KubernetesApi, namespace: str, known: set[Right]) -> set[Right]:
    """Change objects, so that there is something to say, until the log names more missing rights."""
    numbers = itertools.count()

    async def are_there() -> bool:
        number = next(numbers) % 2
        await annotate(api, namespace, "web", timeout=f"{10 + number}s")
        deny = [{"deny": {"or": [{"http_path": f"/{number}"}]}}]
        await api.request("PATCH", f"{POLICY.path(namespace)}/office", body={"spec": {"rules": deny}})
        await api.request("PATCH", f"{PARAMETERS.path()}/{namespace}", body={"spec": {"mandatoryDeny": deny}})
        return bool(refused(program) - known)

    await eventually(are_there, f"a refusal beyond {known}")
    return refused(program) - known


@pytest.mark.usefixtures("rights")
async def test_each_right_of_the_manifests_is_needed_and_no_other(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    """A controller without rights says which it misses; with those it works."""
    host = f"{namespace}.example.com"
    kubeconfig = await control_plane.make_user([])
    await show_addresses(control_plane, f"{namespace}/proxy", "192.0.2.7")
    ingress = make_ingress(namespace, "web", host, ingressClassName=namespace)
    await apply(control_plane, make_shared_policy("office", namespace=namespace), make_parameters(namespace))
    flags = (f"--name=example.com/{namespace}", f"--update-status-from-service={namespace}/proxy")
    granted, wanted = set[Right](), granted_by_manifests()
    async with pod() as address, running(kubeconfig, *flags) as program:
        await apply(
            control_plane, make_class(namespace, f"example.com/{namespace}"), make_web(namespace, address), ingress
        )
        while granted != wanted:
            granted |= await next_refusals(program, api, namespace, granted)
            assert granted <= wanted
            await grant(control_plane, kubeconfig, granted)
        await program.ready()
        await program.until_status(200, host)
        # What was refused is written when there is something to write again.
        await annotate(api, namespace, "web", timeout="12s")
        await eventually_shown(api, namespace, "web", "192.0.2.7")


async def test_roles_of_some_namespaces_suffice_but_for_classes(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    """IngressClasses and their parameters are in no namespace: without rights there are none, and the log says so."""
    other = await control_plane.make_namespace()
    kubeconfig = await control_plane.make_user("pomerium-ingress-controller", [namespace])
    async with pod() as address, running(kubeconfig, f"--namespaces={namespace}") as program:
        for each in (namespace, other):
            web, host = make_web(each, address), f"{each}.example.com"
            await apply(control_plane, web, make_ingress(each, "web", host))
        await program.ready()
        await program.logged("missing permission; going on as if there were none")
        assert await program.try_to_get(f"{namespace}.example.com") is None
        classes = {("networking.k8s.io", "ingressclasses", verb) for verb in ("list", "watch")}
        await grant(control_plane, kubeconfig, classes)
        await program.until_status(200, f"{namespace}.example.com")
        assert await program.try_to_get(f"{other}.example.com") is None
        assert refused(program) == {
            ("networking.k8s.io", "ingressclasses", "list"),
            ("ingress.pomerium.io", "ingressclassparameters", "list"),
        }

        async def is_said() -> bool:
            events = await api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
            return b"updated pomerium configuration" in events

        await eventually(is_said, "an Event")
