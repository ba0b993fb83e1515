"""How requests are spread over the endpoints of an upstream, and which endpoints are left out.

In: YAML of annotations, read by ``annotations.structs``. Out: frozen values that ``envoy`` encodes. Each struct is the
table of its fields, under Envoy's names: what may be written, from which values are checked and mistakes explained, and
what it means, for the reference. A field that is ``None`` leaves Envoy's default.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

Policy: TypeAlias = Literal["round_robin", "least_request", "random", "ring_hash", "maglev"]
"""How an endpoint is chosen."""

HASHING: frozenset[Policy] = frozenset({"ring_hash", "maglev"})
"""The policies that send what belongs together to the same endpoint."""


class Duration(timedelta):
    """A length of time, which may be zero."""

    SHORTEST: ClassVar = timedelta(0)
    LONGEST: ClassVar = timedelta(days=1)


class Interval(Duration):
    """The time between two of something: not so short that it keeps Envoy or the endpoints busy."""

    SHORTEST: ClassVar = timedelta(milliseconds=100)


class FirstCheck(Duration):
    """What the first health check may take: a new cluster, and an Envoy that starts, wait for it, whoever owns it."""

    SHORTEST: ClassVar = timedelta(milliseconds=1)
    LONGEST: ClassVar = timedelta(seconds=10)


def _doc(description: str) -> Meta:
    return Meta(description=description)


_Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
_Threshold = Annotated[int, Meta(ge=1, le=2**32 - 1)]
_Percent = Annotated[int, Meta(ge=0, le=100)]
_Authority = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._:\[\]-]{1,255}\Z", title="a host name, and a port if need be")]
_Path = Annotated[str, Meta(pattern=r"\A/[!-~]{0,2047}\Z", title="a path that begins with /")]
_Hex = Annotated[str, Meta(pattern=r"\A(?:[0-9a-fA-F]{2}){1,2048}\Z", title="1 to 2048 bytes in hexadecimal")]
_ServiceName = Annotated[str, Meta(pattern=r"\A[!-~]{1,255}\Z", title="a name without spaces")]


_RESPONSE_BUFFER_SIZE = 1024


class _Fields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Common options."""


class OutlierDetection(_Fields, frozen=True):
    """Endpoints whose answers to clients show that they fail are ejected for a while. ``{}`` has all the defaults."""

    consecutive_5xx: Annotated[_Count | None, _doc("Eject after so many errors in a row (default 5; 0 for never).")] = (
        None
    )
    interval: Annotated[Interval | None, _doc("Between two sweeps, which eject and take in again (default 10s).")] = (
        None
    )
    base_ejection_time: Annotated[
        Interval | None, _doc("Eject for so long, times the number of ejections so far (default 30s).")
    ] = None
    max_ejection_time: Annotated[
        Interval | None, _doc("Eject for no longer (default 300s, or base_ejection_time if that is longer).")
    ] = None
    max_ejection_time_jitter: Annotated[
        Duration | None, _doc("Add up to so much to the time of an ejection (default 0s).")
    ] = None
    max_ejection_percent: Annotated[
        _Percent | None, _doc("Never have more of the endpoints ejected, in percent (default 10).")
    ] = None
    always_eject_one_host: Annotated[
        bool | None, _doc("Eject one endpoint even if that is more than max_ejection_percent (default false).")
    ] = None
    enforcing_consecutive_5xx: Annotated[
        _Percent | None, _doc("How many of the ejections for consecutive_5xx take place (default 100).")
    ] = None
    consecutive_gateway_failure: Annotated[
        _Count | None, _doc("Eject after so many answers 502, 503 or 504 in a row (default 5; 0 for never).")
    ] = None
    enforcing_consecutive_gateway_failure: Annotated[
        _Percent | None, _doc("How many of the ejections for consecutive_gateway_failure take place (default 0).")
    ] = None
    split_external_local_origin_errors: Annotated[
        bool | None, _doc("Count what fails before there is an answer, such as connecting, apart (default false).")
    ] = None
    consecutive_local_origin_failure: Annotated[
        _Count | None, _doc("Eject after so many failures without an answer, if they are split (default 5).")
    ] = None
    enforcing_consecutive_local_origin_failure: Annotated[
        _Percent | None,
        _doc("How many of the ejections for consecutive_local_origin_failure take place (default 100)."),
    ] = None
    enforcing_local_origin_success_rate: Annotated[
        _Percent | None,
        _doc("How many of the ejections for a low rate of successes without an answer do (default 100)."),
    ] = None
    success_rate_minimum_hosts: Annotated[
        _Count | None, _doc("Compare rates of success only if so many endpoints have enough requests (default 5).")
    ] = None
    success_rate_request_volume: Annotated[
        _Count | None, _doc("The requests in one interval that are enough for a rate of success (default 100).")
    ] = None
    success_rate_stdev_factor: Annotated[
        _Count | None, _doc("Eject below the mean rate less this many thousandths of its deviation (default 1900).")
    ] = None
    enforcing_success_rate: Annotated[
        _Percent | None, _doc("How many of the ejections for a low rate of success take place (default 100).")
    ] = None
    failure_percentage_threshold: Annotated[
        _Percent | None, _doc("Eject when so many of the answers are failures, in percent (default 85).")
    ] = None
    failure_percentage_minimum_hosts: Annotated[
        _Count | None, _doc("Look at percentages of failure only with so many endpoints (default 5).")
    ] = None
    failure_percentage_request_volume: Annotated[
        _Count | None, _doc("The requests in one interval that are enough for a percentage (default 50).")
    ] = None
    enforcing_failure_percentage: Annotated[
        _Percent | None, _doc("How many of the ejections for failure_percentage_threshold take place (default 0).")
    ] = None
    enforcing_failure_percentage_local_origin: Annotated[
        _Percent | None, _doc("The same for failures without an answer, if they are split (default 0).")
    ] = None
    successful_active_health_check_uneject_host: Annotated[
        bool | None, _doc("Take an endpoint in again when it passes its health check (default true).")
    ] = None

    def __post_init__(self) -> None:
        """Refuse what Envoy refuses."""
        base = self.base_ejection_time or timedelta(seconds=30)
        if self.max_ejection_time and self.max_ejection_time < base:
            shown = "base_ejection_time" if self.base_ejection_time else "base_ejection_time, which is 30s unless given"
            raise ValueError(f"max_ejection_time must be at least {shown}")


