"""A policy as plain data, for people.

In: a policy. Out: dictionaries and lists in the words of the policy language, to be printed as YAML. Criteria are
shown as they count: in lower case, without duplicates, each list in order.
"""

from datetime import datetime, time
from typing import Any as Data

from ingress_controller.model import policy as model
from ingress_controller.model.policy import (
    AuthenticatedUser,
    Claim,
    ClientCertificate,
    Constant,
    Contains,
    CorsPreflight,
    Criterion,
    Date,
    DayOfWeek,
    EndsWith,
    Expression,
    HasAny,
    HasLike,
    HasNone,
    InvalidClientCertificate,
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
    TimeOfDay,
)
from ingress_controller.policy.times import DAYS


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
        case CorsPreflight():
            return {"cors_preflight": True}
        case ClientCertificate(fingerprints):
            return {"client_certificate": {"fingerprint": list(fingerprints)}}
        case InvalidClientCertificate():
            return {"invalid_client_certificate": True}
        case Date() | DayOfWeek() | TimeOfDay():
            return _time(criterion)
        case _:
            return {_NAMES[type(criterion)]: _match(criterion.match)}


def _time(criterion: Date | DayOfWeek | TimeOfDay) -> dict[str, Data]:
    match criterion:
        case DayOfWeek(zone, days):
            return {"day_of_week": {"timezone": zone, "days": ",".join(DAYS[day] for day in days)}}
        case Date(after, before):
            return {"date": _given(after=after, before=before)}
        case TimeOfDay(zone, after, before):
            return {"time_of_day": {"timezone": zone, **_given(after=after, before=before)}}


def _given(**limits: datetime | time | None) -> dict[str, str]:
    return {name: limit.isoformat() for name, limit in limits.items() if limit is not None}


def _match(match: StringMatch | ListMatch) -> dict[str, Data]:
    match match:
        case OneOf(values):
            return {"is": values[0]} if len(values) == 1 else {"in": list(values)}
        case HasAny(values):
            return {"has": values[0] if len(values) == 1 else list(values)}
        case NoneOf(values) | HasNone(values):
            return {"not_in": list(values)}
        case HasLike(element):
            return _match(element)
        case IsOnly(value):
            return {"is": value}
        case StartsWith(value):
            return {"starts_with": value}
        case EndsWith(value) | Contains(value):
            return {"ends_with" if isinstance(match, EndsWith) else "contains": value}


_NAMES = {
    model.User: "user",
    model.Email: "email",
    model.Domain: "domain",
    model.Groups: "groups",
    model.HttpMethod: "http_method",
    model.HttpPath: "http_path",
}
