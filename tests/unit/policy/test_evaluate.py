"""Who wins, and what each criterion asks: tables, and the rules of the decision written out a second time."""

from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import product
from typing import Any as Anything

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.model.policy import (
    All,
    Any,
    AuthenticatedUser,
    Constant,
    Domain,
    Email,
    Expression,
    HttpMethod,
    Not,
    OneOf,
    Policy,
    Rule,
    SessionCriterion,
)
from ingress_controller.policy.evaluate import Request, Session, ShownCertificate, Trace, evaluate
from ingress_controller.policy.parse import combine, parse
from ingress_controller.policy.plan import Standing, Step, make_plan, step_name
from ingress_controller.policy.simplify import simplify

APP = "app.example.com"
ANN = Session("ann-id", (APP,), "ann@sub@example.com", ("dev", "ops"), {"level": "1", "a": {"b": ["x"]}, "c/d": "y"})
NOTHING = Session("none-id", (APP,))


NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)  # a Tuesday


def make_request(
    method: str = "GET", path: str | None = "/", source: str = "10.0.0.1", time: datetime = NEW_YEAR, **more: Anything
) -> Request:
    return Request(APP, method, path, ip_address(source), time, **more)


def decide(text: str, session: Session | None = None, **request: Anything) -> str:
    return evaluate(parse(text), make_request(**request), session).name


@pytest.mark.parametrize(
    ("criterion", "ann", "nothing"),
    [
        ("authenticated_user: true", True, True),
        ("authenticated_user: false", False, False),
        ("email: ann@sub@example.com", True, False),
        ("email: {not: x@y.z}", True, False),
        ("email: {not: ann@sub@example.com}", False, False),
        ("email: {not_in: []}", True, False),
        ("email: {in: []}", False, False),
        ("email: {starts_with: ann, ends_with: .com}", True, False),
        ("email: {starts_with: ann, ends_with: .org}", False, False),
        ("domain: EXAMPLE.com", True, False),
        ("domain: {starts_with: sub}", False, False),
        ("domain: {starts_with: exam}", True, False),
        ("domain: {contains: ample}", True, False),
        ("domain: {not: other.com}", True, False),
        ("user: ann-id", True, False),
        ("user: {ends_with: -id}", True, True),
        ("groups: dev", True, False),
        ("groups: {is: dev}", False, False),
        ("groups: {in: [dev, x]}", True, False),
        ("groups: {in: []}", False, False),
        ("groups: {not: dev}", False, False),
        ("groups: {not: x}", True, False),
        ("groups: {not_in: [x, ops]}", False, False),
        ("groups: {not_in: []}", True, False),
        ("groups: {contains: p}", True, False),
        ("groups: {starts_with: op, ends_with: v}", True, False),
        ("groups: {starts_with: v}", False, False),
        ("groups: {ends_with: x}", False, False),
        ("claim/level: 1", True, False),
        ("claim/level: {is: '1'}", True, False),
        ("claim/a/b: x", True, False),
        ("claim/c/d: {is: y}", True, False),
        ("claim/a: x", False, False),
    ],
)
def test_session_criteria(criterion: str, ann: bool, nothing: bool) -> None:  # noqa: FBT001
    text = f"allow: {{or: [{{{criterion}}}]}}"
    assert decide(text, ANN) == ("allow:policy.allow" if ann else "default_deny")
    assert decide(text, NOTHING) == ("allow:policy.allow" if nothing else "default_deny")
    assert decide(text) in ("unauth", "default_deny")


