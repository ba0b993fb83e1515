"""Load balancing as parts of a cluster.

In: ``LoadBalancing``. Out: the fields of a ``Cluster`` that say the same, under the same names.
"""

from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterLbPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    HealthCheckHttpHealthCheck,
    HealthCheckPayload,
    HealthCheckTcpHealthCheck,
    RequestMethod,
)
from envoy_data_plane.envoy.type.v3 import CodecClientType, Int64Range
from msgspec import Struct

from ingress_controller.model import load_balancing as model

_POLICIES: dict[model.Policy, ClusterLbPolicy] = {
    "round_robin": ClusterLbPolicy.ROUND_ROBIN,
    "least_request": ClusterLbPolicy.LEAST_REQUEST,
    "random": ClusterLbPolicy.RANDOM,
    "ring_hash": ClusterLbPolicy.RING_HASH,
    "maglev": ClusterLbPolicy.MAGLEV,
}


def cluster_part(balancing: model.LoadBalancing) -> Cluster:
    """A cluster with nothing but its load balancing."""
    made = Cluster(lb_policy=_POLICIES[balancing.policy])
    if (outliers := balancing.outlier_detection) is not None:
        made.outlier_detection = OutlierDetection(**_given(outliers))
    if (check := balancing.health_check) is not None:
        made.health_checks = [_health_check(check)]
    if (thresholds := balancing.circuit_breaker_thresholds) is not None:
        made.circuit_breakers = CircuitBreakers(thresholds=[CircuitBreakersThresholds(**_given(thresholds))])
    return made


def _health_check(check: model.HealthCheck) -> HealthCheck:
    fields = _given(check)
    if http := check.http_health_check:
        fields["http_health_check"] = _http(http)
    if tcp := check.tcp_health_check:
        receive = [_payload(payload) for payload in tcp.receive or ()]
        send = _payload(tcp.send) if tcp.send else None
        fields["tcp_health_check"] = HealthCheckTcpHealthCheck(send=send, receive=receive)
    if grpc := check.grpc_health_check:
        fields["grpc_health_check"] = HealthCheckGrpcHealthCheck(**_given(grpc))
    return HealthCheck(**fields)


def _http(http: model.HttpHealthCheck) -> HealthCheckHttpHealthCheck:
    fields = _given(http)
    if http.method:
        fields["method"] = RequestMethod[http.method]
    if http.codec_client_type:
        fields["codec_client_type"] = CodecClientType[http.codec_client_type]
    for name in ("expected_statuses", "retriable_statuses"):
        fields[name] = [Int64Range(**_given(statuses)) for statuses in fields.get(name, ())]
    fields["receive"] = [_payload(payload) for payload in http.receive or ()]
    return HealthCheckHttpHealthCheck(**fields)


def _payload(payload: model.Payload) -> HealthCheckPayload:
    return HealthCheckPayload(text=payload.text)


def _given(struct: Struct) -> dict[str, Any]:
    """The fields that are set. They have Envoy's names."""
    return {name: value for name in struct.__struct_fields__ if (value := getattr(struct, name)) is not None}
