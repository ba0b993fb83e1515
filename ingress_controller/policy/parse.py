"""From the text of a ``policy`` annotation to the tree.

In: JSON or YAML: one rule or a list of rules, each with ``allow`` and/or ``deny``. Out: ``model.policy.Policy``, or
``PolicyError`` that names the node, what was wrong and what is allowed. Nothing is ever guessed: a policy that does not
parse is not served. The same text is the same value, for as long as somebody holds it.
"""

from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

from ingress_controller import strict_yaml
from ingress_controller.model.policy import All, Any, Constant, Expression, Not, Policy, Rule
from ingress_controller.policy.criteria import parse_criterion
from ingress_controller.policy.error import PolicyError, describe, invalid, shown

_MAX_BYTES = 2**20
MAX_CRITERIA = 1000
"""Criteria in one policy. Each costs requests time; a list of values in one criterion costs none, and may be long."""


_held: WeakValueDictionary[str, Policy] = WeakValueDictionary()


def parse(text: str) -> Policy:
    """Read one policy.

    An empty list is a policy that admits nobody; empty text is an error.

    Raises:
        PolicyError: for text that is not one YAML document, and for every mistake in it.
    """
    found = _held.get(text)
    if found is None:
        found = _held[text] = _parse(text)
    return found


def _parse(text: str) -> Policy:
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise PolicyError("parsing policy: longer than 1 MiB")
    document = _load(text)
    match document:
        case list():
            rules = _all_rules(document, "policy")
        case _:
            rules = _rules(document, "policy")
    return combine(rules)


def parse_rules(value: Sequence[object], path: str) -> tuple[Rule, ...]:
    """Read a list of rules that is decoded already; names of rules and places in messages begin with ``path``.

    Raises:
        PolicyError: for every mistake in it.
    """
    rules = _all_rules(value, path)
    combine(rules)
    return tuple(rules)


def combine(*parts: Iterable[Rule]) -> Policy:
    """Join rules of several origins; the order within each action is the order they are given in.

    Raises:
        PolicyError: together they have more than ``MAX_CRITERIA``.
    """
    rules = [rule for part in parts for rule in part]
    criteria = sum(_criteria_in(rule.condition) for rule in rules)
    if criteria > MAX_CRITERIA:
        raise PolicyError(
            f"parsing policy: {criteria} criteria, at most {MAX_CRITERIA} are allowed: "
            "put values of the same criterion into one list, such as email: {in: [...]}"
        )
    return Policy(
        allow=tuple(rule for rule in rules if rule.action == "allow"),
        deny=tuple(rule for rule in rules if rule.action == "deny"),
    )


def _criteria_in(expression: Expression) -> int:
    match expression:
        case All(terms) | Any(terms):
            return sum(_criteria_in(term) for term in terms)
        case Not(term):
            return _criteria_in(term)
        case _:
            return 1


def _load(text: str) -> object:
    if not text.strip():
        raise PolicyError("parsing policy: the policy is empty, expected a rule or a list of rules")
    try:
        return strict_yaml.load(text)
    except strict_yaml.YAMLError as error:
        raise PolicyError(f"parsing policy: {error}") from None


def _all_rules(items: Sequence[object], path: str) -> list[Rule]:
    return [rule for index, item in enumerate(items) for rule in _rules(item, f"{path}[{index}]")]


def _rules(value: object, path: str) -> list[Rule]:
    if not isinstance(value, dict):
        raise invalid(f"expected a rule with allow or deny, got {describe(value)}", path)
    return [_rule(action, block, f"{path}.{action}", path) for action, block in value.items()]


def _rule(action: object, block: object, path: str, rule_path: str) -> Rule:
    if action not in ("allow", "deny"):
        raise invalid(f'unsupported action "{shown(action)}", only allow and deny are allowed', rule_path)
    if not isinstance(block, dict):
        raise invalid(f"expected a map of and, or, not and nor, got {describe(block)}", path)
    terms = [_conditional(name, items, action, path) for name, items in block.items()]
    return Rule("allow" if action == "allow" else "deny", path, Any(tuple(terms)))


def _conditional(name: object, items: object, action: object, path: str) -> Expression:
    at = f"{path}.{shown(name)}"
    match name:
        case "and":
            return _unless_empty(All(tuple(_criteria(items, at))))
        case "or":
            return _unless_empty(Any(tuple(_criteria(items, at))))
        case "not":
            return _unless_empty(All(tuple(Not(term) for term in _criteria(items, at))))
        case "nor":
            return _unless_empty(Any(tuple(Not(term) for term in _criteria(items, at))))
        case "action":
            if items != action:
                raise invalid(f"the action of this block is {action}, got {describe(items)}", at)
            return Constant(value=False)
    raise invalid(f'unsupported conditional "{shown(name)}", only and, or, not, nor and action are allowed', at)


def _unless_empty(expression: All | Any) -> Expression:
    return expression if expression.terms else Constant(value=False)


def _criteria(items: object, path: str) -> list[Expression]:
    if not isinstance(items, list):
        raise invalid(f"expected a list of criteria, got {describe(items)}", path)
    return [_criterion(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _criterion(item: object, path: str) -> Expression:
    if isinstance(item, str):
        raise invalid(f'a criterion needs a value, got only "{shown(item)}": write "{shown(item)}: true"', path)
    if not isinstance(item, dict) or len(item) != 1:
        raise invalid(f"each criterion must be a map with a single key and value, got {_keys(item)}", path)
    name, value = next(iter(item.items()))
    if not isinstance(name, str):
        raise invalid(f"the name of a criterion must be text, got {describe(name)}", path)
    return parse_criterion(name, value, f"{path}.{shown(name)}")


def _keys(item: object) -> str:
    return f"a map of {len(item)}" if isinstance(item, dict) else describe(item)
