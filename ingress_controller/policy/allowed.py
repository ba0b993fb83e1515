"""Who may, from annotations that are not policies: ``allowed_users`` and its siblings.

In: the parsed values of those annotations. Out: allow rules, one for each annotation, named after it. They are
alternatives: whoever satisfies one of them may.
"""

from collections.abc import Iterable, Mapping

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
from ingress_controller.policy import matchers
from ingress_controller.policy.error import shown


def from_allowed(
    *,
    users: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    claims: Mapping[str, tuple[str, ...]] | None = None,
    any_authenticated: bool = False,
    public: bool = False,
    cors_preflight: bool = False,
) -> tuple[Rule, ...]:
    """Rules for each annotation that is set. A user is an e-mail address or the identity provider's id.

    Raises:
        PolicyError: for a value that the criterion behind it does not take.
    """
    rules: list[tuple[str, Expression]] = []
    if public:
        rules.append(("allow_public_unauthenticated_access", Constant(value=True)))
    if cors_preflight:
        rules.append(("cors_allow_preflight", CorsPreflight()))
    if any_authenticated:
        rules.append(("allow_any_authenticated_user", AuthenticatedUser()))
    if domains:
        rules.append(("allowed_domains", Domain(OneOf(_read(domains, "allowed_domains", matchers.domain)))))
    if groups:
        rules.append(("allowed_groups", Groups(HasAny(_read(groups, "allowed_groups", matchers.text)))))
    if claims:
        rules.append(("allowed_idp_claims", Any(tuple(_claim(name, values) for name, values in claims.items()))))
    if users:
        ids = User(OneOf(_read(users, "allowed_users", matchers.text)))
        addresses = Email(OneOf(_read(users, "allowed_users", lambda value, path: matchers.text(value, path).lower())))
        rules.append(("allowed_users", Any((ids, addresses))))
    return tuple(Rule("allow", name, condition) for name, condition in rules)


def _claim(name: str, values: tuple[str, ...]) -> Expression:
    path = f"allowed_idp_claims.{shown(name)}"
    return Claim(matchers.text(name, path), HasAny(_read(values, path, matchers.claim_text)))


def _read(values: Iterable[str], path: str, element: matchers.Element) -> tuple[str, ...]:
    return tuple(sorted({element(value, f"{path}[{index}]") for index, value in enumerate(values)}))
