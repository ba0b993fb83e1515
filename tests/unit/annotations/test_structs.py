"""Annotations that are maps: what is taken, and what is said of mistakes."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.annotations import structs
from ingress_controller.model.load_balancing import (
    CircuitBreakerThresholds,
    HealthCheck,
    HttpHealthCheck,
    OutlierDetection,
    StatusRange,
)
from tests.load_balancing_values import maps

CHECK: dict[str, Any] = {"timeout": "1s", "interval": "10s", "unhealthy_threshold": 2, "healthy_threshold": 1}
bounded = settings(max_examples=200, deadline=None)


def test_yaml_and_json_are_read() -> None:
    expected = OutlierDetection(consecutive_5xx=3, interval=timedelta(seconds=90), max_ejection_percent=50)  # type: ignore[arg-type]
    assert structs.outlier_detection("consecutive_5xx: 3\ninterval: 1m30s\nmax_ejection_percent: 50\n") == expected
    assert (
        structs.outlier_detection('{"consecutive_5xx": 3, "interval": "90s", "max_ejection_percent": 50}') == expected
    )
    assert structs.outlier_detection("{}") == OutlierDetection()
    assert structs.circuit_breaker_thresholds("max_requests: 5") == CircuitBreakerThresholds(max_requests=5)
    check = structs.health_checks(
        make_check(http_health_check={"path": "/", "expected_statuses": [{"start": 200, "end": 300}]})
    )
    assert check.http_health_check == HttpHealthCheck(path="/", expected_statuses=(StatusRange(start=200, end=300),))


def make_check(**fields: Any) -> str:
    return json.dumps([{name: value for name, value in (CHECK | fields).items() if value is not None}])


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (structs.outlier_detection, "true", "must be a map, got true"),
        (structs.outlier_detection, "[]", "must be a map, got a list"),
        (structs.outlier_detection, "", "must be a map, got nothing"),
        (structs.outlier_detection, "foo: 1", "foo is unknown; docs/reference/annotations.md lists the known ones"),
        (
            structs.outlier_detection,
            "consecutve_5xx: 1",
            (
                "consecutve_5xx is unknown; the nearest known are consecutive_5xx, enforcing_consecutive_5xx, "
                "consecutive_gateway_failure"
            ),
        ),
        (structs.outlier_detection, "interval: 10", "interval: must be a duration from 100ms to 24h, got 10"),
        (
            structs.outlier_detection,
            "interval: 99ms",
            "interval: must be a duration from 100ms to 24h, got the text '99ms'",
        ),
        (
            structs.outlier_detection,
            "interval: 1d",
            "interval: must be a duration such as 30s, 1m30s or 1500ms, got '1d'",
        ),
        (
            structs.outlier_detection,
            "max_ejection_percent: 101",
            "max_ejection_percent: must be a whole number from 0 to 100, got 101",
        ),
        (
            structs.outlier_detection,
            'max_ejection_percent: "50"',
            "max_ejection_percent: must be a whole number from 0 to 100, got the text '50'",
        ),
        (structs.outlier_detection, "always_eject_one_host: 1", "always_eject_one_host: must be true or false, got 1"),
        (
            structs.outlier_detection,
            "max_ejection_time: 29s",
            "max_ejection_time must be at least base_ejection_time, which is 30s unless given",
        ),
        (
            structs.outlier_detection,
            "{max_ejection_time: 59s, base_ejection_time: 1m}",
            "max_ejection_time must be at least base_ejection_time",
        ),
        (
            structs.outlier_detection,
            '{"x - at `$.y`": 1}',
            "x - at `$.y` is unknown; docs/reference/annotations.md lists the known ones",
        ),
        (
            structs.circuit_breaker_thresholds,
            "foo: 1",
            (
                "foo is unknown; known are max_connections, max_pending_requests, max_requests, max_retries, "
                "max_connection_pools"
            ),
        ),
        (
            structs.circuit_breaker_thresholds,
            "max_requests: 4294967296",
            "max_requests: must be a whole number from 0 to 4294967295, got 4294967296",
        ),
        (
            structs.circuit_breaker_thresholds,
            "max_requests: 1.5",
            "max_requests: must be a whole number from 0 to 4294967295, got 1.5",
        ),
        (structs.health_checks, "{}", "must be a list of one map, since Envoy does one check, got a map"),
        (structs.health_checks, "[]", "must be a list of one map, since Envoy does one check, got a list of 0"),
        (structs.health_checks, "[{}, {}]", "must be a list of one map, since Envoy does one check, got a list of 2"),
        (structs.health_checks, "[1]", "must be a map, got 1"),
        (structs.health_checks, make_check(interval=None), "interval must be given"),
        (
            structs.health_checks,
            make_check(),
            "must have exactly one of http_health_check, tcp_health_check and grpc_health_check",
        ),
        (
            structs.health_checks,
            make_check(tcp_health_check={}, grpc_health_check={}),
            "must have exactly one of http_health_check, tcp_health_check and grpc_health_check",
        ),
        (structs.health_checks, make_check(http_health_check={}), "http_health_check: path must be given"),
        (
            structs.health_checks,
            make_check(timeout="11s"),
            "timeout: must be a duration from 1ms to 10s, got the text '11s'",
        ),
        (
            structs.health_checks,
            make_check(http_health_check={"path": "x"}),
            "http_health_check.path: must be a path that begins with /, got the text 'x'",
        ),
        (
            structs.health_checks,
            make_check(http_health_check={"path": "/\n"}),
            "http_health_check.path: must be a path that begins with /, got the text '/\\n'",
        ),
        (
            structs.health_checks,
            make_check(http_health_check={"path": "/", "method": "CONNECT"}),
            (
                "http_health_check.method: must be DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT or TRACE, "
                "got the text 'CONNECT'"
            ),
        ),
        (
            structs.health_checks,
            make_check(
                http_health_check={"path": "/", "expected_statuses": [{"start": 200, "end": 300}, {"start": 2}]}
            ),
            "http_health_check.expected_statuses[1].start: must be a whole number from 100 to 599, got 2",
        ),
        (
            structs.health_checks,
            make_check(http_health_check={"path": "/", "expected_statuses": [{"start": 300, "end": 300}]}),
            (
                "http_health_check.expected_statuses[0]: end must be greater than start: it is the status after the "
                "last one"
            ),
        ),
        (
            structs.health_checks,
            make_check(http_health_check={"path": "/", "receive": [{"text": "6f6b"}], "response_buffer_size": 1}),
            "http_health_check: receive has 2 bytes, more than the 1 of response_buffer_size",
        ),
        (
            structs.health_checks,
            make_check(tcp_health_check={"send": {"text": "abc"}}),
            "tcp_health_check.send.text: must be 1 to 2048 bytes in hexadecimal, got the text 'abc'",
        ),
        (
            structs.health_checks,
            make_check(tcp_health_check={"send": {"binary": "YQ=="}}),
            "tcp_health_check.send.binary is unknown; known are text",
        ),
    ],
)
def test_mistakes_say_where_what_and_what_is_allowed(read: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(text)


names = st.sampled_from([*HealthCheck.__struct_fields__, *HttpHealthCheck.__struct_fields__, "text", "x - at `$.y`"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(("1s", "/")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(), inner, max_size=5),
)
KINDS = {
    OutlierDetection: structs.outlier_detection,
    CircuitBreakerThresholds: structs.circuit_breaker_thresholds,
    HealthCheck: structs.health_checks,
}


@bounded
@given(anything)
def test_whatever_is_written_is_read_or_refused(value: Any) -> None:
    for read in KINDS.values():
        with suppress(ValueError):
            read(json.dumps(value))


@bounded
@given(maps(OutlierDetection), maps(CircuitBreakerThresholds), maps(HealthCheck))
def test_what_the_tables_allow_is_read(outliers: dict[str, Any], limits: dict[str, Any], check: dict[str, Any]) -> None:
    outliers.pop("max_ejection_time", None)
    structs.outlier_detection(json.dumps(outliers))
    structs.circuit_breaker_thresholds(json.dumps(limits))
    hows = {"http_health_check", "tcp_health_check", "grpc_health_check"}
    kept = {name: value for name, value in check.items() if name not in hows} | {"tcp_health_check": {}}
    assert structs.health_checks(json.dumps([kept])).timeout <= timedelta(seconds=10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_has_every_field(kind: type) -> None:
    listed = list(structs.fields(kind))
    assert {path for path, _, _, _ in listed if "." not in path} == set(kind.__struct_fields__)  # type: ignore[attr-defined]
    assert all(allowed and doc.endswith(".") for _, allowed, _, doc in listed)