@pytest.mark.parametrize(
    ("criterion", "request_", "holds"),
    [
        ("http_method: GET", {}, True),
        ("http_method: {not: GET}", {}, False),
        ("http_method: {in: [POST, GET]}", {}, True),
        ("http_path: /a", {"path": "/a?b"}, True),
        ("http_path: /a", {"path": "/a/"}, False),
        ("http_path: {contains: b}", {"path": "/a?b"}, False),
        ("http_path: {not: /a}", {"path": None}, False),
        ("source_ip: 10.0.0.0/8", {}, True),
        ("source_ip: [192.0.2.1, 10.0.0.0/31]", {}, True),
        ("source_ip: 10.0.0.0/8", {"source": "::ffff:10.0.0.1"}, True),
        ("source_ip: '::/0'", {"source": "2001:db8::1"}, True),
        ("source_ip: '::/0'", {}, False),
        ("source_ip: []", {}, False),
    ],
)
def test_request_criteria(criterion: str, request_: dict[str, Anything], *, holds: bool) -> None:
    text = f"allow: {{or: [{{{criterion}}}]}}"
    assert decide(text, **request_) == ("allow:policy.allow" if holds else "default_deny")


PREFLIGHT = {"origin": "https://b.example", "access-control-request-method": "PUT"}


@pytest.mark.parametrize(
    ("method", "headers", "holds"),
    [
        ("OPTIONS", PREFLIGHT, True),
        ("GET", PREFLIGHT, False),
        ("OPTIONS", {"origin": "https://b.example"}, False),
        ("OPTIONS", {**PREFLIGHT, "access-control-request-method": ""}, False),
        ("OPTIONS", {**PREFLIGHT, "origin": ""}, False),
        ("OPTIONS", {}, False),
    ],
)
def test_a_preflight_is_its_method_and_both_headers(method: str, headers: dict[str, str], *, holds: bool) -> None:
    name = decide("allow: {or: [{cors_preflight: true}]}", method=method, headers=headers)
    assert name == ("allow:policy.allow" if holds else "default_deny")


ONE, OTHER = "1a" * 32, "2b" * 32


@pytest.mark.parametrize(
    ("certificate", "one", "invalid"),
    [
        (None, False, True),
        (ShownCertificate(ONE, valid=True), True, False),
        (ShownCertificate(ONE, valid=False), False, True),
        (ShownCertificate(OTHER, valid=True), False, False),
    ],
)
def test_certificates(certificate: ShownCertificate | None, *, one: bool, invalid: bool) -> None:
    for criterion, holds in ((f"client_certificate: {{fingerprint: {ONE}}}", one),
                             ("invalid_client_certificate: true", invalid)):  # fmt: skip
        text = f"allow: {{or: [{{{criterion}}}]}}"
        assert decide(text, certificate=certificate) == ("allow:policy.allow" if holds else "default_deny")


@pytest.mark.parametrize(
    ("criterion", "request_", "actual"),
    [
        ("cors_preflight: true", {"method": "OPTIONS", "headers": PREFLIGHT}, ("OPTIONS", *PREFLIGHT)),
        ("cors_preflight: true", {"headers": {"origin": "x"}}, ("GET", "origin")),
        ("date: {after: 2030-01-01}", {}, "2030-01-01T00:00:00+00:00"),
        ("day_of_week: wed", {}, "tue"),
        ("time_of_day: {timezone: Asia/Kolkata, after: 1:00}", {}, "05:30:00"),
        (f"client_certificate: {{fingerprint: {ONE}}}", {"certificate": ShownCertificate(OTHER, valid=True)}, OTHER),
        (f"client_certificate: {{fingerprint: {ONE}}}", {"certificate": ShownCertificate(ONE, valid=False)}, None),
        ("invalid_client_certificate: true", {}, "no certificate"),
        (
            "invalid_client_certificate: true",
            {"certificate": ShownCertificate(ONE, valid=False)},
            "an invalid certificate",
        ),
        ("invalid_client_certificate: true", {"certificate": ShownCertificate(ONE, valid=True)}, "a valid certificate"),
    ],
)
def test_a_trace_shows_what_was_looked_at(
    criterion: str, request_: dict[str, Anything], actual: tuple[str, ...] | str | None
) -> None:
    decision = evaluate(parse(f"allow: {{or: [{{{criterion}}}]}}"), make_request(**request_), None)
    ((_, trace),) = decision.trace
    assert trace.terms[0].terms[0].actual == actual