class StatusRange(_Fields, frozen=True):
    """Statuses of HTTP, of which the last is left out."""

    start: Annotated[Annotated[int, Meta(ge=100, le=599)], _doc("The first status.")]
    end: Annotated[Annotated[int, Meta(ge=101, le=600)], _doc("The status after the last.")]

    def __post_init__(self) -> None:
        """Refuse what Envoy refuses."""
        if self.start >= self.end:
            raise ValueError("end must be greater than start: it is the status after the last one")


class Payload(_Fields, frozen=True):
    """Bytes."""

    text: Annotated[_Hex, _doc("The bytes.")]


class HttpHealthCheck(_Fields, frozen=True):
    """An endpoint is healthy if it answers a request, with 200 unless told."""

    path: Annotated[_Path, _doc("What is asked for.")]
    host: Annotated[_Authority | None, _doc("The Host header (default: the upstream's own name).")] = None
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] | None,
        _doc("The method (default GET)."),
    ] = None
    expected_statuses: Annotated[
        Annotated[tuple[StatusRange, ...], Meta(min_length=1, max_length=100)] | None,
        _doc("The statuses of a healthy endpoint (default 200)."),
    ] = None
    retriable_statuses: Annotated[
        Annotated[tuple[StatusRange, ...], Meta(min_length=1, max_length=100)] | None,
        _doc("Statuses that count up to unhealthy_threshold; all others show at once that it is not healthy."),
    ] = None
    receive: Annotated[
        Annotated[tuple[Payload, ...], Meta(min_length=1, max_length=100)] | None,
        _doc("What must be in the body, in this order."),
    ] = None
    response_buffer_size: Annotated[
        Annotated[int, Meta(ge=1, le=65536)] | None, _doc("How many bytes of the body are looked at (default 1024).")
    ] = None
    codec_client_type: Annotated[
        Literal["HTTP1", "HTTP2"] | None, _doc("The version of HTTP (default: the one that requests have).")
    ] = None

    def __post_init__(self) -> None:
        """Refuse what Envoy refuses."""
        size = self.response_buffer_size or _RESPONSE_BUFFER_SIZE
        if (wanted := sum(len(payload.text) // 2 for payload in self.receive or ())) > size:
            raise ValueError(f"receive has {wanted} bytes, more than the {size} of response_buffer_size")


class TcpHealthCheck(_Fields, frozen=True):
    """An endpoint is healthy if it takes a connection and, if so told, answers. ``{}`` only connects."""

    send: Annotated[Payload | None, _doc("What is sent.")] = None
    receive: Annotated[
        Annotated[tuple[Payload, ...], Meta(min_length=1, max_length=100)] | None,
        _doc("What must be in the answer, in this order."),
    ] = None


class GrpcHealthCheck(_Fields, frozen=True):
    """An endpoint is healthy if its ``grpc.health.v1.Health`` says so; only for ports that speak HTTP/2."""

    service_name: Annotated[_ServiceName | None, _doc("The service that is asked about.")] = None
    authority: Annotated[_Authority | None, _doc("The :authority header (default: the upstream's own name).")] = None


class HealthCheck(_Fields, frozen=True):
    """Endpoints are asked regularly, and those that are not healthy get no requests while at least half of all are.

    Exactly one of ``http_health_check``, ``tcp_health_check`` and ``grpc_health_check`` says how.
    """

    timeout: Annotated[FirstCheck, _doc("A check that takes longer has failed.")]
    interval: Annotated[Interval, _doc("Between two checks.")]
    unhealthy_threshold: Annotated[_Threshold, _doc("So many failures in a row make an endpoint unhealthy.")]
    healthy_threshold: Annotated[_Threshold, _doc("So many successes make it healthy again. At first, one is enough.")]
    http_health_check: Annotated[HttpHealthCheck | None, _doc("Ask with HTTP.")] = None
    tcp_health_check: Annotated[TcpHealthCheck | None, _doc("Connect.")] = None
    grpc_health_check: Annotated[GrpcHealthCheck | None, _doc("Ask with gRPC.")] = None
    initial_jitter: Annotated[FirstCheck | None, _doc("Wait up to so long before the first check.")] = None
    interval_jitter: Annotated[Duration | None, _doc("Add up to so much to each interval.")] = None
    interval_jitter_percent: Annotated[_Percent | None, _doc("The same, in percent of the interval.")] = None
    reuse_connection: Annotated[bool | None, _doc("Keep the connection between checks (default true).")] = None
    no_traffic_interval: Annotated[
        Interval | None, _doc("In place of interval until there was a first request (default 60s).")
    ] = None
    no_traffic_healthy_interval: Annotated[
        Interval | None, _doc("The same for endpoints that are healthy (default: no_traffic_interval).")
    ] = None
    unhealthy_interval: Annotated[
        Interval | None, _doc("In place of interval for endpoints that are unhealthy (default: interval).")
    ] = None
    unhealthy_edge_interval: Annotated[
        Interval | None,
        _doc("Before the first check after an endpoint became unhealthy (default: unhealthy_interval)."),
    ] = None
    healthy_edge_interval: Annotated[
        Interval | None, _doc("Before the first check after an endpoint became healthy (default: interval).")
    ] = None

    def __post_init__(self) -> None:
        """Refuse what Envoy refuses."""
        kinds = (self.http_health_check, self.tcp_health_check, self.grpc_health_check)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("must have exactly one of http_health_check, tcp_health_check and grpc_health_check")


class CircuitBreakerThresholds(_Fields, frozen=True):
    """What is more than one of these is answered with 503 at once. Each holds for all endpoints together."""

    max_connections: Annotated[_Count | None, _doc("Connections (default 1024).")] = None
    max_pending_requests: Annotated[
        _Count | None, _doc("Requests that wait for a connection (default 1024).")
    ] = None  # fmt: skip
    max_requests: Annotated[_Count | None, _doc("Requests that are being served (default 1024).")] = None
    max_retries: Annotated[_Count | None, _doc("Requests that are being tried again (default 3).")] = None
    max_connection_pools: Annotated[_Threshold | None, _doc("Pools of connections (default: no limit).")] = None


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """Everything that annotations say about this. ``health_check`` may lack a host, which then is the upstream's."""

    policy: Policy = "round_robin"
    outlier_detection: OutlierDetection | None = None
    health_check: HealthCheck | None = None
    circuit_breaker_thresholds: CircuitBreakerThresholds | None = None


EVENLY = LoadBalancing()
"""Round robin over all endpoints."""
