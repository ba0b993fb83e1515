"""The status of Ingresses on a real API server."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ingress_controller.kubernetes_api import KubernetesApi, connect
from ingress_controller.report.status import StatusReporter
from tests.cluster.ingresses import create_ingress, read_ingress, read_service
from tests.envoy_process import eventually
from tests.real_servers import ControlPlane

RIGHTS = [{"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["patch"]}]
ADDRESSES = [
    {"ip": "192.0.2.7", "ipMode": "VIP", "ports": [{"port": 443, "protocol": "TCP"}]},
    {"hostname": "lb.example.com"},
]


@asynccontextmanager
async def reporting(api: KubernetesApi) -> AsyncIterator[StatusReporter]:
    reporter = StatusReporter(api)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def make_service(control_plane: ControlPlane, namespace: str, addresses: Sequence[Any]) -> None:
    if "service/proxy" not in await control_plane.kubectl("get", "service", "-o", "name", "-n", namespace):
        await control_plane.kubectl("create", "service", "loadbalancer", "proxy", "--tcp=443", "-n", namespace)
    patch = json.dumps({"status": {"loadBalancer": {"ingress": addresses}}})
    await control_plane.kubectl(
        "patch", "service", "proxy", "-n", namespace, "--subresource=status", "--type=merge", "--patch", patch
    )


async def eventually_shown(control_plane: ControlPlane, namespace: str, addresses: str, name: str = "web") -> None:
    async def is_shown() -> bool:
        output = await control_plane.kubectl("get", "ingress", name, "-n", namespace, "--no-headers")
        return output.split()[3] == addresses

    await eventually(is_shown, f"kubectl shows {addresses}")


async def test_addresses_are_copied_and_taken_back(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    await create_ingress(api, namespace)
    await make_service(control_plane, namespace, ADDRESSES)
    kubeconfig = await control_plane.make_user(RIGHTS, [namespace])
    async with connect(kubeconfig) as limited, reporting(limited) as reporter:
        reporter.observe(await read_ingress(api, namespace, "web"))
        reporter.publish(await read_service(api, namespace, "proxy"))
        await eventually_shown(control_plane, namespace, "192.0.2.7,lb.example.com")
        shown = await read_ingress(api, namespace, "web")
        assert [port.port for port in shown.status.load_balancer.ingress[0].ports] == [443]  # type: ignore[index]
        reporter.observe(shown)
        await make_service(control_plane, namespace, [{"ip": "192.0.2.8"}])
        reporter.publish(await read_service(api, namespace, "proxy"))
        await eventually_shown(control_plane, namespace, "192.0.2.8")
        reporter.observe(await read_ingress(api, namespace, "web"))
        reporter.publish(None)
        await eventually_shown(control_plane, namespace, "80")


async def test_what_is_right_is_not_written_again(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    await create_ingress(api, namespace, "same")
    await create_ingress(api, namespace, "web")
    await make_service(control_plane, namespace, ADDRESSES)
    service = await read_service(api, namespace, "proxy")
    async with reporting(api) as reporter:
        reporter.publish(service)
        reporter.observe(await read_ingress(api, namespace, "same"))
        await eventually_shown(control_plane, namespace, "192.0.2.7,lb.example.com", "same")
    before = await read_ingress(api, namespace, "same")
    async with reporting(api) as reporter:
        reporter.observe(before)
        reporter.publish(service)
        reporter.observe(await read_ingress(api, namespace, "web"))
        await eventually_shown(control_plane, namespace, "192.0.2.7,lb.example.com", "web")
    assert await read_ingress(api, namespace, "same") == before


async def test_an_ingress_that_is_no_longer_ours(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    await create_ingress(api, namespace, "web")
    await create_ingress(api, namespace, "foreign")
    await make_service(control_plane, namespace, ADDRESSES)
    async with reporting(api) as reporter:
        reporter.publish(await read_service(api, namespace, "proxy"))
        for name in ("web", "foreign"):
            reporter.observe(await read_ingress(api, namespace, name))
            await eventually_shown(control_plane, namespace, "192.0.2.7,lb.example.com", name)
        patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}})
        await control_plane.kubectl(
            "patch", "ingress", "foreign", "-n", namespace, "--subresource=status", "--type=merge", "--patch", patch
        )
        reporter.release(await read_ingress(api, namespace, "foreign"))
        reporter.release(await read_ingress(api, namespace, "web"))
        await eventually_shown(control_plane, namespace, "80", "web")
    await eventually_shown(control_plane, namespace, "198.51.100.1", "foreign")
