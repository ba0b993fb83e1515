"""Which endpoint gets a request, and which gets none; through a real Envoy."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, get_args

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.annotations.table import BY_NAME
from ingress_controller.model.load_balancing import CircuitBreakerThresholds, HealthCheck, OutlierDetection, Policy
from tests.envoy_process import eventually
from tests.load_balancing_values import maps
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_service, make_slice, make_web
from tests.running import COOKIE, Running, running
from tests.upstream import HANG, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "balanced.test"
CHECK = {
    "timeout": "1s",
    "interval": "100ms",
    "no_traffic_interval": "100ms",
    "unhealthy_threshold": 2,
    "healthy_threshold": 2,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with running({"class.yaml": CLASS}) as c:
        yield c


@pytest_asyncio.fixture(loop_scope="module")
async def one() -> AsyncIterator[Upstream]:
    async with upstream("one") as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def two() -> AsyncIterator[Upstream]:
    async with upstream("two") as two:
        yield two


async def serve(c: Running, *servers: Upstream, annotations: Mapping[str, str]) -> None:
    """Serve ``HOST`` from these servers, each a pod of one Service."""
    slices = (make_slice(each.port).replace('"web-1"', f'"web-{each.name}"') for each in servers)
    await c.write("app.yaml", documents(make_ingress("app", HOST, annotations), make_service(), *slices))


async def answers(c: Running, count: int, cookie: str = "") -> Counter[str]:
    """Who answers so many requests, which one connection, and thus one thread of Envoy, takes."""
    headers = [("cookie", f"{COOKIE}={cookie}")] if cookie else []
    async with c.connect(HOST) as connection:
        return Counter([(await connection.get(HOST, "/", headers)).json["upstream"] for _ in range(count)])


async def until_answered_by(c: Running, *names: str) -> None:
    """Wait until just these answer."""

    async def are_all() -> bool:
        return set(await answers(c, 10)) == set(names)

    await eventually(are_all, f"{names} answer")


# --- Policies.


@pytest.mark.parametrize("policy", ["", "round_robin", "ROUND_ROBIN"])
async def test_round_robin_is_even(c: Running, one: Upstream, two: Upstream, policy: str) -> None:
    await serve(c, one, two, annotations=PUBLIC | {"load_balancing_policy": policy})
    assert await answers(c, 20) == {"one": 10, "two": 10}


@pytest.mark.parametrize("policy", ["random", "least_request"])
async def test_policies_of_chance_use_all(c: Running, one: Upstream, two: Upstream, policy: str) -> None:
    await serve(c, one, two, annotations=PUBLIC | {"load_balancing_policy": policy})
    assert set(await answers(c, 60)) == {"one", "two"}


@pytest.mark.parametrize("policy", ["ring_hash", "maglev"])
async def test_hashing_keeps_a_user_where_he_was(c: Running, one: Upstream, two: Upstream, policy: str) -> None:
    await serve(c, one, two, annotations=SIGNED_IN | {"load_balancing_policy": policy})
    places = {}
    for number in range(16):
        subject = f"user-{number}"
        (places[subject],) = await answers(c, 3, c.mint(HOST, sub=subject))
    assert set(places.values()) == {"one", "two"}
    for subject, place in places.items():
        assert set(await answers(c, 1, c.mint(HOST, "other@example.com", sub=subject))) == {place}


@pytest.mark.parametrize("policy", ["ring_hash", "maglev"])
async def test_hashing_keeps_an_address_where_it_was(c: Running, one: Upstream, two: Upstream, policy: str) -> None:
    await serve(c, one, two, annotations=PUBLIC | {"load_balancing_policy": policy})
    (place,) = await answers(c, 10)
    for _ in range(5):
        assert set(await answers(c, 2)) == {place}


async def test_two_ingresses_with_different_settings_have_each_its_own(
    c: Running, one: Upstream, two: Upstream
) -> None:
    await serve(c, one, two, annotations=PUBLIC)
    sticky = PUBLIC | {"load_balancing_policy": "maglev"}
    before = c.sent
    await c.write("other.yaml", make_ingress("other", "other.test", sticky))
    assert dict(c.sent - before) == {"Cluster": 1, "ClusterLoadAssignment": 1, "ScopedRouteConfiguration": 1}
    assert len({(await c.get("other.test")).echo.upstream for _ in range(6)}) == 1
    assert len(await answers(c, 6)) == 2
    # Equal settings share one.
    before = c.sent
    await c.write("third.yaml", make_ingress("third", "third.test", sticky))
    assert dict(c.sent - before) == {"ScopedRouteConfiguration": 1}
    await c.remove("other.yaml", "third.yaml")


# --- Outlier detection.


async def test_failing_endpoint_is_ejected_and_taken_in_again(c: Running, one: Upstream, two: Upstream) -> None:
    detection = "{consecutive_5xx: 2, interval: 100ms, base_ejection_time: 100ms, max_ejection_percent: 50}"
    await serve(c, one, two, annotations=PUBLIC | {"outlier_detection": detection})
    two.status = 500
    await until_answered_by(c, "one")
    two.status = 200
    await until_answered_by(c, "one", "two")


async def test_ejected_endpoint_gets_nothing(c: Running, one: Upstream, two: Upstream) -> None:
    detection = "{consecutive_5xx: 2, base_ejection_time: 1h, max_ejection_time: 1h, max_ejection_percent: 50}"
    await serve(c, one, two, annotations=PUBLIC | {"outlier_detection": detection})
    two.status = 500
    await until_answered_by(c, "one")
    two.seen.clear()
    assert await answers(c, 30) == {"one": 30}
    assert two.seen == []


async def test_without_detection_a_failing_endpoint_goes_on(c: Running, one: Upstream, two: Upstream) -> None:
    await serve(c, one, two, annotations=PUBLIC)
    two.status = 500
    assert await answers(c, 20) == {"one": 10, "two": 10}


# --- Health checks.


@pytest.mark.parametrize(
    "how",
    [
        {"http_health_check": {"path": "/healthz"}},
        {
            "http_health_check": {
                "path": "/healthz",
                "method": "HEAD",
                "expected_statuses": [{"start": 200, "end": 300}],
            }
        },
        {"http_health_check": {"path": "/healthz", "receive": [{"text": b'"upstream"'.hex()}]}},
        {
            "tcp_health_check": {
                "send": {"text": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".hex()},
                "receive": [{"text": b"200 OK".hex()}],
            }
        },
    ],
    ids=["status", "range", "body", "tcp"],
)
async def test_unhealthy_endpoint_is_left_out_until_it_recovers(
    c: Running, one: Upstream, two: Upstream, how: dict[str, object]
) -> None:
    two.status = 503
    await serve(c, one, two, annotations=PUBLIC | {"health_checks": json.dumps([CHECK | how])})
    # Nothing is sent to an endpoint before its first check.
    assert await answers(c, 10) == {"one": 10}
    two.status = 200
    await until_answered_by(c, "one", "two")
    two.status = 503
    await until_answered_by(c, "one")


async def test_a_check_names_the_host_that_requests_have(c: Running, one: Upstream) -> None:
    check = CHECK | {"http_health_check": {"path": "/healthz"}}
    await serve(c, one, annotations=PUBLIC | {"health_checks": json.dumps([check])})
    assert one.hosts == {"web.default.svc.cluster.local"}
    check = CHECK | {"http_health_check": {"path": "/healthz", "host": "check.test:8080"}}
    await serve(c, one, annotations=PUBLIC | {"health_checks": json.dumps([check])})
    assert one.hosts == {"web.default.svc.cluster.local", "check.test:8080"}


async def test_endpoint_that_never_answers_holds_up_nobody_for_long(c: Running, one: Upstream) -> None:
    """Envoy accepts clusters only after their first check; others must not wait for that."""
    asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(writer)

    check = CHECK | {"timeout": "10s", "http_health_check": {"path": "/"}}
    await serve(c, one, annotations=PUBLIC)
    silent = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with silent:
        slow = make_ingress(
            "slow", "slow.test", PUBLIC | {"health_checks": json.dumps([check])}, paths=[("/", "Prefix", "slow:80")]
        )
        c.put({"slow.yaml": documents(make_web(silent.sockets[0].getsockname()[1], "slow"), slow)})
        c.read()
        settled = asyncio.create_task(c.settled())
        async with asyncio.timeout(20):
            connection = await asked.get()
        # A change of another host, meanwhile.
        c.put({"app.yaml": documents(make_ingress("app", HOST, SIGNED_IN), make_web(one.port))})
        c.read()
        await eventually(partial(is_denied, c), f"{HOST} has its new policy")
        assert not settled.done()
        await settled
        await c.remove("slow.yaml")
        connection.transport.abort()


async def is_denied(c: Running) -> bool:
    return (await c.get(HOST)).status == 401


# --- Circuit breakers.


async def test_what_is_more_than_the_limit_is_answered_at_once(c: Running, one: Upstream) -> None:
    await serve(c, one, annotations=PUBLIC | {"circuit_breaker_thresholds": "{max_requests: 1}"})
    first = asyncio.create_task(c.get(HOST, HANG))
    await eventually(partial(has_seen, one, f"GET {HANG}"), "the first request is there")
    second = await c.get(HOST)
    assert (second.status, second.header("x-envoy-overloaded"), "overflow" in second.text) == (503, "true", True)
    one.release.set()
    assert (await first).status == 200
    assert (await c.get(HOST)).status == 200


async def test_connections_and_waiting_requests_are_limited(c: Running, one: Upstream) -> None:
    limits = "{max_connections: 1, max_pending_requests: 1}"
    await serve(c, one, annotations=PUBLIC | {"circuit_breaker_thresholds": limits})
    # Each thread of Envoy may have one connection.
    asked = [asyncio.create_task(c.get(HOST, HANG)) for _ in range(8)]
    await eventually(partial(has_seen, one, f"GET {HANG}"), "the first request is there")
    done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status for task in done} == {503}
    one.release.set()
    assert {(await task).status for task in waiting} >= {200}


async def has_seen(server: Upstream, request: str) -> bool:
    return request in server.seen


# --- Together with service_proxy_upstream.


async def test_all_together_with_the_cluster_ip(c: Running, one: Upstream) -> None:
    annotations = {
        "service_proxy_upstream": "true",
        "load_balancing_policy": "ring_hash",
        "outlier_detection": "{consecutive_5xx: 3}",
        "health_checks": json.dumps([CHECK | {"http_health_check": {"path": "/healthz"}}]),
        "circuit_breaker_thresholds": "{max_requests: 5}",
    }
    service = make_service("proxied", one.port, clusterIP="127.0.0.1")
    ingress = make_ingress("app", HOST, PUBLIC | annotations, paths=[("/", "Prefix", f"proxied:{one.port}")])
    await c.write("app.yaml", documents(service, ingress))
    assert (await c.get(HOST)).echo.upstream == "one"
    assert "GET /healthz" in one.seen


# --- Whatever is accepted.


async def test_envoy_takes_whatever_is_accepted(c: Running, one: Upstream) -> None:
    """Many clusters of settings that the tables allow, in one transaction; a refused one would be named."""
    ingresses: dict[str, dict[str, str]] = {}

    @settings(max_examples=250, deadline=None, database=None)
    @given(st.sampled_from(get_args(Policy)), maps(OutlierDetection), maps(CircuitBreakerThresholds), maps(HealthCheck))
    def collect(policy: str, outliers: dict[str, Any], limits: dict[str, Any], check: dict[str, Any]) -> None:
        for how in sorted({"http_health_check", "tcp_health_check", "grpc_health_check"} & check.keys())[1:]:
            del check[how]
        written = {
            "load_balancing_policy": policy,
            "outlier_detection": json.dumps(outliers),
            "circuit_breaker_thresholds": json.dumps(limits),
            "health_checks": json.dumps([check]),
        }
        ingresses[f"a{len(ingresses)}"] = accepted = dict(PUBLIC)
        for name, value in written.items():
            with suppress(ValueError):
                BY_NAME[name].parse(value)
                accepted[name] = value

    collect()
    assert {name for given in ingresses.values() for name in given} >= {"health_checks", "outlier_detection"}
    service = make_service("many", ports=[{"name": "http", "port": 80, "appProtocol": "grpc"}])
    paths = [("/", "Prefix", "many:80")]
    made = (make_ingress(name, f"{name}.test", given, paths=paths) for name, given in ingresses.items())
    before = c.sent
    c.forget()
    await c.write("many.yaml", documents(service, make_slice(one.port, "many"), *made))
    assert [line for line in c.said if "Warning" in line] == []
    assert c.sent["Cluster"] - before["Cluster"] > 100
    await c.remove("many.yaml")