DENY_BOB = "deny: {or: [{email: bob@example.com}]}"
DENY_OUTSIDERS = "deny: {not: [{domain: example.com}]}"
DENY_POST = "deny: {or: [{http_method: POST}]}"
PUBLIC = "allow: {or: [{accept: true}]}"


@pytest.mark.parametrize(
    ("text", "anonymous", "elsewhere", "ann"),
    [
        ("[]", "default_deny", "default_deny", "default_deny"),
        ("{allow: {}}", "default_deny", "default_deny", "default_deny"),
        (f"{{{PUBLIC}}}", "allow:policy.allow", "allow:policy.allow", "allow:policy.allow"),
        ("{allow: {or: [{authenticated_user: true}]}}", "unauth", "wrong-aud", "allow:policy.allow"),
        ("{allow: {or: [{groups: nobody}]}}", "unauth", "wrong-aud", "default_deny"),
        ("{allow: {and: [{reject: true}, {groups: dev}]}}", "default_deny", "default_deny", "default_deny"),
        ("{allow: {and: [{http_method: PUT}, {groups: dev}]}}", "default_deny", "default_deny", "default_deny"),
        ("{allow: {not: [{groups: dev}]}}", "unauth", "wrong-aud", "default_deny"),
        (f"{{{PUBLIC}, {DENY_BOB}}}", "allow:policy.allow", "allow:policy.allow", "allow:policy.allow"),
        (f"{{{PUBLIC}, {DENY_OUTSIDERS}}}", "unauth", "wrong-aud", "allow:policy.allow"),
        (f"{{{PUBLIC}, {DENY_POST}}}", "allow:policy.allow", "allow:policy.allow", "allow:policy.allow"),
        (f"[{{{PUBLIC}}}, {{deny: {{or: [{{source_ip: 10.0.0.1}}]}}}}]", *["deny:policy.1.deny"] * 3),
        ("{deny: {or: [{accept: true}]}}", *["deny:policy.deny"] * 3),
    ],
)
def test_who_wins(text: str, anonymous: str, elsewhere: str, ann: str) -> None:
    assert decide(text) == anonymous
    assert decide(text, Session("ann-id", ("other.example.com",), "ann@example.com")) == elsewhere
    assert decide(text, ANN) == ann


def test_a_rule_has_a_name_without_brackets_or_spaces() -> None:
    assert step_name(Rule("deny", "policy[12].deny", Constant(value=True))) == "deny:policy.12.deny"
    assert step_name(Rule("allow", "a b]\n[c", Constant(value=True))) == "allow:a_b___c"


def test_who_asks_makes_no_difference_where_only_the_request_counts() -> None:
    policy = parse("{allow: {or: [{http_method: GET}]}, deny: {or: [{day_of_week: sun}]}}")
    assert len({make_plan(policy, standing) for standing in Standing}) == 1


def test_the_usual_policies_are_small() -> None:
    everybody = Constant(value=True)
    public = Step(everybody, "allow", "allow:policy.allow")
    assert {make_plan(parse(f"{{{PUBLIC}}}"), standing) for standing in Standing} == {(public,)}
    policy = parse("allow: {or: [{email: a@b.c}, {email: d@e.f}]}")
    assert make_plan(policy, Standing.ANONYMOUS) == (Step(everybody, "sign_in", "unauth"),)
    assert make_plan(policy, Standing.WRONG_AUDIENCE) == (Step(everybody, "sign_in", "wrong-aud"),)
    allowed = Step(Email(OneOf(("a@b.c", "d@e.f"))), "allow", "allow:policy.allow")
    assert make_plan(policy, Standing.SIGNED_IN) == (allowed, Step(everybody, "deny", "default_deny"))


