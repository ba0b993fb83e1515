"""What the controller writes to the API server: Events and the status of Ingresses."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ingress_controller.kubernetes_api import KubernetesApi
from tests.cluster.ingresses import INGRESS
from tests.cluster.objects import (
    STATUS_SERVICE,
    annotate,
    apply,
    eventually_shown,
    make_ingress,
    make_web,
    patch_ingress,
    show_addresses,
)
from tests.cluster.program import Program, pod
from tests.envoy_process import eventually
from tests.real_servers import ControlPlane

UPDATED = ("Updated", "updated pomerium configuration")

Said = tuple[str, str, int]
"""Reason, note and count of an Event."""


async def events(api: KubernetesApi, namespace: str, ingress: str) -> Sequence[Said]:
    """The Events about an Ingress, oldest first."""
    items = json.loads(await api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"))["items"]
    of_it = (item for item in items if item["regarding"]["name"] == ingress)
    return [(item["reason"], item["note"], (item.get("series") or {"count": 1})["count"]) for item in of_it]


async def eventually_said(api: KubernetesApi, namespace: str, ingress: str, *wanted: Said) -> None:
    """Wait until an Ingress has just these Events."""
    found: Sequence[Said] = ()

    async def is_said() -> bool:
        nonlocal found
        found = await events(api, namespace, ingress)
        return list(found) == list(wanted)

    try:
        await eventually(is_said, f"{ingress} has the Events {wanted}")
    except TimeoutError as error:
        error.add_note(f"it has {found}")
        raise


async def read_raw(api: KubernetesApi, namespace: str, name: str) -> Any:
    """An Ingress without what every write changes."""
    ingress = json.loads(await api.request("GET", f"{INGRESS.path(namespace)}/{name}"))
    for field in ("resourceVersion", "managedFields"):
        del ingress["metadata"][field]
    return ingress


async def test_addresses_follow_those_of_the_service(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    await show_addresses(control_plane, STATUS_SERVICE)
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host))
        await program.until_status(200, host)
        await eventually_shown(api, namespace, "web")
        before = await read_raw(api, namespace, "web")
        await show_addresses(control_plane, STATUS_SERVICE, "192.0.2.7", "192.0.2.8")
        await eventually_shown(api, namespace, "web", "192.0.2.7", "192.0.2.8")
        line = await control_plane.kubectl("get", "ingress", "web", "-n", namespace, "--no-headers")
        assert line.split()[:5] == ["web", "pomerium", host, "192.0.2.7,192.0.2.8", "80"]
        await show_addresses(control_plane, STATUS_SERVICE, "192.0.2.9")
        await eventually_shown(api, namespace, "web", "192.0.2.9")
        after = await read_raw(api, namespace, "web")
        addresses = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
        assert after == before | {"status": addresses}
        # What somebody else writes over it is put right again.
        patch = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}}
        await api.request("PATCH", f"{INGRESS.path(namespace)}/web/status", body=patch)
        await eventually_shown(api, namespace, "web", "192.0.2.9")
        await control_plane.kubectl("delete", "service", "proxy", "-n", "pomerium")
        await eventually_shown(api, namespace, "web")


async def test_an_event_for_each_change(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await apply(control_plane, make_ingress(namespace, "web", host))
        await eventually_said(api, namespace, "web", (*UPDATED, 1))
        # What changes nothing that is served is no change.
        await patch_ingress(api, namespace, "web", metadata={"labels": {"a": "b"}, "annotations": {"c": "d"}})
        await annotate(api, namespace, "web", timeout="7s")
        await eventually_said(api, namespace, "web", (*UPDATED, 2))
        await annotate(api, namespace, "web", timeout="soon", prefix_rewrite="x")
        await program.until_status(503, host)

        async def all_are_said() -> bool:
            return len(await events(api, namespace, "web")) == 3

        await eventually(all_are_said, "an Event for each mistake")
        _, *mistakes = await events(api, namespace, "web")
        assert {(reason, count) for reason, _, count in mistakes} == {("UpdateError", 1)}
        assert ["timeout" in note for _, note, _ in mistakes] != ["prefix_rewrite" in note for _, note, _ in mistakes]


async def test_a_burst_of_changes_is_one_event_with_a_count(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await apply(control_plane, make_ingress(namespace, "web", host))
        await program.until_status(200, host)
        await asyncio.gather(*(annotate(api, namespace, "web", timeout=f"{n}s") for n in range(1, 40)))
        await annotate(api, namespace, "web", set_request_headers='{"a": "last"}')

        async def is_last() -> bool:
            return (await program.get(host)).echo.values("a") == ["last"]

        await eventually(is_last, "the last change is served")
        await annotate(api, namespace, "web", timeout="never")
        await program.until_status(503, host)

        async def is_over() -> bool:
            return len(await events(api, namespace, "web")) == 2

        try:
            await eventually(is_over, "the Event after the burst")
        except TimeoutError as error:
            error.add_note(f"it has {await events(api, namespace, 'web')}")
            raise
    (reason, note, count), _ = await events(api, namespace, "web")
    assert (reason, note) == UPDATED
    assert 2 <= count <= 41


async def test_nothing_is_said_again_after_a_restart(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    names = ("good", "bad", "web")
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await apply(
            control_plane, *(make_ingress(namespace, name, f"{name}.{namespace}.example.com") for name in names)
        )
        for name in names:
            await eventually_said(api, namespace, name, (*UPDATED, 1))
        await annotate(api, namespace, "bad", timeout="soon")
        await program.until_status(503, f"bad.{namespace}.example.com")
        await asyncio.to_thread(program.stop)
        program.start()
        await program.ready()
        # What does change is announced; it would come after any repetition.
        for count, seconds in ((2, "7s"), (3, "8s")):
            await annotate(api, namespace, "web", timeout=seconds)
            await eventually_said(api, namespace, "web", (*UPDATED, count))
    assert list(await events(api, namespace, "good")) == [(*UPDATED, 1)]
    updated, (reason, _, count) = await events(api, namespace, "bad")
    assert (updated, reason, count) == ((*UPDATED, 1), "UpdateError", 1)


async def test_two_claims_of_one_path(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    """The older Ingress has it, whatever their names; the other is told which, and takes over."""
    host, other = f"{namespace}.example.com", await control_plane.make_namespace()
    async with pod("old") as old, pod("new") as new:
        await apply(control_plane, make_web(namespace, old), make_web(other, new))
        await apply(control_plane, make_ingress(namespace, "zebra", host))
        await program.until_status(200, host)
        created = (await read_raw(api, namespace, "zebra"))["metadata"]["creationTimestamp"]

        async def is_later() -> bool:
            return datetime.now(UTC) - datetime.fromisoformat(created) >= timedelta(seconds=1)

        await eventually(is_later, "creation times differ")
        await apply(control_plane, make_ingress(other, "ant", host))
        conflict = (
            f"upsert routes: parsing ingress: spec.rules: Prefix / of host {host} is served for "
            f"Ingress {namespace}/zebra, which claimed it first"
        )
        await eventually_said(api, other, "ant", ("UpdateError", conflict, 1))
        assert (await program.get(host)).echo.upstream == "old"
        await eventually_said(api, namespace, "zebra", (*UPDATED, 1))
        await control_plane.kubectl("delete", "ingress", "zebra", "-n", namespace)
        await eventually_said(api, other, "ant", ("UpdateError", conflict, 1), (*UPDATED, 1))
        assert (await program.get(host)).echo.upstream == "new"
