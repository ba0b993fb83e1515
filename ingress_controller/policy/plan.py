"""What a policy means for a request, before its details are looked at: an ordered list of steps.

In: a policy and how the request stands (not signed in, signed in elsewhere, signed in). Out: steps, of which the first
whose condition holds decides. ``evaluate`` walks them for one request and ``envoy.policy`` compiles them, so the two
can differ in a criterion, but not in who wins.

Somebody who is not signed in is not denied by what only a session can tell. With no session, each criterion about one
is false, and three readings of a condition follow from how its uses of such criteria are taken:

- *certain*: it holds whatever the session would be (each use of a session criterion counts against it),
- *as is*: it holds with no session,
- *possible*: it holds for some session (each use counts for it).

A deny rule that holds for certain denies; one that holds as it is asks to sign in; an allow rule that holds for
certain allows; one that is possible asks to sign in; else the request is denied. So ``allow: not: [email: x]`` admits
nobody before it is known that they are not x.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ingress_controller.model.policy import (
    All,
    Any,
    AuthenticatedUser,
    Constant,
    Expression,
    Not,
    Policy,
    Rule,
    SessionCriterion,
)
from ingress_controller.policy.simplify import simplify

Outcome = Literal["allow", "deny", "sign_in"]

DEFAULT_DENY = "default_deny"


class Standing(Enum):
    """How a request stands; the value names the step that asks to sign in."""

    ANONYMOUS = "unauth"
    WRONG_AUDIENCE = "wrong-aud"
    SIGNED_IN = ""


@dataclass(frozen=True, slots=True)
class Step:
    """If ``condition`` holds, ``outcome`` is the decision.

    ``name`` is what Envoy reports as the policy id (access log, response code details): ``allow:`` or ``deny:`` and
    the rule, ``unauth``, ``wrong-aud`` or ``default_deny``.
    """

    condition: Expression
    outcome: Outcome
    name: str


def make_plan(policy: Policy, standing: Standing) -> tuple[Step, ...]:
    """The steps for requests of one standing; the last one always holds."""
    signed_in = standing is Standing.SIGNED_IN
    steps = _signed_in(policy) if signed_in else _not_signed_in(policy, standing.value)
    return tuple(_reachable(steps))


def step_name(rule: Rule) -> str:
    """The rule's name as Envoy reports it: ``deny:policy.0.deny`` for the rule ``policy[0].deny``.

    Response code details put the name in brackets and log lines split at spaces, so it has neither.
    """
    indexed = re.sub(r"\[(\d+)\]", r".\1", rule.name)
    return f"{rule.action}:{re.sub(r'[^A-Za-z0-9._-]', '_', indexed)}"


def _signed_in(policy: Policy) -> Iterator[Step]:
    for rule in (*policy.deny, *policy.allow):
        yield Step(_known_user(rule.condition), rule.action, step_name(rule))
    yield Step(Constant(value=True), "deny", DEFAULT_DENY)


def _not_signed_in(policy: Policy, sign_in: str) -> Iterator[Step]:
    for rule in policy.deny:
        yield Step(_reading(rule.condition, plain=False, negated=True), "deny", step_name(rule))
    for rule in policy.deny:
        yield Step(_reading(rule.condition, plain=False, negated=False), "sign_in", sign_in)
    for rule in policy.allow:
        yield Step(_reading(rule.condition, plain=False, negated=True), "allow", step_name(rule))
    for rule in policy.allow:
        yield Step(_reading(rule.condition, plain=True, negated=False), "sign_in", sign_in)
    yield Step(Constant(value=True), "deny", DEFAULT_DENY)


def _reachable(steps: Iterator[Step]) -> Iterator[Step]:
    """Fold each condition, join neighbours that decide the same, drop what never holds and what comes too late."""
    last: Step | None = None
    tried: set[Expression] = {Constant(value=False)}
    for step in steps:
        condition = simplify(step.condition)
        if condition in tried:
            continue
        tried.add(condition)
        if last is not None and (last.outcome, last.name) == (step.outcome, step.name):
            condition = simplify(Any((last.condition, condition)))
        elif last is not None:
            yield last
        last = Step(condition, step.outcome, step.name)
        if condition == Constant(value=True):
            break
    if last is not None:
        yield last


def _reading(expression: Expression, *, plain: bool, negated: bool) -> Expression:
    """Replace each session criterion by ``plain``, or where it stands under an odd number of nots by ``negated``."""
    match expression:
        case SessionCriterion():
            return Constant(plain)
        case Not(term):
            return Not(_reading(term, plain=negated, negated=plain))
        case All(terms):
            return All(tuple(_reading(term, plain=plain, negated=negated) for term in terms))
        case Any(terms):
            return Any(tuple(_reading(term, plain=plain, negated=negated) for term in terms))
        case _:
            return expression


def _known_user(expression: Expression) -> Expression:
    match expression:
        case AuthenticatedUser():
            return Constant(value=True)
        case Not(term):
            return Not(_known_user(term))
        case All(terms):
            return All(tuple(_known_user(term) for term in terms))
        case Any(terms):
            return Any(tuple(_known_user(term) for term in terms))
        case _:
            return expression
