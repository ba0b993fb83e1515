"""The server and a real Envoy: what is accepted is in force, and requests see no gap."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

import xds
from tests.envoy_process import EnvoyProcess, eventually
from tests.xds.gateway import HTTP, Gateway, gateway, settled
from tests.xds.parts import (
    CLUSTER,
    ENDPOINTS,
    LISTENER,
    SCOPE,
    make_answer,
    make_bad_scope,
    make_cluster,
    make_endpoints,
    make_listener,
    make_route,
)
from tests.xds.serving import Record, serving


@pytest.fixture
async def upstream(directory: Path) -> AsyncIterator[Path]:
    """Run a server that says `up`, on a Unix socket."""

    async def say_up(_: web.Request) -> web.Response:
        return web.Response(text="up")

    app = web.Application()
    app.router.add_get("/", say_up)
    runner = web.AppRunner(app)
    await runner.setup()
    socket = directory / "up.sock"
    await web.UnixSite(runner, str(socket)).start()
    yield socket
    await runner.cleanup()


@pytest.fixture
def listener() -> dict[str, xds.Resource]:
    return {"http": make_listener("http", HTTP)}


async def test_each_change_sends_one_resource_and_is_in_force(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource]
) -> None:
    hosts = {f"host-{number}": make_answer(f"host-{number}", "one") for number in range(100)}
    cache.update({LISTENER: listener, SCOPE: hosts})
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        assert await proxy.get("host-7") == (200, "one")
        assert await proxy.get("host-100") == (404, "")
        for host in ("host-7", "host-100"):
            record.responses.clear()
            await settled(server, cache.update({SCOPE: {host: make_answer(host, "two")}}))
            assert [(sent.type_url, sent.resources, sent.removed) for sent in record.responses] == [(SCOPE, 1, 0)]
            assert await proxy.get(host) == (200, "two")
        record.responses.clear()
        await settled(server, cache.update({SCOPE: {"host-7": None}}))
        assert [(sent.type_url, sent.resources, sent.removed) for sent in record.responses] == [(SCOPE, 0, 1)]
        assert await proxy.get("host-7") == (404, "")
        assert await proxy.get("host-8") == (200, "one")


async def test_bad_scope_does_not_keep_the_good_ones_of_its_transaction_from_force(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource]
) -> None:
    hosts = [f"host-{number}" for number in range(10)]
    cache.update({LISTENER: listener, SCOPE: {host: make_answer(host, "old") for host in hosts}})
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        changes = {host: make_answer(host, "new") for host in [*hosts, "host-10"]} | {
            "host-6": make_bad_scope("host-6")
        }
        await settled(server, cache.update({SCOPE: changes}))
        answers = {host: await proxy.get(host) for host in changes}
        assert answers.pop("host-6") == (200, "old"), "the last good one stays"
        assert set(answers.values()) == {(200, "new")}
        [refusal] = record.refusals
        assert (refusal.type_url, refusal.name, refusal.node) == (SCOPE, "host-6", "envoy")
        assert refusal.version == changes["host-6"].version
        assert refusal.message
        await settled(server, cache.update({SCOPE: {"host-6": make_answer("host-6", "better")}}))
        assert await proxy.get("host-6") == (200, "better")


async def test_bad_scope_at_a_cold_start(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource]
) -> None:
    hosts = {f"host-{number}": make_answer(f"host-{number}", "one") for number in range(10)}
    cache.update({LISTENER: listener, SCOPE: hosts | {"host-5": make_bad_scope("host-5")}})
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        answers = {host: await proxy.get(host) for host in hosts}
        assert answers.pop("host-5") == (404, "")
        assert set(answers.values()) == {(200, "one")}
        assert [refusal.name for refusal in record.refusals] == ["host-5"]


async def test_stream_that_ends_while_the_bad_one_is_sought(
    cache: xds.Cache, directory: Path, socket: Path, listener: dict[str, xds.Resource]
) -> None:
    """What Envoy recorded of the refused response, and does not use, is sent with other bytes on the next stream."""

    class Breaking(Record):
        def answered(self, node: str, answer: xds.Answer) -> None:
            super().answered(node, answer)
            if not answer.accepted:
                raise ConnectionResetError("the test ends this stream")

        def disconnected(self, node: str) -> None:
            super().disconnected(node)
            cache.update({SCOPE: {"host-1": None}})

    record = Breaking()
    cache.update({LISTENER: listener, SCOPE: {"host-0": make_answer("host-0", "old")}})
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        cache.update({SCOPE: {"host-0": make_answer("host-0", "new"), "host-1": make_bad_scope("host-1")}})
        await eventually(lambda: asyncio.sleep(0, record.events.count("connected envoy") == 2), "a second stream")
        await settled(server, cache.transaction)
        assert await proxy.get("host-0") == (200, "new")


async def test_changed_cluster_is_in_force_when_settled(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource], upstream: Path
) -> None:
    cache.update(
        {
            CLUSTER: {"web": make_cluster("web", connect_timeout="1s")},
            ENDPOINTS: {"web": make_endpoints("web", upstream)},
            LISTENER: listener,
            SCOPE: {"host": make_route("host", "web")},
        }
    )
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        await settled(server, cache.update({CLUSTER: {"web": make_cluster("web", connect_timeout="2s")}}))
        assert await active_timeouts(proxy.envoy) == {"web": "2s"}
        assert await proxy.get("host") == (200, "up")


async def active_timeouts(envoy: EnvoyProcess) -> dict[str, str]:
    """Give the connect timeouts of the clusters that are in force, as opposed to warming."""
    dump = json.loads(await envoy.admin_get("/config_dump?resource=dynamic_active_clusters"))
    clusters = [entry["cluster"] for entry in dump.get("configs", [])]
    return {cluster["name"]: cluster["connect_timeout"] for cluster in clusters}


async def test_no_request_fails_while_hosts_and_their_clusters_come_move_and_go(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource], upstream: Path
) -> None:
    def backend(name: str) -> dict[str, dict[str, xds.Resource]]:
        return {CLUSTER: {name: make_cluster(name)}, ENDPOINTS: {name: make_endpoints(name, upstream)}}

    async def hammer() -> None:
        while not done.is_set():
            host = newest[0]
            seen.append((host, await proxy.get(host)))
            seen.append(("kept", await proxy.get("kept")))

    newest, done = ["host-0"], asyncio.Event()
    seen: list[tuple[str, tuple[int, str]]] = []
    cache.update({LISTENER: listener, SCOPE: {"kept": make_route("kept", "web-0")}} | backend("web-0"))
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        hammering = asyncio.create_task(hammer())
        for number in range(1, 40):
            newest[0] = f"host-{number}"
            old, new = f"web-{number - 1}", f"web-{number}"
            changes = backend(new)
            await settled(
                server,
                cache.update(
                    {
                        CLUSTER: changes[CLUSTER] | {old: None},
                        ENDPOINTS: changes[ENDPOINTS] | {old: None},
                        SCOPE: {
                            "kept": make_route("kept", new),
                            f"host-{number}": make_route(f"host-{number}", new),
                            f"host-{number - 1}": None,
                        },
                    }
                ),
            )
            assert await proxy.get(f"host-{number}") == (200, "up")
        done.set()
        await hammering
        assert len(seen) > 100
        assert {answer for host, answer in seen if host == "kept"} == {(200, "up")}
        assert {answer for host, answer in seen if host != "kept"} <= {(200, "up"), (404, "")}
        assert set(await active_timeouts(proxy.envoy)) == {"web-39"}
        assert not record.refusals


async def test_cluster_that_is_slow_to_warm_holds_up_others_only_as_long_as_patience(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource]
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    check = {
        "timeout": "600s",
        "interval": "600s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/"},
    }
    silent = directory / "silent.sock"
    cache.update({LISTENER: listener, SCOPE: {"a": make_answer("a", "one")}})
    async with (
        await asyncio.start_unix_server(say_nothing, silent),
        serving(cache, socket, record, patience=0.1) as server,
        gateway(directory) as proxy,
    ):
        await settled(server, cache.transaction)
        await proxy.envoy.ready()
        cache.update(
            {
                CLUSTER: {"slow": make_cluster("slow", health_checks=[check])},
                ENDPOINTS: {"slow": make_endpoints("slow", silent)},
                SCOPE: {"a": make_answer("a", "two")},
            }
        )
        await eventually(lambda: served(proxy, "a", "two"), "the change is served though a cluster is warming")
        cache.update({CLUSTER: {"quick": make_cluster("quick")}, SCOPE: {"a": make_answer("a", "three")}})
        await eventually(lambda: served(proxy, "a", "three"), "so is the next one")
        [state] = server.proxies()
        assert state.types[CLUSTER].pending == 2, "Envoy accepts clusters when all are warm"


async def served(proxy: Gateway, host: str, body: str) -> bool:
    return await proxy.get(host) == (200, body)


async def test_server_that_comes_back_sends_only_what_differs(
    cache: xds.Cache, directory: Path, socket: Path, record: Record, listener: dict[str, xds.Resource], upstream: Path
) -> None:
    hosts = {f"host-{number}": make_route(f"host-{number}", "web") for number in range(20)}
    clusters = {name: make_cluster(name) for name in ("web", "other")}
    endpoints = {name: make_endpoints(name, upstream) for name in clusters}
    cache.update({CLUSTER: clusters, ENDPOINTS: endpoints, LISTENER: listener, SCOPE: hosts})
    async with gateway(directory) as proxy:
        async with serving(cache, socket, record) as server:
            await settled(server, cache.transaction)
            await proxy.envoy.ready()
        assert await proxy.get("host-1") == (200, "up"), "Envoy goes on without the server"
        after = xds.Cache()
        after.update({CLUSTER: clusters, ENDPOINTS: endpoints, LISTENER: listener, SCOPE: hosts})
        after.update(
            {
                CLUSTER: {"web": make_cluster("web", connect_timeout="2s")},
                SCOPE: {
                    "host-1": None,
                    "host-2": make_answer("host-2", "changed"),
                    "host-20": make_route("host-20", "web"),
                },
            }
        )
        record.responses.clear()
        async with serving(after, socket, record) as server:
            await settled(server, after.transaction)
            sent = [(each.type_url, each.resources, each.removed) for each in record.responses]
            assert sorted(sent) == sorted([(CLUSTER, 1, 0), (ENDPOINTS, 1, 0), (SCOPE, 2, 0), (SCOPE, 0, 1)])
            answers = [await proxy.get(f"host-{number}") for number in (0, 1, 2, 20)]
            assert answers == [(200, "up"), (404, ""), (200, "changed"), (200, "up")]
            assert (await active_timeouts(proxy.envoy))["web"] == "2s"


async def test_two_envoys_follow_one_cache(cache: xds.Cache, directory: Path, socket: Path, record: Record) -> None:
    cache.update({LISTENER: {"http": make_listener("http", HTTP)}, SCOPE: {"a": make_answer("a", "one")}})
    async with (
        serving(cache, socket, record) as server,
        gateway(directory, "first") as first,
        gateway(directory, "second") as second,
    ):
        await first.envoy.ready()
        await second.envoy.ready()
        changes = {"a": make_answer("a", "two"), "bad": make_bad_scope("bad")}
        await settled(server, cache.update({SCOPE: changes}), proxies=2)
        assert [await first.get("a"), await second.get("a")] == [(200, "two")] * 2
        refused = {(refusal.node, refusal.name) for refusal in record.refusals}
        assert refused == {("first", "bad"), ("second", "bad")}
