"""Events on a real API server, as kubectl shows them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from ingress_controller.kubernetes_api import KubernetesApi, connect
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.problem import Problem
from ingress_controller.objects.views import Ingress
from ingress_controller.report.events import EventReporter
from tests.cluster.ingresses import create_ingress
from tests.envoy_process import eventually
from tests.real_servers import ControlPlane

POLICY_MESSAGE = (
    "parsing ingress: annotations: applying policy annotations: parsing policy: invalid rules in policy: "
    'unsupported conditional "maybe", only and, or, not, nor and action are allowed'
)
RIGHTS = [{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["list", "create", "patch"]}]


def make_outcome(ingress: Ingress, fingerprint: str, *messages: str) -> Outcome:
    problems = (Problem(ingress.ref, "metadata.annotations", "invalid-policy", message) for message in messages)
    return Outcome(fingerprint, tuple(problems))


@asynccontextmanager
async def reporting(api: KubernetesApi, namespace: str) -> AsyncIterator[EventReporter]:
    reporter = EventReporter(api, "controller-0", [namespace])
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def list_events(api: KubernetesApi, namespace: str) -> Sequence[Any]:
    items: Sequence[Any] = json.loads(
        await api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    )["items"]
    return items


async def eventually_counted(api: KubernetesApi, namespace: str, *counts: int) -> Sequence[Any]:
    """Wait until the namespace's Events, in the order of their names, have been seen so many times each."""
    events: Sequence[Any] = ()

    async def is_so() -> bool:
        nonlocal events
        events = await list_events(api, namespace)
        return [(event.get("series") or {"count": 1})["count"] for event in events] == list(counts)

    await eventually(is_so, f"events seen {counts} times")
    return events


async def describe(control_plane: ControlPlane, namespace: str) -> list[str]:
    """The lines of the table of Events."""
    text = await control_plane.kubectl("describe", "ingress", "web", "--namespace", namespace)
    return text[text.index("Events:") :].splitlines()[3:]


