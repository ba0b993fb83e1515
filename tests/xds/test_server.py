"""The server over real gRPC, with clients of our own."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

import xds
from tests.envoy_process import DEADLINE, eventually
from tests.xds.client import connected, following
from tests.xds.driver import make_resources, names
from tests.xds.parts import CLUSTER, SCOPE
from tests.xds.serving import Record, serving


async def settled(server: xds.Server, transaction: int, *, proxies: int = 1) -> None:
    async with asyncio.timeout(DEADLINE):
        await server.settled(transaction, proxies=proxies, types=[SCOPE])


async def test_changes_arrive_and_settle(cache: xds.Cache, socket: Path, record: Record) -> None:
    cache.update({SCOPE: make_resources("a")})
    async with serving(cache, socket, record) as server, connected(socket, "me") as client:
        await client.ask(SCOPE)
        first = await client.read()
        assert names(first) == ["a"]
        await client.accept(first)
        transaction = cache.update({SCOPE: make_resources("a", content="2")})
        second = await client.read()
        waiting = asyncio.create_task(settled(server, transaction))
        [proxy] = server.proxies()
        assert (proxy.node, proxy.settled) == ("me", transaction - 1)
        assert proxy.types[SCOPE] == xds.Progress(names=0, accepted=1, pending=1, refused=0)
        assert not waiting.done()
        await client.accept(second)
        await waiting
        [proxy] = server.proxies()
        assert proxy.types[SCOPE] == xds.Progress(names=0, accepted=1, pending=0, refused=0)
        assert record.events == [
            "connected me",
            *["sent me ScopedRouteConfiguration +1 -0", "ACK me ScopedRouteConfiguration"] * 2,
        ]


async def test_proxy_that_comes_back_to_a_partial_cache_is_sent_what_is_there_and_loses_nothing(
    socket: Path, record: Record
) -> None:
    cache, resources = xds.Cache(complete=False), make_resources("a", "b")
    async with serving(cache, socket, record) as server, connected(socket, "me") as client:
        await client.ask(SCOPE, versions={"a": resources["a"].version, "gone": "1"})
        cache.update({SCOPE: make_resources("b")})
        first = await client.read()
        assert (names(first), first.removed_resources) == (["b"], [])
        await client.accept(first)
        cache.update({SCOPE: resources})
        [proxy] = server.proxies()
        assert proxy.settled == 0
        cache.complete()
        second = await client.read()
        assert (names(second), second.removed_resources) == ([], ["gone"])


async def test_refusal_reaches_the_owner_who_may_change_the_cache_at_once(socket: Path, cache: xds.Cache) -> None:
    class Owner(Record):
        def answered(self, node: str, answer: xds.Answer) -> None:
            super().answered(node, answer)
            if answer.refusal:
                cache.update({SCOPE: make_resources(answer.refusal.name, content="better")})

    record = Owner()
    async with serving(cache, socket, record) as server, connected(socket, "me") as client:
        await client.ask(SCOPE, "a")
        cache.update({SCOPE: make_resources("a")})
        response = await client.read()
        while not response.resources:
            await client.accept(response)
            response = await client.read()
        await client.refuse(response, "no such thing")
        better = await client.read()
        await client.accept(better)
        await settled(server, cache.transaction)
    [refusal] = record.refusals
    assert (refusal.name, refusal.message, refusal.node) == ("a", "no such thing", "me")
    assert names(better) == ["a"]


async def test_malformed_request_ends_only_its_own_stream(cache: xds.Cache, socket: Path, record: Record) -> None:
    async with serving(cache, socket, record) as server, following(socket, {SCOPE: ["*"]}) as model:
        for message in (b"\xff\xff", b"\x12\x02\xff\xff", b""):
            async with connected(socket) as client:
                await client.send_bytes(message)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.read()
                assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert caught.value.details()
        await settled(server, cache.update({SCOPE: make_resources("a")}))
        assert model.types[SCOPE].in_force == {"a": b"a=1"}


async def test_request_may_name_its_node_each_time(cache: xds.Cache, socket: Path, record: Record) -> None:
    node = Node(id="me", cluster="c")
    async with serving(cache, socket, record), connected(socket, "me") as client:
        for name in ("a", "b"):
            request = DeltaDiscoveryRequest(node=node, type_url=SCOPE, resource_names_subscribe=[name])
            await client.send_bytes(bytes(request))
            response = await client.read()
            assert response.removed_resources == [name]
            await client.accept(response)


async def test_fifty_proxies_follow_one_cache(cache: xds.Cache, socket: Path, record: Record) -> None:
    cache.update({SCOPE: make_resources(*map(str, range(100)))})
    async with serving(cache, socket, record) as server, AsyncExitStack() as stack:
        models = [
            await stack.enter_async_context(following(socket, {SCOPE: ["*"]}, f"proxy-{number}"))
            for number in range(50)
        ]
        await settled(server, cache.transaction, proxies=50)
        record.responses.clear()
        await settled(server, cache.update({SCOPE: make_resources("7", content="2") | {"8": None}}), proxies=50)
        assert len({proxy.node for proxy in server.proxies()}) == 50
        assert sum(response.resources for response in record.responses) == 50
        assert sum(response.removed for response in record.responses) == 50
        for model in models:
            assert len(model.types[SCOPE].in_force) == 99
            assert model.types[SCOPE].in_force["7"] == b"7=2"


async def test_proxy_that_leaves_is_forgotten(cache: xds.Cache, socket: Path, record: Record) -> None:
    async def nobody() -> bool:
        return not server.proxies()

    async with serving(cache, socket, record) as server:
        async with following(socket, {SCOPE: ["*"]}):
            await settled(server, cache.transaction)
        await eventually(nobody, "the proxy is gone")
        assert record.events[-1] == "disconnected follower"
        cache.update({SCOPE: make_resources("a")})
        async with following(socket, {SCOPE: ["*"]}) as model:
            await settled(server, cache.transaction)
            assert model.types[SCOPE].in_force == {"a": b"a=1"}


async def test_proxy_that_comes_back_is_sent_only_what_differs(cache: xds.Cache, socket: Path, record: Record) -> None:
    everything = make_resources(*(f"host-{number}.example.com" for number in range(70_000)))
    cache.update({SCOPE: everything})
    held = {name: resource.version for name, resource in everything.items()}
    changed = cache.update({SCOPE: make_resources("host-1.example.com", content="2") | {"host-2.example.com": None}})
    async with serving(cache, socket, record) as server, connected(socket) as client:
        await client.ask(SCOPE, "*", versions=held)
        first = await client.read()
        assert names(first) == ["host-1.example.com"]
        await client.accept(first)
        second = await client.read()
        assert second.removed_resources == ["host-2.example.com"]
        await client.accept(second)
        await settled(server, changed)


async def test_slow_answer_holds_up_the_rest_only_as_long_as_patience(
    cache: xds.Cache, socket: Path, record: Record
) -> None:
    async with serving(cache, socket, record, patience=0.02) as server, connected(socket) as client:
        for type_url in (CLUSTER, SCOPE):
            await client.ask(type_url)
            await client.accept(await client.read())
        transaction = cache.update({CLUSTER: make_resources("slow"), SCOPE: make_resources("a")})
        slow = await client.read()
        scope = await client.read()
        assert (slow.type_url, scope.type_url) == (CLUSTER, SCOPE)
        await client.accept(scope)
        await client.accept(slow)
        await settled(server, transaction)
