"""Who may: what an Ingress says itself, the Policy objects it refers to, and the parameters of its class, together.

In: the annotations of an Ingress, and what they and its class name. Out: ``Access``: the policy that is enforced, the
one that is only tried, and what is wrong. What is named and cannot be used closes the Ingress: a denial must never go
missing. A policy that is only tried closes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from ingress_controller.annotations.parse import Parsed, contradiction
from ingress_controller.annotations.table import TABLE
from ingress_controller.model.policy import Policy, Rule
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import GROUP
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import (
    Ingress,
    IngressClass,
    IngressClassParameters,
    IngressClassParametersReference,
)
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.parse import combine
from ingress_controller.translate.classes import classes_of
from ingress_controller.translate.options import Options
from ingress_controller.translate.shared import EVERYWHERE, Shared

_CONTEXT: Final = "parsing ingress: "
_MODE: Final = "policy_mode"
_TRIED: Final = frozenset({"policy", "policy_ref"})
"""The annotations that ``policy_mode: shadow`` concerns."""
_SAYS_WHO: Final = frozenset(row.name for row in TABLE if row.lands[0] == "access" and row.name != _MODE)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may.

    Attributes:
        policy: what is enforced.
        shadow: what is tried besides; ``None`` if nothing is, or if it cannot be.
        closing: what is wrong. If there is anything, the Ingress is closed.
        tried: what is wrong with the policy that is only tried.
        depends: the objects that this was made from, whether or not they are there.
    """

    policy: Policy
    shadow: Policy | None
    closing: tuple[Problem, ...]
    tried: tuple[Problem, ...]
    depends: tuple[ObjectRef, ...]


def resolve(
    ingress: Ingress, parsed: Parsed, store: Store, shared: Mapping[ObjectRef, Shared], options: Options
) -> Access:
    """Put together who may.

    Args:
        ingress: the Ingress.
        parsed: its annotations.
        store: where its class is.
        shared: all Policies and IngressClassParameters.
        options: the prefix of annotations, and which classes are ours.
    """
    resolver = _Resolver(ingress, parsed, shared, options.prefix)
    classes = classes_of(ingress, store, options)
    parameters = resolver.parameters(classes)
    referred = resolver.referred()
    policy = resolver.enforced(parameters, referred)
    shadow = resolver.tried(policy, referred)
    return Access(
        policy=policy,
        shadow=shadow,
        closing=tuple(problem for problem in resolver.problems if not resolver.is_tried(problem)),
        tried=tuple(
            replace(problem, reason="policy-not-tried") for problem in resolver.problems if resolver.is_tried(problem)
        ),
        depends=(*(found.ref for found in classes), *resolver.looked_up),
    )


