"""A policy as plain data, for people.

In: a policy. Out: dictionaries and lists in the words of the policy language, to be printed as YAML. Criteria are
shown as they count: in lower case, without duplicates, each list in order.
"""

from typing import Any as Data

from ingress_controller.model import policy as model
from ingress_controller.model.policy import (
    AuthenticatedUser,
    Claim,
    Constant,
    Contains,
    Criterion,
    EndsWith,
    Expression,
    HasAny,
    IsOnly,
    ListMatch,
    NoneOf,
    Not,
    OneOf,
    Policy,
    Rule,
    SourceIp,
    StartsWith,
    StringMatch,
)


def describe(policy: Policy) -> dict[str, list[Data]]:
    """The rules of a policy, each with its name; an action without rules is left out."""
    actions = {"allow": policy.allow, "deny": policy.deny}
    return {action: [_rule(rule) for rule in rules] for action, rules in actions.items() if rules}


def describe_expression(expression: Expression) -> Data:
    """One condition, or a part of one, in the words of the language."""
    return _expression(expression)


def _rule(rule: Rule) -> dict[str, Data]:
    return {"rule": rule.name, "if": _expression(rule.condition)}


def _expression(expression: Expression) -> Data:
    match expression:
        case Constant(value):
            return {"accept": True} if value else {"reject": True}
        case Not(term):
            return {"not": _expression(term)}
        case model.All(terms):
            return {"and": [_expression(term) for term in terms]}
        case model.Any(terms):
            return {"or": [_expression(term) for term in terms]}
        case _:
            return _criterion(expression)


def _criterion(criterion: Criterion) -> dict[str, Data]:
    match criterion:
        case AuthenticatedUser():
            return {"authenticated_user": True}
        case SourceIp(networks):
            return {"source_ip": [str(network) for network in networks]}
        case Claim(name, match):
            return {f"claim/{name}": _match(match)}
        case _:
            return {_NAMES[type(criterion)]: _match(criterion.match)}


def _match(match: StringMatch | ListMatch) -> dict[str, Data]:
    match match:
        case OneOf(values):
            return {"is": values[0]} if len(values) == 1 else {"in": list(values)}
        case NoneOf(values):
            return {"not_in": list(values)}
        case HasAny(values):
            return {"has": values[0] if len(values) == 1 else list(values)}
        case IsOnly(value):
            return {"is": value}
        case StartsWith(value):
            return {"starts_with": value}
        case EndsWith(value):
            return {"ends_with": value}
        case Contains(value):
            return {"contains": value}


_NAMES = {
    model.User: "user",
    model.Email: "email",
    model.Domain: "domain",
    model.Groups: "groups",
    model.HttpMethod: "http_method",
    model.HttpPath: "http_path",
}
