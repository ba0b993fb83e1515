"""Expressions of the Common Expression Language inside Envoy's matchers.

In: what native matchers cannot ask. Out: ``CelMatcher``. Envoy takes expressions only as a parsed tree there, never as
text, so this builds the tree; and two of the messages are missing from envoy-data-plane, so they are defined here.

An expression that fails (a missing field, a value of another type, an unknown time zone) counts as "does not match".
Negated, that would open what should be closed: every caller asks first whether the value is there, with a native
matcher, or chooses between an expression and its opposite (``negated``), neither of which matches then.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import betterproto2
from envoy_data_plane.cel.expr import Constant, Expr, ExprCall, ExprCreateList, ExprIdent, ExprSelect, ParsedExpr
from envoy_data_plane.message_pool import default_message_pool
from envoy_data_plane.xds.type.v3 import CelExpression
from pydantic.dataclasses import dataclass


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class CelMatcher(betterproto2.Message):
    """``xds.type.matcher.v3.CelMatcher``: matches when the expression is true."""

    expr_match: CelExpression | None = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class HttpAttributesCelMatchInput(betterproto2.Message):
    """``xds.type.matcher.v3.HttpAttributesCelMatchInput``: the attributes of the request."""


for _message in (CelMatcher, HttpAttributesCelMatchInput):
    default_message_pool.register_message("xds.type.matcher.v3", _message.__name__, _message)


def attribute(name: str, *path: str) -> Expr:
    """An attribute of Envoy and the fields below it: ``attribute("request", "host")`` is ``request.host``."""
    expression = Expr(ident_expr=ExprIdent(name=name))
    for field in path:
        expression = Expr(select_expr=ExprSelect(operand=expression, field=field))
    return expression


def index(operand: Expr, *keys: str) -> Expr:
    """Entries of maps in maps: ``index(m, "a", "b")`` is ``m['a']['b']``."""
    for key in keys:
        operand = call("_[_]", operand, constant(key))
    return operand


def constant(value: str | int) -> Expr:
    """A literal."""
    return Expr(const_expr=Constant(string_value=value) if isinstance(value, str) else Constant(int64_value=value))


def contains(element: Expr, container: Expr) -> Expr:
    """``element in container``."""
    return call("@in", element, container)


def has_size(operand: Expr, size: int) -> Expr:
    """``size(operand) == size``."""
    return call("_==_", call("size", operand), constant(size))


def one_of(element: Expr, values: Iterable[str | int]) -> Expr:
    """``element in [value, ...]``."""
    return contains(element, Expr(list_expr=ExprCreateList(elements=[constant(value) for value in values])))


def both(first: Expr, second: Expr) -> Expr:
    """``first && second``: false if one of them is, even if the other fails."""
    return call("_&&_", first, second)


def negated(operand: Expr) -> Expr:
    """``!operand``."""
    return call("!_", operand)


def method(target: Expr, function: str, *args: Expr) -> Expr:
    """``target.function(args)``."""
    return Expr(call_expr=ExprCall(target=target, function=function, args=list(args)))


def call(function: str, *args: Expr) -> Expr:
    """A function or an operator, by the name it has in a parsed tree."""
    return Expr(call_expr=ExprCall(function=function, args=list(args)))


def matcher(expression: Expr) -> CelMatcher:
    """The matcher for an expression, whose nodes get the numbers that the format asks for."""
    return CelMatcher(expr_match=CelExpression(cel_expr_parsed=ParsedExpr(expr=_numbered(expression, count(1)))))


def _numbered(expression: Expr, ids: "count[int]") -> Expr:
    numbered = replace(expression, id=next(ids))
    if numbered.select_expr is not None and numbered.select_expr.operand is not None:
        numbered.select_expr = replace(numbered.select_expr, operand=_numbered(numbered.select_expr.operand, ids))
    if numbered.call_expr is not None:
        target = numbered.call_expr.target and _numbered(numbered.call_expr.target, ids)
        args = [_numbered(arg, ids) for arg in numbered.call_expr.args]
        numbered.call_expr = replace(numbered.call_expr, target=target, args=args)
    if numbered.list_expr is not None:
        elements = [_numbered(element, ids) for element in numbered.list_expr.elements]
        numbered.list_expr = replace(numbered.list_expr, elements=elements)
    return numbered
