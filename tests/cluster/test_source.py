"""The source against a real API server: what it emits when, and what it survives."""

import asyncio
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from structlog.testing import capture_logs

from ingress_controller.kubernetes_api import KubernetesApi, connect
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import BY_NAME, KINDS
from ingress_controller.objects.views import Secret
from ingress_controller.sources.cluster import Cluster
from tests.envoy_process import eventually
from tests.real_servers import ControlPlane, Manifest
from tests.recorder import recording

SECRETS = [BY_NAME["v1", "Secret"]]
READ = ["list", "watch"]
NAMESPACED_RULES = [
    {"apiGroups": [""], "resources": ["services", "secrets"], "verbs": READ},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": READ},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
]
CLASS_RULES = [{"apiGroups": ["networking.k8s.io"], "resources": ["ingressclasses"], "verbs": READ}]


def make_secret(namespace: str, name: str, value: str = "x", **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": value}, **fields}


async def create_secrets(api: KubernetesApi, namespace: str, names: Iterator[str]) -> None:
    """Create Secrets faster than kubectl, which limits its own rate."""

    async def create() -> None:
        for name in names:
            await api.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body=make_secret(namespace, name))

    await asyncio.gather(*(create() for _ in range(16)))


async def delete_secrets(api: KubernetesApi, namespace: str) -> None:
    await api.request("DELETE", f"/api/v1/namespaces/{namespace}/secrets")


async def eventually_logged(logs: Sequence[MutableMapping[str, Any]], event: str) -> None:
    async def is_logged() -> bool:
        return any(line["event"] == event for line in logs)

    await eventually(is_logged, event)


async def test_a_long_list_is_one_synced_batch(api: KubernetesApi, namespace: str) -> None:
    names = [f"s-{n}" for n in range(1100)]
    await create_secrets(api, namespace, iter(names))
    async with recording(Cluster(api, SECRETS)) as recorder:
        await recorder.until_synced()
        assert len(recorder.batches) == 1
        assert recorder.batches[0].synced
        assert recorder.names("Secret", namespace) == set(names)
        await delete_secrets(api, namespace)
        await recorder.until(lambda: not recorder.names("Secret", namespace), "all deleted")
    assert not any(batch.synced for batch in recorder.batches[1:])
    assert len(recorder.batches) < 1100


