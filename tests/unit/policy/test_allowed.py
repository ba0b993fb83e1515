"""Annotations that are not policies, and how parts of a policy join."""

import pytest

from ingress_controller.model.policy import (
    Any,
    AuthenticatedUser,
    Claim,
    Constant,
    CorsPreflight,
    Domain,
    Email,
    Expression,
    Groups,
    HasAny,
    OneOf,
    Rule,
    User,
)
from ingress_controller.policy.allowed import from_allowed
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.parse import combine, parse


def conditions(*rules: Rule) -> dict[str, Expression]:
    return {rule.name: rule.condition for rule in rules}


def test_nothing_is_no_rule() -> None:
    assert from_allowed() == ()


def test_each_annotation_is_a_rule() -> None:
    rules = from_allowed(
        users=("B@example.com", "id-1"),
        domains=("Example.com", "corp.io"),
        groups=("ops", "dev"),
        claims={"family_name": ("Doe",), "a/b": ("x", "y")},
        any_authenticated=True,
        public=True,
        cors_preflight=True,
    )
    assert {rule.action for rule in rules} == {"allow"}
    assert conditions(*rules) == {
        "allow_public_unauthenticated_access": Constant(value=True),
        "cors_allow_preflight": CorsPreflight(),
        "allow_any_authenticated_user": AuthenticatedUser(),
        "allowed_domains": Domain(OneOf(("corp.io", "example.com"))),
        "allowed_groups": Groups(HasAny(("dev", "ops"))),
        "allowed_idp_claims": Any((Claim("family_name", HasAny(("Doe",))), Claim("a/b", HasAny(("x", "y"))))),
        "allowed_users": Any(
            (User(OneOf(("B@example.com", "id-1"))), Email(OneOf(("b@example.com", "id-1")))),
        ),
    }


@pytest.mark.parametrize(
    ("arguments", "message", "path"),
    [
        ({"users": ("a", "")}, "expected a string that is not empty", "allowed_users[1]"),
        (
            {"domains": ("a@b",)},
            "expected what follows the @ of an e-mail address, got the text 'a@b'",
            "allowed_domains[0]",
        ),
        (
            {"groups": ("a\0",)},
            "expected a string without control characters, got the text 'a\\x00'",
            "allowed_groups[0]",
        ),
        ({"claims": {"": ("x",)}}, "expected a string that is not empty", "allowed_idp_claims."),
        ({"claims": {"x": ("",)}}, "expected a string that is not empty", "allowed_idp_claims.x[0]"),
    ],
)
def test_mistakes(arguments: dict[str, tuple[str, ...]], message: str, path: str) -> None:
    with pytest.raises(PolicyError) as error:
        from_allowed(**arguments)  # type: ignore[arg-type]
    assert str(error.value) == f"parsing policy: invalid rules in policy: {message} (at {path})"


def test_parts_join_in_order() -> None:
    written = parse("{allow: {or: [{email: z@z.io}]}, deny: {or: [{email: x@x.io}]}}")
    joined = combine(from_allowed(domains=("a.b",)), written.deny, written.allow)
    assert [rule.name for rule in (*joined.deny, *joined.allow)] == ["policy.deny", "allowed_domains", "policy.allow"]