def test_a_decision_shows_what_each_criterion_looked_at() -> None:
    decision = evaluate(parse("allow: {and: [{domain: example.com}, {http_path: /b}]}"), make_request(path="/a?b"), ANN)
    ((rule, trace),) = decision.trace
    assert (decision.outcome, rule.name, trace.holds) == ("deny", "policy.allow", False)
    ((domain, path),) = (block.terms for block in trace.terms)
    assert domain == Trace(Domain(OneOf(("example.com",))), "example.com", holds=True)
    assert (path.actual, path.holds) == ("/a", False)


# --- The rules of the decision, without plans: truth tables over two session criteria and one about the request.

SESSIONS = [
    None if email is None else Session("id", (APP,), email)
    for email in (None, "a@x", "b@x", "c@x")
]  # fmt: skip
ATOMS = (Email(OneOf(("a@x",))), Email(OneOf(("b@x",))), Email(OneOf(("a@x", "c@x"))), AuthenticatedUser())
LEAVES = st.sampled_from([*ATOMS, HttpMethod(OneOf(("GET",))), Constant(value=False)])
EXPRESSIONS = st.recursive(
    LEAVES | st.builds(Not, LEAVES),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Any, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
POLICIES = st.builds(
    lambda allow, deny: combine(
        [Rule("allow", f"a{i}", e) for i, e in enumerate(allow)], [Rule("deny", f"d{i}", e) for i, e in enumerate(deny)]
    ),
    st.lists(EXPRESSIONS, max_size=2),
    st.lists(EXPRESSIONS, max_size=2),
)


def holds(
    expression: Expression,
    method: str,
    session: Session | None,
    literal: bool | None = None,  # noqa: FBT001
) -> bool:
    """Whether it holds; ``literal`` is what each use of a session criterion counts, plain or under a not."""
    match expression:
        case Constant(value):
            return value
        case All(terms):
            return all(holds(term, method, session, literal) for term in terms)
        case Any(terms):
            return any(holds(term, method, session, literal) for term in terms)
        case Not(term):
            return not holds(term, method, session, None if literal is None else not literal)
        case SessionCriterion() if literal is not None:
            return literal
        case AuthenticatedUser():
            return session is not None
        case Email(OneOf(values)):
            return session is not None and session.email in values
        case HttpMethod(OneOf(values)):
            return method in values
    raise AssertionError(expression)


def expected(policy: Policy, method: str, session: Session | None) -> str:
    def first(rules: tuple[Rule, ...], literal: bool | None) -> str | None:  # noqa: FBT001
        return next((f"{r.action}:{r.name}" for r in rules if holds(r.condition, method, session, literal)), None)

    if session is not None:
        return first(policy.deny, None) or first(policy.allow, None) or "default_deny"
    if first(policy.deny, literal=False):
        return str(first(policy.deny, literal=False))
    if first(policy.deny, None):
        return "unauth"
    if first(policy.allow, literal=False):
        return str(first(policy.allow, literal=False))
    return "unauth" if first(policy.allow, literal=True) else "default_deny"


@given(POLICIES)
@settings(deadline=None, max_examples=400)
def test_decisions_follow_the_written_rules(policy: Policy) -> None:
    for method, session in product(("GET", "POST"), SESSIONS):
        assert evaluate(policy, make_request(method), session).name == expected(policy, method, session)


@given(POLICIES)
@settings(deadline=None, max_examples=400)
def test_not_signed_in_is_never_final_for_who_may(policy: Policy) -> None:
    for method in ("GET", "POST"):
        anonymous = evaluate(policy, make_request(method), None)
        signed_in = {evaluate(policy, make_request(method), session).outcome for session in SESSIONS[1:]}
        if anonymous.outcome == "deny":
            assert signed_in == {"deny"}


@given(EXPRESSIONS)
@settings(deadline=None, max_examples=400)
def test_a_simpler_condition_is_the_same_condition(expression: Expression) -> None:
    simple = simplify(expression)
    assert simplify(simple) == simple
    for method, session in product(("GET", "POST"), SESSIONS):
        assert holds(simple, method, session) == holds(expression, method, session)
