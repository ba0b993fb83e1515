"""Policies that parse, and hardly mean what they say.

In: the parsed annotations of one Ingress, and the rules that it refers to. Out: suspicions, each at the annotation or
block that it is about.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

import yaml

from ingress_controller import strict_yaml
from ingress_controller.annotations.parse import Parsed
from ingress_controller.annotations.settings import Settings
from ingress_controller.lint.finding import Suspicion
from ingress_controller.model.policy import (
    All,
    Any,
    AuthenticatedUser,
    ClientCertificate,
    Constant,
    Domain,
    Email,
    Expression,
    HttpMethod,
    HttpPath,
    InvalidClientCertificate,
    Not,
    OneOf,
    Policy,
    Rule,
    User,
)
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.views import IngressClassParameters, SharedPolicy
from ingress_controller.policy.plan import Standing
from ingress_controller.policy.simplify import simplify
from ingress_controller.policy.summary import admits_everybody, admits_nobody

_POLICY = "policy"
_LISTS = ("allowed_users", "allowed_domains")
_WITHOUT_CASE = frozenset({"email", "domain"})


def of_policy(ingress: ObjectRef, parsed: Parsed, annotations: Mapping[str, str], prefix: str) -> Iterator[Suspicion]:
    """What is suspicious about the policy of one Ingress; ``annotations`` are all that it has."""
    yield from _suspicions(ingress, (*_whole(parsed), *_rules(parsed), *_case(annotations, prefix)), prefix)


def of_certificates(
    ingress: ObjectRef, settings: Settings, referred: Iterable[Rule], prefix: str
) -> Iterator[Suspicion]:
    """Criteria about certificates that nobody is asked for; ``referred`` are the rules of Policies that are known."""
    if not settings.secrets.tls_downstream_client_ca:
        yield from _suspicions(ingress, _certificates(settings.access.policy, referred), prefix)


def _suspicions(ingress: ObjectRef, found: Iterable["_Found"], prefix: str) -> Iterator[Suspicion]:
    for name, rule, message in found:
        field = f"metadata.annotations[{prefix}/{name}]" if name else "metadata.annotations"
        yield Suspicion(ingress, field, rule, message)


_Found = tuple[str, str, str]
"""The annotation (empty for all), the rule of ``rules`` and the message."""


def _whole(parsed: Parsed) -> Iterator[_Found]:
    access, policy = parsed.settings.access, parsed.policy
    blamed = _blamed(policy)
    if admits_everybody(policy, Standing.ANONYMOUS):
        if not access.public:
            yield blamed, "admits-everybody", "the policy admits everybody, signed in or not"
    elif admits_everybody(policy, Standing.SIGNED_IN):
        if not access.any_authenticated and any(map(_names_somebody, (rule.condition for rule in policy.allow))):
            yield blamed, "rule-without-effect", "everybody who is signed in is admitted, whatever else the policy asks"
    elif admits_nobody(policy) and access.mode == "shadow":
        message = "policy and policy_ref are only tried, and nothing else admits anybody: all requests are denied"
        yield "policy_mode", "admits-nobody", message
    elif admits_nobody(policy) and (access.policy is None or policy.allow or policy.deny):
        yield "" if access.policy is None else _POLICY, "admits-nobody", "no request is ever admitted"


def _blamed(policy: Policy) -> str:
    """The annotation that the first rule comes from; empty for one of the class."""
    origin = policy.allow[0].name.partition("[")[0].partition(".")[0] if policy.allow else _POLICY
    if origin.startswith(f"{SharedPolicy.KIND} "):
        return "policy_ref"
    return "" if origin.startswith(f"{IngressClassParameters.KIND} ") else origin


def _names_somebody(expression: Expression) -> bool:
    match expression:
        case All(terms) | Any(terms):
            return any(map(_names_somebody, terms))
        case Not(term):
            return _names_somebody(term)
        case _:
            return not isinstance(expression, Constant | AuthenticatedUser)


def _rules(parsed: Parsed) -> Iterator[_Found]:
    seen: dict[tuple[str, Expression], str] = {}
    written = parsed.settings.access.policy
    for rule in (*written.allow, *written.deny) if written else ():
        condition = simplify(rule.condition)
        if _never(condition):
            if rule.action == "allow" and admits_nobody(parsed.policy):
                # That is said of the whole policy.
                continue
            yield _POLICY, "rule-never-holds", f"this block never holds, so it {_never_does(rule)} (at {rule.name})"
            continue
        first = seen.setdefault((rule.action, condition), rule.name)
        if first != rule.name:
            yield _POLICY, "duplicate-rule", f"this block says the same as {first} (at {rule.name})"
        elif _repeats(rule.condition):
            yield _POLICY, "duplicate-rule", f"a criterion stands twice in one list (at {rule.name})"


def _certificates(written: Policy | None, referred: Iterable[Rule]) -> Iterator[_Found]:
    message = "this asks about the client's certificate, and without tls_downstream_client_ca_secret there never is one"
    for rule in (*written.allow, *written.deny) if written else ():
        if _is_about_certificates(rule.condition):
            yield _POLICY, "no-certificate-asked-for", f"{message} (at {rule.name})"
    if found := next((rule for rule in referred if _is_about_certificates(rule.condition)), None):
        yield "policy_ref", "no-certificate-asked-for", f"{found.name}: {message}"


def _is_about_certificates(expression: Expression) -> bool:
    match expression:
        case All(terms) | Any(terms):
            return any(map(_is_about_certificates, terms))
        case Not(term):
            return _is_about_certificates(term)
        case _:
            return isinstance(expression, ClientCertificate | InvalidClientCertificate)


def _never_does(rule: Rule) -> str:
    return "admits nobody" if rule.action == "allow" else "denies nobody"


def _never(expression: Expression) -> bool:
    match expression:
        case Constant(value):
            return not value
        case Any(terms):
            return all(map(_never, terms))
        case All(terms):
            return any(map(_never, terms)) or any(_contradict(*pair) for pair in combinations(terms, 2))
        case _:
            return False


def _contradict(one: Expression, other: Expression) -> bool:
    """Whether two criteria ask that one value be two things."""
    match one, other:
        case (
            (User(OneOf(a)), User(OneOf(b)))
            | (Email(OneOf(a)), Email(OneOf(b)))
            | (Domain(OneOf(a)), Domain(OneOf(b)))
            | (HttpMethod(OneOf(a)), HttpMethod(OneOf(b)))
            | (HttpPath(OneOf(a)), HttpPath(OneOf(b)))
        ):
            return not set(a) & set(b)
        case _:
            return False


def _repeats(expression: Expression) -> bool:
    match expression:
        case All(terms) | Any(terms):
            return len(set(terms)) < len(terms) or any(map(_repeats, terms))
        case Not(term):
            return _repeats(term)
        case _:
            return False


def _case(annotations: Mapping[str, str], prefix: str) -> Iterator[_Found]:
    if policy := annotations.get(f"{prefix}/{_POLICY}"):
        for path, text in _values(strict_yaml.compose(policy), "", matters=False):
            yield from _not_lower(_POLICY, path, text)
    for name in _LISTS:
        if listed := annotations.get(f"{prefix}/{name}"):
            for path, text in _values(strict_yaml.compose(listed), "", matters=True):
                # An id of the identity provider may be in any case.
                if "@" in text or name == "allowed_domains":
                    yield from _not_lower(name, path, text)


def _not_lower(name: str, path: str, text: str) -> Iterator[_Found]:
    if text != text.lower():
        yield name, "not-lower-case", f"{text} counts as {text.lower()} (at {name}{path})"


def _values(node: yaml.Node | None, path: str, *, matters: bool) -> Iterator[tuple[str, str]]:
    """The texts below ``email`` and ``domain``, with their paths."""
    if isinstance(node, yaml.ScalarNode):
        if matters:
            yield path, node.value
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _values(item, f"{path}[{index}]", matters=matters)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _values(value, f"{path}.{key.value}", matters=matters or key.value in _WITHOUT_CASE)