async def test_changes_follow_the_first_state(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    ref = ObjectRef("Secret", namespace, "token")

    def value() -> bytes | None:
        found = recorder.objects.get(ref)
        return found.values["key"] if isinstance(found, Secret) else None

    async with recording(Cluster(api)) as recorder:
        await recorder.until_synced()
        assert ObjectRef("Namespace", "", namespace) in recorder.objects
        await control_plane.apply(make_secret(namespace, "token", "one"))
        await recorder.until(lambda: value() == b"one", "added")
        await control_plane.apply(make_secret(namespace, "token", "two"))
        await recorder.until(lambda: value() == b"two", "modified")
        await control_plane.kubectl("delete", "secret", "token", "--namespace", namespace)
        await recorder.until(lambda: ref not in recorder.objects, "deleted")


async def test_helm_releases_are_not_read(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    release = make_secret(namespace, "sh.helm.release.v1.web.v1", type="helm.sh/release.v1")
    await control_plane.apply(release, make_secret(namespace, "other"))
    async with recording(Cluster(api, SECRETS, [namespace])) as recorder:
        await recorder.until_synced()
        assert recorder.names("Secret", namespace) == {"other"}


async def test_an_api_server_that_comes_back(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    """Nothing is emitted while it is away; what changed meanwhile is; what did not is not repeated."""
    await control_plane.apply(*(make_secret(namespace, name) for name in ("stays", "goes", "changes")))
    with capture_logs() as logs:
        async with recording(Cluster(api, SECRETS, [namespace])) as recorder:
            await recorder.until_synced()
            control_plane.kill_api_server()
            control_plane.remove_unseen("secrets", namespace, "goes")
            await eventually_logged(logs, "request failed")
            assert len(recorder.batches) == 1
            await control_plane.start_api_server()
            await control_plane.apply(make_secret(namespace, "changes", "now"), make_secret(namespace, "new"))
            await recorder.until(
                lambda: (
                    recorder.names("Secret", namespace) == {"stays", "changes", "new"}
                    and any(change.ref.name == "changes" for batch in recorder.batches[1:] for change in batch.changes)
                ),
                "the new state",
            )
    later = [change.ref.name for batch in recorder.batches[1:] for change in batch.changes]
    assert sorted(later) == ["changes", "goes", "new"]


async def test_a_version_that_the_server_has_forgotten(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    await control_plane.apply(make_secret(namespace, "stays"), make_secret(namespace, "goes"))
    with capture_logs() as logs:
        async with recording(Cluster(api, SECRETS, [namespace])) as recorder:
            await recorder.until_synced()
            await create_secrets(api, "default", (f"{namespace}-{n}" for n in range(20)))
            control_plane.kill_api_server()
            control_plane.remove_unseen("secrets", namespace, "goes")
            control_plane.compact()
            await control_plane.start_api_server()
            await recorder.until(lambda: recorder.names("Secret", namespace) == {"stays"}, "the deletion")
    assert [change.ref.name for batch in recorder.batches[1:] for change in batch.changes] == ["goes"]
    assert any(line["event"] == "the server has forgotten the version; listing again" for line in logs)


async def test_roles_of_the_namespaces_suffice(control_plane: ControlPlane, namespace: str) -> None:
    other = await control_plane.make_namespace()
    kubeconfig = await control_plane.make_user(NAMESPACED_RULES, [namespace])
    await control_plane.apply(make_secret(namespace, "seen"), make_secret(other, "unseen"))
    with capture_logs() as logs:
        async with connect(kubeconfig) as api, recording(Cluster(api, KINDS, [namespace])) as recorder:
            await recorder.until_synced()
            assert set(recorder.objects) == {ObjectRef("Secret", namespace, "seen")}
            await control_plane.apply(make_secret(namespace, "later"))
            await recorder.until(lambda: len(recorder.objects) == 2, "the change")
    # Other tests may have brought kinds of this project's own, which are in no namespace either.
    own = {"policies", "ingressclassparameters"}
    missing = [line for line in logs if line["log_level"] == "warning" and line["resource"] not in own]
    assert [(line["verb"], line["resource"], line["scope"]) for line in missing] == [
        ("list", "ingressclasses", "the whole cluster")
    ]
    assert "going on" in missing[0]["event"]


async def test_classes_are_read_once_that_is_allowed(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = await control_plane.make_user(NAMESPACED_RULES, [namespace])
    spec = {"controller": f"example.com/{namespace}"}
    ingress_class = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": spec}
    await control_plane.apply({**ingress_class, "metadata": {"name": namespace}})
    async with connect(kubeconfig) as api, recording(Cluster(api, KINDS, [namespace])) as recorder:
        await recorder.until_synced()
        assert not recorder.objects
        user = kubeconfig.stem
        await control_plane.kubectl(
            "create", "clusterrole", f"classes-{user}", "--verb=list,watch", "--resource=ingressclasses"
        )
        await control_plane.kubectl(
            "create", "clusterrolebinding", user, f"--clusterrole=classes-{user}", f"--user={user}"
        )
        await recorder.until(lambda: ObjectRef("IngressClass", "", namespace) in recorder.objects, "the class")


async def test_services_of_another_namespace(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    other = await control_plane.make_namespace()
    await control_plane.kubectl("create", "service", "clusterip", "proxy", "--tcp=443", "--namespace", other)
    await control_plane.apply(make_secret(other, "unseen"))
    source = Cluster(api, namespaces=[namespace], service_namespaces=[other])
    async with recording(source) as recorder:
        await recorder.until_synced()
        assert recorder.names("Service", other) == {"proxy"}
        assert not recorder.names("Secret", other)


async def test_a_missing_permission_is_named_and_waited_for(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = await control_plane.make_user(CLASS_RULES)
    with capture_logs() as logs:
        async with connect(kubeconfig) as api, recording(Cluster(api, SECRETS, [namespace])) as recorder:
            await control_plane.apply(make_secret(namespace, "seen"))
            assert not recorder.batches
            user = kubeconfig.stem
            await control_plane.kubectl(
                "create", "role", user, "--verb=list,watch", "--resource=secrets", "-n", namespace
            )
            await control_plane.kubectl(
                "create", "rolebinding", user, f"--role={user}", f"--user={user}", "-n", namespace
            )
            await recorder.until_synced()
            assert recorder.names("Secret", namespace) == {"seen"}
    refused = next(line for line in logs if line["event"] == "missing permission")
    assert (refused["verb"], refused["resource"], refused["scope"]) == ("list", "secrets", f"namespace {namespace}")
    assert 'cannot list resource "secrets"' in refused["error"]


async def test_unknown_credentials_are_named(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = await control_plane.make_user(CLASS_RULES)
    kubeconfig.write_text(kubeconfig.read_text().replace('"token": "', '"token": "0'))
    with capture_logs() as logs:
        async with connect(kubeconfig) as api, recording(Cluster(api, SECRETS, [namespace])) as recorder:
            await eventually_logged(logs, "not authenticated")
            assert not recorder.batches


async def test_credentials_that_are_renewed(control_plane: ControlPlane, namespace: str) -> None:
    """A kubeconfig is read again when its token is refused, so that a rotated one is taken up."""
    kubeconfig = await control_plane.make_user(NAMESPACED_RULES, [namespace])
    good = kubeconfig.read_text()
    kubeconfig.write_text(good.replace('"token": "', '"token": "0'))
    async with connect(kubeconfig) as api:
        kubeconfig.write_text(good)
        async with recording(Cluster(api, SECRETS, [namespace])) as recorder:
            await recorder.until_synced()
