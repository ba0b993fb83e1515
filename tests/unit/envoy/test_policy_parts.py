"""A policy put together from parts, some of them encoded before, is what the message library encodes of it."""

from itertools import product

import pytest
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import RbacPerRoute
from envoy_data_plane.google.protobuf import Any

from ingress_controller.envoy import policy
from ingress_controller.policy.parse import parse

POLICIES = (
    "[]",
    "allow: {or: [{accept: true}]}",
    "allow: {or: [{authenticated_user: true}]}",
    "allow: {and: [{domain: {is: example.com}}, {groups: {has: admins}}]}",
    "{allow: {or: [{http_method: GET}, {email: {is: ann@example.com}}]}, deny: {or: [{source_ip: 192.0.2.0/24}]}}",
    f"allow: {{or: [{{email: {{in: [{', '.join(f'user-{number}@example.com' for number in range(20))}]}}}}]}}",
)
HOSTS = ("a.example.com", "a-longer-name.example.com", "*.example.com", "*")


@pytest.mark.parametrize("text", POLICIES)
def test_parts_make_the_whole(text: str) -> None:
    for host, strict, shadow in product(HOSTS, (False, True), (None, parse(POLICIES[3]))):
        encoding = b"".join(policy.per_route(parse(text), host, shadow, server_name_must_match=strict))
        message = Any.parse(encoding)
        assert bytes(Any.pack(RbacPerRoute.parse(message.value))) == encoding


def test_hosts_share_what_says_nothing_of_them() -> None:
    one, other = (policy.per_route(parse(POLICIES[3]), host) for host in HOSTS[:2])
    common = {id(piece) for piece in one} & {id(piece) for piece in other}
    assert sum(len(piece) for piece in one if id(piece) not in common) < sum(map(len, one)) / 2
