"""Client certificates in policies.

In: the YAML value of the criterion ``client_certificate``; and a policy, with whether its host asks clients for a
certificate. Out: what ``model.policy`` keeps, or ``PolicyError``; and the policy as it counts on that host.

Envoy tells a policy the fingerprint of a certificate and whether it is valid, all of it. Of the alternative names it
tells the first, or all in one string with commas, which a name may have too; of the public key nothing. What it
cannot decide for certain is refused.
"""

import re

from msgspec.structs import replace

from ingress_controller.model.policy import (
    All,
    Any,
    ClientCertificate,
    Constant,
    Expression,
    InvalidClientCertificate,
    Not,
    Policy,
    Rule,
)
from ingress_controller.policy.error import describe, invalid, shown
from ingress_controller.policy.matchers import nearest, text

_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}")
_NAMES = "the proxy cannot tell the names of a certificate apart for certain"
_UNDECIDABLE = {
    "spki_hash": "the proxy cannot compare public keys for one route",
    **dict.fromkeys(("san_dns", "san_email", "san_uri"), _NAMES),
}
"""Keys of the public language that are refused, and why."""


def client_certificate(value: object, path: str) -> ClientCertificate:
    """``{fingerprint}``: one or a list."""
    if not isinstance(value, dict) or not value:
        raise invalid(f"expected a map of fingerprint, got {describe(value)}", path)
    for name in value:
        if name in _UNDECIDABLE:
            instead = "write fingerprint, which a renewal of the certificate changes"
            raise invalid(f"{name} is not supported, because {_UNDECIDABLE[name]}: {instead}", f"{path}.{name}")
        if name != "fingerprint":
            raise invalid(f'unknown key "{shown(name)}"{nearest(name, ("fingerprint",))}', path)
    written, at = value["fingerprint"], f"{path}.fingerprint"
    if isinstance(written, list):
        found = {_fingerprint(item, f"{at}[{index}]") for index, item in enumerate(written)}
        return ClientCertificate(tuple(sorted(found)))
    return ClientCertificate((_fingerprint(written, at),))


def resolve(policy: Policy, *, asked: bool) -> Policy:
    """The policy as it counts on a host that asks clients for a certificate, or does not.

    Where none is asked for, nobody has a valid one, and nobody has an invalid one either. Where one is asked for,
    clients without a valid one are denied first of all.
    """
    if asked:
        return replace(
            policy, deny=(Rule("deny", "invalid_client_certificate", InvalidClientCertificate()), *policy.deny)
        )
    if not any(_asks(rule.condition) for rule in (*policy.allow, *policy.deny)):
        return policy
    return Policy(*(tuple(_unasked_rule(rule) for rule in rules) for rules in (policy.allow, policy.deny)))


def _asks(expression: Expression) -> bool:
    """Whether a condition is about certificates at all. Few are, and the others stay one value for all their users."""
    match expression:
        case All(terms) | Any(terms):
            return any(map(_asks, terms))
        case Not(term):
            return _asks(term)
        case _:
            return isinstance(expression, ClientCertificate | InvalidClientCertificate)


def _unasked_rule(rule: Rule) -> Rule:
    return replace(rule, condition=_unasked(rule.condition))


def _unasked(expression: Expression) -> Expression:
    match expression:
        case ClientCertificate() | InvalidClientCertificate():
            return Constant(value=False)
        case Not(term):
            return Not(_unasked(term))
        case All(terms):
            return All(tuple(_unasked(term) for term in terms))
        case Any(terms):
            return Any(tuple(_unasked(term) for term in terms))
        case _:
            return expression


def normal_fingerprint(written: str) -> str:
    """A fingerprint as policies compare it. Raises ``ValueError`` for what is none."""
    if not _FINGERPRINT.fullmatch(written):
        raise ValueError(
            "expected the SHA-256 fingerprint of a certificate, 64 hexadecimal digits with or without colons, "
            f"got {describe(written)}"
        )
    return written.replace(":", "").lower()


def _fingerprint(value: object, path: str) -> str:
    written = text(value, path)
    try:
        return normal_fingerprint(written)
    except ValueError as error:
        raise invalid(str(error), path) from None
