"""Two controllers of one cluster, with the same keys, give Envoy the same resources, byte for byte."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ingress_controller.app import Controller
from ingress_controller.envoy.encoder import SCOPE, TYPES
from ingress_controller.kubernetes_api import KubernetesApi, connect
from ingress_controller.report.log import LogReporter
from ingress_controller.settings import Settings, make_data_directory
from ingress_controller.sources.cluster import Cluster
from tests.cluster.objects import annotate, apply, make_ingress, make_slice, make_web
from tests.envoy_process import DEADLINE, eventually, short_directory
from tests.manifests import make_certificate, make_secret
from tests.network_namespace import pod_address
from tests.real_servers import ControlPlane

Content = Mapping[tuple[str, str], tuple[str, bytes]]
"""Version and bytes of each resource, by type and name."""


@asynccontextmanager
async def replica(kubeconfig: Path, data_dir: Path) -> AsyncIterator[Controller]:
    """A controller without an Envoy, once it has seen everything."""
    make_data_directory(data_dir)
    controller = Controller(Settings(kubeconfig=kubeconfig, data_dir=data_dir), LogReporter())
    async with connect(kubeconfig) as api, asyncio.TaskGroup() as group:
        parts = (controller.pipeline.run(), Cluster(api).run(controller.pipeline.offer))
        tasks = [group.create_task(part) for part in parts]
        async with asyncio.timeout(DEADLINE):
            await controller.pipeline.complete()
        yield controller
        for task in tasks:
            task.cancel()


def content(controller: Controller) -> Content:
    return {
        (kind.url, name): (resource.version, b"".join(resource.parts))
        for kind in TYPES
        for name, resource in controller.cache.resources(kind.url).items()
    }


async def change_everything(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    """A history that the newer replica does not see: only its end."""
    hosts = [f"{name}.{namespace}.example.com" for name in ("b", "a", "gone", "*")]
    certificate, key = make_certificate(hosts[0])
    pods = [pod_address() for _ in range(3)]
    named = zip(("first", "second", "gone", "wild"), hosts, strict=True)
    await apply(control_plane, *(make_ingress(namespace, name, host, tls={"tls": [host]}) for name, host in named))
    await apply(control_plane, make_ingress(namespace, "rival", hosts[0], paths=(("/", "Prefix", "other:80"),)))
    await apply(control_plane, make_web(namespace, pods[0]), make_web(namespace, pods[1], "other"))
    await apply(control_plane, make_secret("tls", certificate, key, namespace))
    await apply(control_plane, make_slice(namespace, list(reversed(pods))))
    await annotate(api, namespace, "second", timeout="9s", set_request_headers='{"b": "1", "a": "2"}')
    await annotate(
        api, namespace, "first", allow_public_unauthenticated_access=None, allowed_users='["a@b.c", "d@e.f"]'
    )
    await control_plane.kubectl("delete", "ingress", "gone", "-n", namespace)


async def test_replicas_agree_whatever_they_have_seen(
    control_plane: ControlPlane, api: KubernetesApi, rights: Path, namespace: str
) -> None:
    with short_directory() as home:
        async with replica(rights, home / "one") as older:
            await change_everything(control_plane, api, namespace)
            shutil.copytree(home / "one", home / "two")
            async with replica(rights, home / "two") as newer:
                await apply(control_plane, make_ingress(namespace, "last", f"last.{namespace}.example.com"))
                last = f"last.{namespace}.example.com"

                async def agree() -> bool:
                    names = [name for kind, name in content(older) if kind == SCOPE]
                    return any(last in name for name in names) and content(older) == content(newer)

                await eventually(agree, "both replicas have the same resources")
                assert any(f"a.{namespace}" in name for _, name in content(older))
                assert not any(f"gone.{namespace}" in name for _, name in content(older))
