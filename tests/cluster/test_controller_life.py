"""Objects that come, change and go, in any order, under a running controller."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from functools import partial

from ingress_controller.kubernetes_api import KubernetesApi
from tests.cluster.ingresses import INGRESS, SERVICE
from tests.cluster.objects import apply, make_ingress, make_slice, make_web
from tests.cluster.program import Program, pod
from tests.envoy_process import eventually
from tests.hammer import Status, hammering
from tests.manifests import make_certificate, make_secret
from tests.real_servers import ControlPlane

MANY = 300


def host_of(namespace: str) -> str:
    return f"{namespace}.example.com"


async def ask(program: Program, host: str) -> Status:
    return (await program.get(host)).status


async def test_a_service_that_comes_later(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    await apply(control_plane, make_ingress(namespace, "web", host_of(namespace)))
    assert "service-not-found" in (await program.until_status(503, host_of(namespace))).text
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await program.until_status(200, host_of(namespace))
        await control_plane.kubectl("delete", "service", "web", "-n", namespace)
        await program.until_status(503, host_of(namespace))
        await apply(control_plane, make_web(namespace, address))
        await program.until_status(200, host_of(namespace))


async def test_endpoints_scaled_to_zero_and_back(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    host = host_of(namespace)

    async def is_said() -> bool:
        described = await control_plane.kubectl("describe", "ingress", "web", "-n", namespace)
        return f"Service {namespace}/web has no ready endpoint" in described

    async with pod() as address:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host))
        await program.until_status(200, host)
        await apply(control_plane, make_slice(namespace, []))
        await program.until_status(503, host)
        await eventually(is_said, "an Event says what is missing")
        await apply(control_plane, make_slice(namespace, [address]))
        await program.until_status(200, host)


async def test_pods_that_are_replaced_under_load(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    host = host_of(namespace)

    async def is_answered_by(name: str) -> bool:
        return (await program.get(host)).echo.upstream == name

    async with pod("old") as old, pod("new") as new:
        await apply(control_plane, make_web(namespace, old), make_ingress(namespace, "web", host))
        await program.until_status(200, host)
        async with hammering(partial(ask, program, host)) as hammer:
            await apply(control_plane, make_slice(namespace, [old, new]))
            await eventually(partial(is_answered_by, "new"), "the new pod answers")
            await apply(control_plane, make_slice(namespace, [new]))
            await eventually(partial(is_answered_by, "new"), "the new pod answers")
            await hammer.more(20)
    assert set(hammer.statuses) == {200}


async def test_a_certificate_that_comes_later_and_goes(
    control_plane: ControlPlane, namespace: str, program: Program
) -> None:
    """Until then new connections are shown the bootstrap certificate. Nothing but the certificate is sent to Envoy."""
    host = host_of(namespace)
    (first, second), known = (make_certificate(host) for _ in range(2)), ssl.PEM_cert_to_DER_cert

    async def shows(certificate: bytes) -> bool:
        return await program.certificate(host) == certificate

    async with pod() as address:
        ingress = make_ingress(namespace, "web", host, tls={"web-tls": [host]})
        await apply(control_plane, make_web(namespace, address), ingress)
        await program.until_status(200, host)
        bootstrap = await program.certificate(host)
        async with program.connect(host) as connection:
            before = await program.sent()
            for certificate, key in (first, second):
                await apply(control_plane, make_secret("web-tls", certificate, key, namespace))
                await eventually(partial(shows, known(certificate.decode())), "the certificate is shown")
            # The endpoints are the last to change: what came before has been sent by then.
            await apply(control_plane, make_slice(namespace, []))
            await program.until_status(503, host)
            after = await program.sent()
            assert {kind: after[kind] - count for kind, count in before.items() if after[kind] != count} == {
                "Secret": 2,
                "ClusterLoadAssignment": 1,
            }
            assert (await connection.get(host)).status == 503
            assert connection.certificate == bootstrap
        await control_plane.kubectl("delete", "secret", "web-tls", "-n", namespace)
        await eventually(partial(shows, bootstrap), "the bootstrap certificate is shown again")


async def test_an_ingress_that_is_deleted(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    """On a connection that lives on there is no such host; a new one is refused."""
    host, other = host_of(namespace), f"other.{host_of(namespace)}"
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await apply(control_plane, make_ingress(namespace, "web", host), make_ingress(namespace, "other", other))
        await program.until_status(200, host)
        async with program.connect(host) as connection:
            assert (await connection.get(host)).status == 200
            await control_plane.kubectl("delete", "ingress", "web", "-n", namespace)
            await program.until_refused(host)
            assert (await connection.get(host)).status == 404
            await program.until_status(200, other)
            assert (await connection.get(other)).status == 200


async def test_hundreds_of_ingresses_that_come_and_go_at_once(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    hosts = [f"h{number}.{host_of(namespace)}" for number in range(MANY)]

    async def create(drafts: Iterator[str]) -> None:
        for draft in drafts:
            await api.request("POST", INGRESS.path(namespace), body=json.loads(draft))

    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        drafts = (make_ingress(namespace, host.partition(".")[0], host) for host in hosts)
        await asyncio.gather(*(create(drafts) for _ in range(16)))
        for host in hosts:
            await program.until_status(200, host)
        # As when their namespace is deleted.
        for kind in (INGRESS, SERVICE):
            await api.request("DELETE", kind.path(namespace))
        for host in hosts:
            await program.until_refused(host)
