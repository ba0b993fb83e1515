"""A policy in a few words, for a line of a table.

In: a policy, or a condition of one. Out: text such as ``domain example.com, not email bob@example.com``. It tells
policies apart; ``describe`` has everything.
"""

from collections.abc import Iterable
from typing import Any as Data

from ingress_controller.model.policy import All, Any, Constant, Expression, Not, Policy
from ingress_controller.policy.describe import describe_expression
from ingress_controller.policy.plan import Standing, make_plan
from ingress_controller.policy.simplify import simplify

_VALUES = 3
_IMPLIED = frozenset({"is", "in", "has"})


def summarize(policy: Policy) -> str:
    """Who may, in a few words."""
    if admits_everybody(policy, Standing.SIGNED_IN):
        return "everybody" if admits_everybody(policy, Standing.ANONYMOUS) else "everybody signed in"
    if admits_nobody(policy):
        return "nobody"
    allowed = words(Any(tuple(rule.condition for rule in policy.allow)))
    denied = words(Any(tuple(rule.condition for rule in policy.deny)))
    return allowed if denied == "nobody" else f"{allowed}, but not {denied}"


def admits_everybody(policy: Policy, standing: Standing) -> bool:
    """Whether all requests of a standing are let through."""
    first = make_plan(policy, standing)[0]
    return first.outcome == "allow" and first.condition == Constant(value=True)


def admits_nobody(policy: Policy) -> bool:
    """Whether no request whatever is let through."""
    plans = (make_plan(policy, standing) for standing in (Standing.ANONYMOUS, Standing.SIGNED_IN))
    return all(step.outcome != "allow" for plan in plans for step in plan)


def words(expression: Expression, most: int = _VALUES) -> str:
    """A condition on one line; of a list of values the first ``most``."""
    match simplify(expression):
        case Constant(value):
            return "everybody" if value else "nobody"
        case Not(term):
            return f"not ({words(term, most)})"
        case All(terms):
            return " and ".join(_nested(term, most) for term in terms)
        case Any(terms):
            return " or ".join(_nested(term, most) for term in terms)
        case criterion:
            return criterion_words(describe_expression(criterion), most)


def criterion_words(described: dict[str, Data], most: int = _VALUES) -> str:
    """A criterion that ``describe`` has put into plain data: ``{"email": {"in": ["a", "b"]}}`` is ``email a, b``."""
    ((name, asked),) = described.items()
    if asked is True:
        return name
    if not isinstance(asked, dict):
        return f"{name} {_listed(asked, most)}"
    matches = (
        _listed(value, most) if operator in _IMPLIED else f"{operator} {_listed(value, most)}"
        for operator, value in asked.items()
    )
    return f"{name} {', '.join(matches)}"


def _nested(expression: Expression, most: int) -> str:
    text = words(expression, most)
    return f"({text})" if isinstance(expression, All | Any) else text


def _listed(value: Data, most: int) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    values = [str(each) for each in value]
    rest = len(values) - most
    return ", ".join(values[:most]) + (f" and {rest} more" if rest > 0 else "")
