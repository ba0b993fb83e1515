"""What a real API server cannot be made to say, from a fake one: broken objects, lines and connections."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs
from tenacity import wait_fixed

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import BY_NAME, KINDS
from ingress_controller.objects.views import Service, SharedPolicy
from ingress_controller.sources import reflector
from ingress_controller.sources.cluster import Cluster
from tests.fake_api_server import FakeApiServer, event, page, plain, refusal, stream
from tests.recorder import Recorder, recording

SERVICES = [BY_NAME["v1", "Service"]]


def make_service(name: str, version: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "app", "resourceVersion": version}, "spec": spec}


def ref(name: str) -> ObjectRef:
    return ObjectRef("Service", "app", name)


def changes(recorder: Recorder, batch: int) -> list[tuple[str, bool]]:
    return [(change.ref.name, change.object is not None) for change in recorder.batches[batch].changes]


async def test_pages_are_followed() -> None:
    server = FakeApiServer(page([make_service("a", "1")], "7", "token/+"), page([make_service("b", "2")], "8"))
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until_synced()
        await recorder.until(lambda: set(recorder.objects) == {ref("a"), ref("b")}, "both pages")
    assert server.queries[:2] == [{"limit": "500"}, {"limit": "500", "continue": "token/+"}]


async def test_a_malformed_object_spoils_no_other() -> None:
    broken = make_service("bad", "2", ports=[{"port": "eighty"}])
    server = FakeApiServer(
        page([make_service("a", "1"), broken, {"metadata": 3}, {"kind": None}], "8"),
        stream(
            event("MODIFIED", make_service("a", "9", ports=[{}])), event("ADDED", make_service("c", "10")), hangs=True
        ),
    )
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until_synced()
        assert set(recorder.objects) == {ref("a")}
        bad, *nameless = recorder.batches[0].malformed
        assert (bad.ref, bad.where) == (ref("bad"), "Service app/bad")
        assert "Expected `int`, got `str` - at `$.spec.ports[0].port`" in bad.message
        assert [found.ref for found in nameless] == [None, None]
        await recorder.until(lambda: set(recorder.objects) == {ref("c")}, "a gone, c added")
    assert [found.ref for batch in recorder.batches[1:] for found in batch.malformed] == [ref("a")]


async def test_lines_that_arrive_together_are_one_batch() -> None:
    lines = event("ADDED", make_service("a", "2")) + event("ADDED", make_service("b", "3"))
    again = event("MODIFIED", make_service("a", "4")) + event("DELETED", make_service("a", "5"))
    server = FakeApiServer(page([], "1"), stream(lines + again, hangs=True))
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: len(recorder.batches) == 2, "the batch")
        assert changes(recorder, 1) == [("b", True), ("a", False)]


async def test_a_broken_connection_is_resumed_where_it_was() -> None:
    """Half a line is dropped; a bookmark moves the version on; what comes twice is emitted once."""
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "30"}})
    half = event("ADDED", make_service("b", "31"))[:40]
    server = FakeApiServer(
        page([make_service("a", "1")], "20"),
        stream(event("MODIFIED", make_service("a", "21")), bookmark + half),
        stream(event("MODIFIED", make_service("a", "21")) + event("ADDED", make_service("b", "31")), hangs=True),
    )
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: ref("b") in recorder.objects, "b")
        assert [changes(recorder, n) for n in range(3)] == [[("a", True)], [("a", True)], [("b", True)]]
    assert [query.get("resourceVersion") for query in server.queries[1:]] == ["20", "30"]
    assert all(300 <= int(query["timeoutSeconds"]) <= 600 for query in server.queries[1:])


async def test_gone_within_the_stream_lists_again() -> None:
    """What came before the error counts; what is unchanged is not emitted again; what is not listed has gone."""
    gone = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
    server = FakeApiServer(
        page([make_service("a", "1"), make_service("b", "2")], "3"),
        stream(event("ADDED", make_service("c", "4")) + gone),
        page([make_service("b", "2"), make_service("c", "5")], "6"),
        stream(hangs=True),
    )
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: len(recorder.batches) == 3, "the second list")
        assert changes(recorder, 1) == [("c", True)]
        assert changes(recorder, 2) == [("a", False), ("c", True)]
        assert not recorder.batches[2].synced


async def test_gone_as_the_status_lists_again() -> None:
    server = FakeApiServer(page([make_service("a", "1")], "3"), refusal(410, "Expired"), page([], "4"))
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: len(recorder.batches) == 2, "the second list")
        assert changes(recorder, 1) == [("a", False)]


async def test_an_error_that_is_not_gone_resumes() -> None:
    failure = event("ERROR", {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"})
    server = FakeApiServer(page([], "3"), stream(failure), stream(event("ADDED", make_service("a", "4")), hangs=True))
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: ref("a") in recorder.objects, "a")
    assert [query.get("resourceVersion") for query in server.queries[1:]] == ["3", "3"]


async def test_the_server_says_when_to_come_back() -> None:
    server = FakeApiServer(refusal(429, "TooManyRequests", {"Retry-After": "1"}), page([make_service("a", "1")], "1"))
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        began = monotonic()
        await recorder.until_synced()
        assert monotonic() - began >= 1


@pytest.mark.parametrize("answer", [plain(b"<html>sign in</html>"), plain(b"[]"), plain(b""), refusal(503), stream()])
async def test_an_answer_that_is_no_list_is_asked_for_again(answer: Any) -> None:
    server = FakeApiServer(answer, page([make_service("a", "1")], "1"))
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until_synced()
        assert ref("a") in recorder.objects


async def test_a_line_that_is_no_event_is_asked_for_again() -> None:
    server = FakeApiServer(
        page([], "3"),
        stream(b"<html>\n"),
        stream(b'{"type":"ADDED"}\n'),
        stream(event("ADDED", make_service("a", "4")), hangs=True),
    )
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: ref("a") in recorder.objects, "a")


async def test_a_silent_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "_IDLE_SECONDS", 0.05)
    server = FakeApiServer(
        page([], "3"), stream(hangs=True), stream(event("ADDED", make_service("a", "4")), hangs=True)
    )
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: ref("a") in recorder.objects, "a")


async def test_a_large_object_in_many_chunks() -> None:
    line = event("ADDED", make_service("a", "4", externalName="x" * 3_000_000))
    server = FakeApiServer(
        page([], "3"), stream(*(line[n : n + 10_000] for n in range(0, len(line), 10_000)), hangs=True)
    )
    async with server.client() as api, recording(Cluster(api, SERVICES)) as recorder:
        await recorder.until(lambda: ref("a") in recorder.objects, "a")
        found = recorder.objects[ref("a")]
        assert isinstance(found, Service)
        assert len(found.spec.external_name) == 3_000_000


async def test_nothing_comes_before_every_kind_is_listed() -> None:
    kinds = [*SERVICES, BY_NAME["v1", "Namespace"]]
    watched, listed = asyncio.Event(), asyncio.Event()

    class TwoKinds(FakeApiServer):
        async def handle(self, request: Any) -> Any:
            if request.path == "/api/v1/namespaces":
                await listed.wait()
            if "watch" in request.query:
                watched.set()
            return await super().handle(request)

    server = TwoKinds(
        page([make_service("a", "1")], "1"),
        stream(event("MODIFIED", make_service("a", "2")), hangs=True),
        page([{"metadata": {"name": "app", "resourceVersion": "1"}}], "1"),
    )
    async with server.client() as api, recording(Cluster(api, kinds)) as recorder:
        await asyncio.wait_for(watched.wait(), 10)
        assert not recorder.batches
        listed.set()
        await recorder.until_synced()
        assert recorder.batches[0].synced
        assert set(recorder.objects) == {ref("a"), ObjectRef("Namespace", "", "app")}


POLICIES = [kind for kind in KINDS if kind.view is SharedPolicy]


def make_policy(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "app", "resourceVersion": version}, "spec": {"rules": []}}


async def test_a_kind_that_is_not_known_yet_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds nothing up. When it goes again its objects have gone, and it is said once each time."""
    monkeypatch.setattr(reflector, "RETRY_WAIT", wait_fixed(0.01))
    away = [refusal(404, "NotFound")] * 5
    server = FakeApiServer(
        *away,
        page([make_policy("a", "1")], "2"),
        stream(event("ADDED", make_policy("b", "3"))),
        *away,
        page([make_policy("c", "9")], "9"),
    )
    with capture_logs() as lines:
        async with server.client() as api, recording(Cluster(api, POLICIES)) as recorder:
            await recorder.until_synced()
            assert recorder.objects == {}
            await recorder.until(lambda: recorder.names("Policy", "app") == {"a", "b"}, "the kind is there")
            await recorder.until(lambda: not recorder.objects, "the kind has gone")
            await recorder.until(lambda: recorder.names("Policy", "app") == {"c"}, "it is there again")
    shown = [line["event"] for line in lines if line["log_level"] != "debug" and line["event"] != "listed"]
    without = "the server does not know this kind; going on as if there were none"
    assert shown == [without, "the server no longer knows this kind; listing again", without]


async def test_an_object_that_is_nested_without_end_spoils_no_other() -> None:
    levels = '["[{\\"", ' * 5000 + "1" + "]" * 5000
    deep = json.dumps(make_policy("deep", "2")).replace("[]", f"[{levels}]")
    listed = json.dumps({"metadata": {"resourceVersion": "3"}, "items": [make_policy("a", "1"), "DEEP"]})
    changed = deep.replace('"2"', '"4"').encode()
    line = b'{"type": "MODIFIED", "object": ' + changed + b"}\n"
    server = FakeApiServer(
        plain(listed.replace('"DEEP"', deep).encode()), stream(line + event("ADDED", make_policy("b", "5")), hangs=True)
    )
    async with server.client() as api, recording(Cluster(api, POLICIES)) as recorder:
        await recorder.until(lambda: recorder.names("Policy", "app") == {"a", "b", "deep"}, "all of them")
        found = recorder.objects[ObjectRef("Policy", "app", "deep")]
    assert found.metadata.resource_version == "4"