async def test_kubectl_shows_what_happened(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    ingress = await create_ingress(api, namespace)
    async with reporting(api, namespace) as reporter:
        reporter.observe(ingress, make_outcome(ingress, "1"))
        await eventually_counted(api, namespace, 1)
        reporter.observe(ingress, make_outcome(ingress, "2", POLICY_MESSAGE, "a second mistake", POLICY_MESSAGE))
        await eventually_counted(api, namespace, 1, 1, 1)
    updated, policy, second = await describe(control_plane, namespace)
    assert re.fullmatch(r"  Normal +Updated +\d+s +pomerium-ingress +updated pomerium configuration", updated)
    expected = rf"  Warning +UpdateError +\d+s +pomerium-ingress +upsert routes: {re.escape(POLICY_MESSAGE)}"
    assert re.fullmatch(expected, policy)
    assert second.endswith("pomerium-ingress  upsert routes: a second mistake")


async def test_equal_announcements_are_counted(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    ingress = await create_ingress(api, namespace)
    async with reporting(api, namespace) as reporter:
        reporter.observe(ingress, make_outcome(ingress, "1"))
        await eventually_counted(api, namespace, 1)
        for fingerprint in ("1", "2", "2", "3"):
            reporter.observe(ingress, make_outcome(ingress, fingerprint))
        await eventually_counted(api, namespace, 3)
        reporter.observe(ingress, make_outcome(ingress, "4"))
        (event,) = await eventually_counted(api, namespace, 4)
    assert event["eventTime"] < event["series"]["lastObservedTime"]
    (line,) = await describe(control_plane, namespace)
    shown = r"  Normal +Updated +\d+s \(x4 over \d+s\) +pomerium-ingress +updated pomerium configuration"
    assert re.fullmatch(shown, line)


async def test_the_event_says_what_it_regards(api: KubernetesApi, namespace: str) -> None:
    ingress = await create_ingress(api, namespace)
    async with reporting(api, namespace) as reporter:
        reporter.observe(ingress, make_outcome(ingress, "1", "ä" * 2000))
        (event,) = await eventually_counted(api, namespace, 1)
    assert event["regarding"] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "namespace": namespace,
        "name": "web",
        "uid": ingress.metadata.uid,
        "resourceVersion": ingress.metadata.resource_version,
    }
    assert (event["reportingController"], event["reportingInstance"]) == ("pomerium-ingress", "controller-0")
    assert event["note"].startswith("upsert routes: ää")
    assert event["note"].endswith("ä…")
    assert 1020 < len(event["note"].encode()) <= 1024


async def test_a_restart_repeats_nothing(api: KubernetesApi, namespace: str) -> None:
    good, bad = await create_ingress(api, namespace, "good"), await create_ingress(api, namespace, "bad")
    outcomes = {good: make_outcome(good, "1"), bad: make_outcome(bad, "2", "one mistake", "another")}
    async with reporting(api, namespace) as reporter:
        for ingress, outcome in outcomes.items():
            reporter.observe(ingress, outcome)
        await eventually_counted(api, namespace, 1, 1, 1)
    async with reporting(api, namespace) as reporter:
        for ingress, outcome in outcomes.items():
            reporter.observe(ingress, outcome)
        # The Ingress that did change is announced, as the second of a series; it would come after any repetition.
        reporter.observe(good, make_outcome(good, "3"))
        events = await eventually_counted(api, namespace, 1, 1, 2)
    assert [event["regarding"]["name"] for event in events] == ["bad", "bad", "good"]


async def test_a_recreated_ingress_is_announced_anew(api: KubernetesApi, namespace: str) -> None:
    ingress = await create_ingress(api, namespace)
    async with reporting(api, namespace) as reporter:
        reporter.observe(ingress, make_outcome(ingress, "1"))
        await eventually_counted(api, namespace, 1)
        await api.request("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/web")
        again = await create_ingress(api, namespace)
        reporter.observe(again, make_outcome(again, "1"))
        first, second = await eventually_counted(api, namespace, 1, 1)
    assert (first["regarding"]["uid"], second["regarding"]["uid"]) == (ingress.metadata.uid, again.metadata.uid)


async def test_an_expired_event_is_written_anew(api: KubernetesApi, namespace: str) -> None:
    ingress = await create_ingress(api, namespace)
    async with reporting(api, namespace) as reporter:
        reporter.observe(ingress, make_outcome(ingress, "1"))
        (old,) = await eventually_counted(api, namespace, 1)
        await api.request("DELETE", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/{old['metadata']['name']}")
        reporter.observe(ingress, make_outcome(ingress, "2"))
        (new,) = await eventually_counted(api, namespace, 1)
    assert new["metadata"]["name"] > old["metadata"]["name"]


async def test_what_cannot_be_written_is_logged_and_dropped(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    other = await control_plane.make_namespace()
    allowed, refused = await create_ingress(api, namespace), await create_ingress(api, other)
    homeless = Ingress(metadata=type(allowed.metadata)(name="web", namespace=f"{namespace}-gone", uid="u"))
    kubeconfig = await control_plane.make_user(RIGHTS, [namespace])
    with capture_logs() as logs:
        async with connect(kubeconfig) as limited, reporting(limited, namespace) as reporter:
            for ingress in (refused, homeless, allowed):
                reporter.observe(ingress, make_outcome(ingress, "1"))
            await eventually_counted(api, namespace, 1)

            async def is_logged() -> bool:
                return [line["event"] for line in logs].count("cannot write event") == 2

            await eventually(is_logged, "both refusals logged")
    texts = [line["announcement"] for line in logs if line["event"] == "cannot write event"]
    assert sorted(texts) == sorted(
        f"Normal Updated {it.ref}: updated pomerium configuration" for it in (refused, homeless)
    )


async def test_an_outage_is_waited_out(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    ingress = await create_ingress(api, namespace)
    async with reporting(api, namespace) as reporter:
        reporter.observe(ingress, make_outcome(ingress, "1"))
        await eventually_counted(api, namespace, 1)
        control_plane.kill_api_server()
        reporter.observe(ingress, make_outcome(ingress, "2", "a mistake"))
        reporter.observe(ingress, make_outcome(ingress, "3", "a mistake"))
        await control_plane.start_api_server()
        await eventually_counted(api, namespace, 1, 2)


async def test_a_thousand_at_start(api: KubernetesApi, namespace: str) -> None:
    """None of them is lost, and the loop is free all the while."""
    template = await create_ingress(api, namespace)
    metadata = template.metadata
    ingresses = [
        Ingress(metadata=type(metadata)(name=f"web-{n}", namespace=namespace, uid=f"uid-{n}")) for n in range(1000)
    ]
    async with reporting(api, namespace) as reporter:
        for ingress in ingresses:
            reporter.observe(ingress, make_outcome(ingress, "1"))
        await eventually_counted(api, namespace, *[1] * 1000)