class _Resolver:
    """Collects problems, and what was looked up, on the way."""

    def __init__(self, ingress: Ingress, parsed: Parsed, shared: Mapping[ObjectRef, Shared], prefix: str) -> None:
        self.problems = list(parsed.problems)
        self.looked_up: list[ObjectRef] = []
        self._ingress = ingress.ref
        self._parsed = parsed
        self._access = parsed.settings.access
        self._trying = self._access.mode == "shadow"
        self._shared = shared
        self._prefix = prefix
        if self._trying and not parsed.given & _TRIED:
            self._annotation(_MODE, "invalid-annotation", f"{prefix}/{_MODE}: there is no policy or policy_ref to try")

    def is_tried(self, problem: Problem) -> bool:
        """Whether a problem is one of a policy that is not enforced."""
        return self._trying and problem.field in {self._field(name) for name in _TRIED}

    # --- What is looked up.

    def parameters(self, classes: Sequence[IngressClass]) -> Mapping[str, tuple[Rule, ...]]:
        """The rules of the class, by field. More than one class is more than one default."""
        if len({found.spec.parameters for found in classes}) > 1:
            names = ", ".join(sorted(found.metadata.name for found in classes))
            message = f"IngressClasses {names} are all the default, and their spec.parameters differ"
            self._problem("", "invalid-class-parameters", message)
            return {}
        if not classes or not (named := classes[0].spec.parameters):
            return {}
        where = f"{classes[0].ref}: spec.parameters"
        if not _is_ours(named):
            message = f"{where}: only {IngressClassParameters.KIND} of apiGroup {GROUP} and scope Cluster can be used"
            self._problem("", "invalid-class-parameters", message)
            return {}
        ref = ObjectRef(IngressClassParameters.KIND, "", named.name)
        self.looked_up.append(ref)
        found = self._shared.get(ref)
        if found is None:
            message = f"{where}: {ref} not found; what it denies must not be admitted meanwhile"
            self._problem("", "class-parameters-not-found", message)
        elif found.problem:
            self._problem("", "invalid-class-parameters", f"{where}: {ref}: {found.problem.message}")
        return found.rules if found else {}

    def referred(self) -> tuple[Rule, ...]:
        """The rules of the Policies that ``policy_ref`` names."""
        own = self._ingress.namespace
        refs = dict.fromkeys(replace(ref, namespace=ref.namespace or own) for ref in self._access.policy_ref)
        self.looked_up += refs
        return tuple(rule for ref in refs for rule in self._rules_of(ref))

    def _rules_of(self, ref: ObjectRef) -> tuple[Rule, ...]:
        found = self._shared.get(ref)
        own = self._ingress.namespace
        if found is None and ref.namespace == own:
            return self._refuse("policy-not-found", f"{ref} not found")
        if found is None or not _may_use(own, found):
            # Which of the two it is, is nobody else's business.
            message = f"{ref} is not there, or its spec.usableFrom does not name the namespace {own}"
            return self._refuse("policy-not-granted", message)
        if found.problem:
            return self._refuse("policy-not-accepted", f"{ref}: {found.problem.message}")
        rules = found.rules["rules"]
        contradicted = "" if self._trying else contradiction(self._access, self._prefix)
        if contradicted and any(rule.action == "allow" for rule in rules):
            message = f"{ref} has allow rules: this {contradicted}"
            return self._refuse("policy-not-accepted", message)
        return rules

    def _refuse(self, reason: Reason, message: str) -> tuple[Rule, ...]:
        self._annotation("policy_ref", reason, f"{self._prefix}/policy_ref: {message}")
        return ()

    # --- What is made of it.

    def enforced(self, parameters: Mapping[str, tuple[Rule, ...]], referred: tuple[Rule, ...]) -> Policy:
        """What the class denies, then what the Ingress says, or what the class says where the Ingress says nothing."""
        own = self._parsed.policy
        given = self._parsed.given & _SAYS_WHO - (_TRIED if self._trying else frozenset())
        denials = parameters.get("mandatoryDeny", ())
        besides = (() if self._trying else referred, () if given else parameters.get("defaultPolicy", ()))
        if not denials and not any(besides):
            return own
        try:
            return combine(denials, (*own.allow, *own.deny), *besides)
        except PolicyError as error:
            message = f"{_CONTEXT}annotations: applying policy annotations: {error}"
            self.problems.append(
                Problem(self._ingress, f"metadata.annotations[{self._prefix}]", "policy-not-accepted", message)
            )
            return Policy()

    def tried(self, enforced: Policy, referred: tuple[Rule, ...]) -> Policy | None:
        """What ``policy`` and ``policy_ref`` say in shadow mode, as a whole or not at all."""
        if not self._trying or any(self.is_tried(problem) for problem in self.problems):
            return None
        written = self._access.policy or Policy()
        rules = (*written.allow, *written.deny, *referred)
        try:
            combine(enforced.allow, enforced.deny, rules)
        except PolicyError as error:
            self._annotation("policy", "invalid-policy", f"applying policy annotations: {error}")
            return None
        return combine(rules)

    # --- What is said about it.

    def _annotation(self, name: str, reason: Reason, message: str) -> None:
        self._problem(self._field(name), reason, f"annotations: {message}")

    def _problem(self, field: str, reason: Reason, message: str) -> None:
        self.problems.append(Problem(self._ingress, field, reason, f"{_CONTEXT}{message}"))

    def _field(self, name: str) -> str:
        return f"metadata.annotations[{self._prefix}/{name}]"


def _may_use(namespace: str, found: Shared) -> bool:
    return found.ref.namespace == namespace or not {namespace, EVERYWHERE}.isdisjoint(found.usable_from)


def _is_ours(named: IngressClassParametersReference) -> bool:
    in_no_namespace = named.scope in (None, "Cluster") and not named.namespace
    return in_no_namespace and (named.api_group, named.kind) == (GROUP, IngressClassParameters.KIND)
