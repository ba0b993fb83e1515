"""A policy put together from parts that were encoded before is the one that is encoded as a whole."""

from itertools import product

import pytest

from ingress_controller.envoy import policy
from ingress_controller.envoy.messages import pack
from ingress_controller.policy.parse import parse

POLICIES = (
    "[]",
    "allow: {or: [{accept: true}]}",
    "allow: {or: [{authenticated_user: true}]}",
    "allow: {and: [{domain: {is: example.com}}, {groups: {has: admins}}]}",
    "{allow: {or: [{http_method: GET}, {email: {is: ann@example.com}}]}, deny: {or: [{source_ip: 192.0.2.0/24}]}}",
    f"allow: {{or: [{{email: {{in: [{', '.join(f'user-{number}@example.com' for number in range(20))}]}}}}]}}",
)


@pytest.mark.parametrize("text", POLICIES)
def test_parts_make_the_whole(text: str) -> None:
    parsed = parse(text)
    for host, strict in product(("a.example.com", "a-longer-name.example.com", "*.example.com", "*"), (False, True)):
        for shadow in (None, parse(POLICIES[3])):
            whole = pack(policy.rbac_per_route(parsed, host, shadow, server_name_must_match=strict))
            assert bytes(policy.packed(parsed, host, shadow, server_name_must_match=strict)) == bytes(whole)
