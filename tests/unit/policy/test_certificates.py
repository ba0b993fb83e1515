"""A policy on hosts that ask for client certificates, and on those that do not."""

from ingress_controller.model.policy import Constant, InvalidClientCertificate, Rule
from ingress_controller.policy.certificates import resolve
from ingress_controller.policy.parse import parse
from ingress_controller.policy.simplify import simplify

ONE = "1a" * 32
WRITTEN = parse(
    f"[{{allow: {{and: [{{client_certificate: {{fingerprint: {ONE}}}}}, {{email: a@b.c}}], "
    "not: [{invalid_client_certificate: true}], or: [{http_method: GET}]}}, "
    "{deny: {or: [{invalid_client_certificate: true}, {email: x@b.c}]}}]"
)


def test_a_host_that_asks_denies_whoever_shows_no_valid_certificate_first_of_all() -> None:
    made = resolve(WRITTEN, asked=True)
    assert made.deny[0] == Rule("deny", "invalid_client_certificate", InvalidClientCertificate())
    assert (made.allow, made.deny[1:]) == (WRITTEN.allow, WRITTEN.deny)


def test_where_none_is_asked_for_nobody_has_a_valid_one_and_nobody_an_invalid_one() -> None:
    made = resolve(WRITTEN, asked=False)
    assert [rule.name for rule in (*made.allow, *made.deny)] == ["policy[0].allow", "policy[1].deny"]
    assert simplify(made.allow[0].condition) == Constant(value=True)
    assert simplify(made.deny[0].condition) == simplify(parse("deny: {or: [{email: x@b.c}]}").deny[0].condition)


def test_a_policy_without_certificates_stays_as_it_is() -> None:
    written = parse("{allow: {and: [{domain: b.c}, {day_of_week: mon}]}, deny: {nor: [{http_method: GET}]}}")
    assert resolve(written, asked=False) == written
