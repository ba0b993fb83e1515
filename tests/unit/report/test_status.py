"""Which addresses a Service gives."""

from typing import Any

import msgspec
import pytest

from ingress_controller.objects.views import Service
from ingress_controller.report.status import from_service, to_patch


def make_service(spec: Any, addresses: Any = None) -> Service:
    status = {"loadBalancer": {"ingress": addresses} if addresses else {}}
    return msgspec.convert({"metadata": {"name": "proxy"}, "spec": spec, "status": status}, Service)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (None, None),
        (make_service({"type": "LoadBalancer", "clusterIP": "10.96.0.1"}), None),
        (make_service({"type": "NodePort", "clusterIP": "10.96.0.1"}), [{"ip": "10.96.0.1"}]),
        (make_service({"clusterIP": "10.96.0.1"}), [{"ip": "10.96.0.1"}]),
        (make_service({"clusterIP": "None"}), None),
        (make_service({"type": "ExternalName", "externalName": "lb.example.com"}), [{"hostname": "lb.example.com"}]),
        (
            make_service(
                {"type": "LoadBalancer"},
                [
                    {"ip": "192.0.2.1", "ipMode": "Proxy"},
                    {"hostname": "lb", "ports": [{"port": 80, "protocol": "UDP", "error": "x"}, {"port": 1}]},
                ],
            ),
            [
                {"ip": "192.0.2.1"},
                {
                    "hostname": "lb",
                    "ports": [{"port": 80, "protocol": "UDP", "error": "x"}, {"port": 1, "protocol": "TCP"}],
                },
            ],
        ),
    ],
)
def test_addresses(service: Service | None, expected: Any) -> None:
    assert to_patch(from_service(service)) == {"status": {"loadBalancer": {"ingress": expected}}}
