"""What reporters do with refusals that a real API server cannot be made to give, from a fake one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

from ingress_controller.kubernetes_api import KubernetesApi
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.problem import Problem
from ingress_controller.objects.views import Ingress, Metadata
from ingress_controller.report.events import EventReporter
from ingress_controller.report.work import write
from tests.envoy_process import eventually
from tests.fake_api_server import Answer, FakeApiServer, page, plain, refusal

INGRESS = Ingress(metadata=Metadata(name="web", namespace="app", uid="1"))
DONE = plain(b"{}")


def make_outcome(fingerprint: str, *messages: str) -> Outcome:
    return Outcome(fingerprint, tuple(Problem(INGRESS.ref, "", "invalid-policy", message) for message in messages))


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@asynccontextmanager
async def reporting(api: KubernetesApi, clock: Clock, patience: float = 1.0) -> AsyncIterator[EventReporter]:
    reporter = EventReporter(api, "test", now=clock, patience=patience)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.wait([task])


async def eventually_asked(server: FakeApiServer, *methods: str) -> None:
    async def is_so() -> bool:
        return [method for method, _ in server.bodies] == list(methods)

    await eventually(is_so, f"{methods}, not {[method for method, _ in server.bodies]}")


async def test_a_write_waits_as_it_is_told_and_goes_on() -> None:
    script: list[Answer] = [refusal(429, headers={"Retry-After": "1"}), refusal(503), refusal(409, "Conflict"), DONE]
    server = FakeApiServer(*script)
    async with server.client() as api:
        began = monotonic()
        await write(api, "PATCH", "/path", {"a": 1})
        assert monotonic() - began >= 1
    assert server.bodies == [("PATCH", {"a": 1})] * 4


async def test_an_event_that_arrived_though_its_answer_did_not() -> None:
    server = FakeApiServer(page([], "1"), refusal(500), refusal(409, "AlreadyExists"), DONE)
    clock = Clock()
    async with server.client() as api, reporting(api, clock) as reporter:
        reporter.observe(INGRESS, make_outcome("1"))
        await eventually_asked(server, "GET", "POST", "POST")
        clock.time += timedelta(minutes=5)
        reporter.observe(INGRESS, make_outcome("2"))
        await eventually_asked(server, "GET", "POST", "POST", "PATCH")
    assert server.bodies[1] == server.bodies[2]
    assert server.bodies[3][1]["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:05:00.000000Z"}


def make_absence(fingerprint: str) -> Outcome:
    return Outcome(fingerprint, (Problem(INGRESS.ref, "", "service-not-found", "Service app/web not found"),))


async def test_what_appears_soon_was_never_missing() -> None:
    server = FakeApiServer(page([], "1"), DONE, DONE)
    async with server.client() as api, reporting(api, Clock(), patience=60) as reporter:
        reporter.observe(INGRESS, make_absence("1"))
        reporter.observe(INGRESS, make_outcome("2"))
        await eventually_asked(server, "GET", "POST")
    assert server.bodies[1][1]["reason"] == "Updated"


async def test_what_stays_away_is_announced() -> None:
    server = FakeApiServer(page([], "1"), DONE, DONE)
    async with server.client() as api, reporting(api, Clock(), patience=0.01) as reporter:
        reporter.observe(INGRESS, make_absence("1"))
        await eventually_asked(server, "GET", "POST")
    assert server.bodies[1][1]["note"] == "upsert routes: Service app/web not found"


async def test_a_series_ends_after_six_minutes() -> None:
    server = FakeApiServer(page([], "1"), DONE, DONE)
    clock = Clock()
    async with server.client() as api, reporting(api, clock) as reporter:
        reporter.observe(INGRESS, make_outcome("1"))
        await eventually_asked(server, "GET", "POST")
        clock.time += timedelta(minutes=7)
        reporter.observe(INGRESS, make_outcome("2"))
        await eventually_asked(server, "GET", "POST", "POST")
    assert "series" not in server.bodies[2][1]


async def test_an_ingress_of_ten_thousand_mistakes() -> None:
    """The first of them are announced; the clock standing still, all have names of their own, in order."""
    server = FakeApiServer(page([], "1"), *[DONE] * 20)
    async with server.client() as api, reporting(api, Clock()) as reporter:
        reporter.observe(INGRESS, make_outcome("1", *(f"mistake {n}" for n in range(10_000))))
        await eventually_asked(server, "GET", *["POST"] * 16)
    names = [body["metadata"]["name"] for _, body in server.bodies[1:]]
    assert names == sorted(set(names))
    assert [body["note"] for _, body in server.bodies[1:]] == [f"upsert routes: mistake {n}" for n in range(16)]


async def test_what_waits_for_an_ingress_that_has_gone_is_dropped() -> None:
    server = FakeApiServer(page([], "1"), DONE)
    other = Ingress(metadata=Metadata(name="other", namespace="app", uid="2"))
    async with server.client() as api:
        reporter = EventReporter(api, "test", now=Clock())
        for ingress in (INGRESS, other):
            reporter.observe(ingress, make_outcome("1"))
        reporter.forget(INGRESS.ref)
        task = asyncio.create_task(reporter.run())
        await eventually_asked(server, "GET", "POST")
        task.cancel()
        await asyncio.wait([task])
    assert server.bodies[1][1]["regarding"]["name"] == "other"


async def test_without_permission_to_list_events_are_still_written() -> None:
    server = FakeApiServer(refusal(403, "Forbidden"), DONE)
    async with server.client() as api, reporting(api, Clock()) as reporter:
        reporter.observe(INGRESS, make_outcome("1"))
        await eventually_asked(server, "GET", "POST")
