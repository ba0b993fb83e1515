"""The same condition, smaller.

In: an expression. Out: one that holds for the same requests, in which constants are folded, nested lists are flat,
repetitions are gone, and criteria that ask alternatives of one value are one criterion with a set: two hundred
``email: {is: ...}`` are one look-up.
"""

from collections.abc import Iterable, Iterator
from typing import Any as Any_

from msgspec.structs import replace

from ingress_controller.model.policy import (
    All,
    Any,
    Claim,
    ClientCertificate,
    Constant,
    DayOfWeek,
    Domain,
    Email,
    Expression,
    Groups,
    HasAny,
    HttpMethod,
    HttpPath,
    Not,
    OneOf,
    SourceIp,
    User,
)


def simplify(expression: Expression) -> Expression:
    """Fold, flatten and merge, from the leaves up."""
    match expression:
        case Any(terms):
            return _join(Any, _merge(_flat(Any, terms)))
        case All(terms):
            return _join(All, _merge_nots(_flat(All, terms)))
        case Not(term):
            return _negate(simplify(term))
        case _ if _alternatives(expression) == ():
            return Constant(value=False)
        case DayOfWeek(_, (_, _, _, _, _, _, _)):
            return Constant(value=True)
        case _:
            return expression


def _join(kind: type[All] | type[Any], terms: list[Expression]) -> Expression:
    """One list: the constant that decides it, the only term, or what is left without repetitions."""
    decides = Constant(value=kind is Any)
    rest = [term for term in dict.fromkeys(terms) if not isinstance(term, Constant)]
    if decides in terms:
        return decides
    if not rest:
        return Constant(value=kind is All)
    return rest[0] if len(rest) == 1 else kind(tuple(rest))


def _flat(kind: type[All] | type[Any], terms: Iterable[Expression]) -> Iterator[Expression]:
    for term in terms:
        small = simplify(term)
        if isinstance(small, kind):
            yield from small.terms
        else:
            yield small


def _negate(term: Expression) -> Expression:
    match term:
        case Constant(value):
            return Constant(not value)
        case Not(inner):
            return inner
        case _:
            return Not(term)


def _merge_nots(terms: Iterable[Expression]) -> list[Expression]:
    """None of several holds exactly when not one of them does; that one may then be a set."""
    found = list(terms)
    negated = tuple(term.term for term in found if isinstance(term, Not))
    if len(negated) < 2:
        return found
    return [*(term for term in found if not isinstance(term, Not)), simplify(Not(Any(negated)))]


def _merge(terms: Iterable[Expression]) -> list[Expression]:
    """Put alternatives of one value together, at the place of the first."""
    sets: dict[Expression, set[Any_]] = {}
    order: dict[Expression, None] = {}
    for term in terms:
        values = _alternatives(term)
        key = term if values is None else _with_alternatives(term, ())
        order[key] = None
        if values is not None:
            sets.setdefault(key, set()).update(values)
    return [simplify(_with_alternatives(key, sets[key])) if key in sets else key for key in order]


def _alternatives(term: Expression) -> tuple[Any_, ...] | None:
    """The values of which one has to be there, if the criterion is of that kind."""
    match term:
        case User(OneOf(values)) | Email(OneOf(values)) | Domain(OneOf(values)):
            return values
        case HttpMethod(OneOf(values)) | HttpPath(OneOf(values)):
            return values
        case Groups(HasAny(values)) | Claim(_, HasAny(values)):
            return values
        case SourceIp(values) | ClientCertificate(values) | DayOfWeek(_, values):
            return values
        case _:
            return None


def _with_alternatives(term: Expression, values: Iterable[Any_]) -> Expression:
    match term:
        case User() | Email() | Domain() | HttpMethod() | HttpPath():
            return replace(term, match=OneOf(tuple(sorted(values))))
        case Groups() | Claim():
            return replace(term, match=HasAny(tuple(sorted(values))))
        case ClientCertificate():
            return ClientCertificate(tuple(sorted(values)))
        case DayOfWeek():
            return replace(term, days=tuple(sorted(values)))
        case _:
            return SourceIp(tuple(sorted(values, key=lambda network: (network.version, network))))
