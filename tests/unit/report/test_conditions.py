"""The condition Accepted: what it says, and when it is written; with a fake API server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from ingress_controller.kubernetes_api import KubernetesApi
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.problem import Problem
from ingress_controller.objects.views import Ingress, Metadata, SharedPolicy
from ingress_controller.report.conditions import ConditionReporter
from tests.envoy_process import eventually
from tests.fake_api_server import FakeApiServer, plain, refusal

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = Outcome("1")
OTHER = {"type": "Other", "status": "True", "reason": "x", "message": "y", "lastTransitionTime": "2025-01-01T00:00:00Z"}


def make_policy(*conditions: Any, generation: int = 1) -> SharedPolicy:
    metadata = {"name": "office", "namespace": "app", "generation": generation}
    raw = {"metadata": metadata, "spec": {"rules": []}, "status": {"conditions": conditions}}
    return msgspec.convert(raw, SharedPolicy)


def make_bad(message: str) -> Outcome:
    return Outcome("1", (Problem(make_policy().ref, "spec", "invalid-policy", message),))


@asynccontextmanager
async def reporting(api: KubernetesApi) -> AsyncIterator[ConditionReporter]:
    reporter = ConditionReporter(api, now=lambda: NOW)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.wait([task])


async def written(server: FakeApiServer, count: int) -> list[Any]:
    """The conditions of each write so far, of which there are to be so many."""

    async def are_there() -> bool:
        return len(server.bodies) >= count

    await eventually(are_there, f"{count} writes")
    assert len(server.bodies) == count
    return [body["status"]["conditions"] for _, body in server.bodies]


async def test_it_is_written_when_it_changes_and_keeps_what_others_say() -> None:
    server = FakeApiServer(*[plain(b"{}")] * 4)
    async with server.client() as api, reporting(api) as reporter:
        reporter.observe(make_policy(OTHER), GOOD)
        ((other, first),) = await written(server, 1)
        assert other == {**OTHER, "observedGeneration": 0}
        assert first == {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "the rules can be used",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
        earlier = {**first, "lastTransitionTime": "2025-06-01T00:00:00Z"}
        reporter.observe(make_policy(earlier), GOOD)
        reporter.observe(make_policy(earlier, generation=2), GOOD)
        assert (await written(server, 2))[1] == [{**earlier, "observedGeneration": 2}]
        reporter.observe(make_policy(earlier), make_bad("parsing policy: wrong"))
        (bad,) = (await written(server, 3))[2]
        assert (bad["status"], bad["reason"]) == ("False", "InvalidPolicy")
        assert bad["message"] == "upsert routes: parsing policy: wrong"
        assert bad["lastTransitionTime"] == first["lastTransitionTime"]


async def test_an_outage_is_waited_out_and_what_is_gone_is_left_alone() -> None:
    server = FakeApiServer(refusal(503), plain(b"{}"), refusal(404), plain(b"{}"))
    async with server.client() as api, reporting(api) as reporter:
        reporter.observe(make_policy(), GOOD)
        await written(server, 2)
        reporter.observe(make_policy(), make_bad("gone meanwhile"))
        await written(server, 3)
        reporter.observe(make_policy(), make_bad("another"))
        reporter.forget(make_policy().ref)
        reporter.observe(Ingress(metadata=Metadata(name="web", namespace="app")), GOOD)
        reporter.observe(make_policy(), GOOD)
        assert (await written(server, 4))[3][0]["status"] == "True"
