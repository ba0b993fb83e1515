"""kubectl through the ingress: a real kube-apiserver sees the user, and decides what the user may do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest_asyncio

from tests.envoy.test_kubernetes import TOKEN, make_token
from tests.manifests import CLASS, SIGNED_IN, documents, make_ingress, make_service, make_slice
from tests.real_servers import ControlPlane, Manifest
from tests.running import Running, running

# A name that every machine resolves to itself.
HOST = "localhost"
ROBOT = "robot"


@pytest_asyncio.fixture
async def c(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Running]:
    """An ingress before the API server, whose service account may impersonate and nothing else."""
    await control_plane.kubectl("create", "serviceaccount", ROBOT, "--namespace", namespace)
    rules = [{"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}]
    await control_plane.apply(
        rbac("ClusterRole", namespace, rules=rules),
        bind(
            "ClusterRoleBinding",
            namespace,
            namespace,
            {"kind": "ServiceAccount", "name": ROBOT, "namespace": namespace},
        ),
    )
    token = await control_plane.kubectl("create", "token", ROBOT, "--namespace", namespace)
    objects = documents(
        CLASS,
        make_service("kubernetes", 443),
        make_slice(urlsplit(control_plane.server).port or 0, "kubernetes"),
        make_token(token.strip(), ROBOT),
        make_ingress(
            "k8s", HOST, SIGNED_IN | TOKEN | {"secure_upstream": "true"}, paths=[("/", "Prefix", "kubernetes:443")]
        ),
    )
    async with running({"all.yaml": objects}, upstream_ca_file=control_plane.certificate) as c:
        yield c


def rbac(kind: str, name: str, namespace: str = "", **fields: Any) -> Manifest:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, **fields}


def bind(kind: str, name: str, role: str, *subjects: Mapping[str, str], namespace: str = "") -> Manifest:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    return rbac(kind, name, namespace, roleRef=reference, subjects=subjects)


def subject(kind: str, name: str) -> Mapping[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


def allow(namespace: str, who: Mapping[str, str], *verbs: str) -> tuple[Manifest, Manifest]:
    """Let somebody do something with the ConfigMaps of a namespace."""
    name = f"{namespace}-{who['name'].partition('@')[0]}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]
    return rbac("ClusterRole", name, rules=rules), bind("RoleBinding", name, name, who, namespace=namespace)


def kubeconfig(c: Running, email: str, groups: Sequence[str] = ()) -> Path:
    """What a user would have: the address of the ingress, and a session as the bearer token."""
    server = f"https://{HOST}:{c.settings.https_address.port}"
    token = f"Pomerium-{c.mint(HOST, email, groups=tuple(groups))}"
    path = c.settings.data_dir / f"{email}.kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "me", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
        "current-context": "test",
    }
    path.write_text(json.dumps(config))
    return path


async def whoami(control_plane: ControlPlane, config: Path) -> tuple[str, list[str]]:
    said = json.loads(await control_plane.kubectl("auth", "whoami", "--output=json", kubeconfig=config))
    user = said["status"]["userInfo"]
    return user["username"], user["groups"]


async def refusal(control_plane: ControlPlane, config: Path, *arguments: str) -> str:
    """What kubectl says when it fails."""
    try:
        await control_plane.kubectl(*arguments, kubeconfig=config)
    except RuntimeError as error:
        return str(error)
    raise AssertionError(arguments)


async def test_api_server_sees_the_user_and_each_group(control_plane: ControlPlane, c: Running) -> None:
    ann = kubeconfig(c, "Ann@example.com", ["devs", "on call", "Bücher", "a,b"])
    groups = ["devs", "on call", "Bücher", "a,b", "system:authenticated"]
    assert await whoami(control_plane, ann) == ("ann@example.com", groups)
    bob = kubeconfig(c, "bob@example.com")
    assert await whoami(control_plane, bob) == ("bob@example.com", ["system:authenticated"])


async def test_group_of_the_control_plane_is_not_impersonated(control_plane: ControlPlane, c: Running) -> None:
    root = kubeconfig(c, "root@example.com", ["system:masters", "devs"])
    assert await whoami(control_plane, root) == ("root@example.com", ["devs", "system:authenticated"])
    said = await refusal(control_plane, root, "get", "secrets", "--all-namespaces")
    assert 'User "root@example.com" cannot list resource "secrets"' in said


async def test_rights_are_those_of_the_user(control_plane: ControlPlane, c: Running, namespace: str) -> None:
    await control_plane.apply(
        *allow(namespace, subject("User", "ann@example.com"), "get", "create", "delete"),
        *allow(namespace, subject("Group", "devs"), "get"),
    )
    ann, bob = kubeconfig(c, "ann@example.com"), kubeconfig(c, "bob@example.com")
    dev = kubeconfig(c, "dev@example.com", ["devs"])
    here = ("configmap", "mine", "--namespace", namespace)
    await control_plane.kubectl("create", *here, kubeconfig=ann)
    assert "mine" in await control_plane.kubectl("get", *here, kubeconfig=dev)
    said = await refusal(control_plane, dev, "delete", *here)
    assert 'User "dev@example.com" cannot delete resource "configmaps"' in said
    assert 'User "bob@example.com" cannot get resource "configmaps"' in await refusal(control_plane, bob, "get", *here)
    assert "Forbidden" in await refusal(control_plane, ann, "get", "nodes")
    assert "Forbidden" in await refusal(
        control_plane, ann, "get", "nodes", "--as=system:admin", "--as-group=system:masters"
    )
    await control_plane.kubectl("delete", *here, kubeconfig=ann)


async def test_watch_goes_on_and_the_token_may_change(control_plane: ControlPlane, c: Running, namespace: str) -> None:
    await control_plane.apply(*allow(namespace, subject("User", "ann@example.com"), "get", "list", "watch"))
    ann = kubeconfig(c, "ann@example.com")
    awaited = ("wait", "--for=create", "configmap/late", "--timeout=60s", "--namespace", namespace)
    watching = asyncio.create_task(control_plane.kubectl(*awaited, kubeconfig=ann))
    token = await control_plane.kubectl("create", "token", ROBOT, "--namespace", namespace)
    manifests = (c.manifests / "all.yaml").read_text().split("\n---\n")
    manifests = [make_token(token.strip(), ROBOT) if '"Secret"' in each else each for each in manifests]
    await c.write("all.yaml", documents(*manifests))
    await control_plane.kubectl("create", "configmap", "late", "--namespace", namespace)
    assert "condition met" in await watching
    assert (await whoami(control_plane, ann))[0] == "ann@example.com"


async def test_without_a_session_kubectl_is_told_so(control_plane: ControlPlane, c: Running) -> None:
    config = kubeconfig(c, "ann@example.com")
    config.write_text(config.read_text().replace("Pomerium-", "Pomerium-x"))
    assert "must be logged in" in (await refusal(control_plane, config, "get", "pods")).lower()
