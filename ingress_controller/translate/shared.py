"""Rules that are objects of their own: a Policy, or the IngressClassParameters of a class.

In: one such object. Out: ``Shared``: its rules, compiled once for all Ingresses that use them, or what is wrong with
it. A rule's name says which object it comes from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from ingress_controller.model.policy import Rule
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.names import is_label
from ingress_controller.objects.views import IngressClassParameters, Shareable, SharedPolicy
from ingress_controller.policy.error import PolicyError, invalid
from ingress_controller.policy.parse import parse_rules

KINDS: Final = frozenset({SharedPolicy.KIND, IngressClassParameters.KIND})
EVERYWHERE: Final = "*"


@dataclass(frozen=True, slots=True)
class Shared:
    """A Policy or IngressClassParameters, compiled.

    Attributes:
        ref: which one.
        rules: by the field of ``spec`` that has them: ``rules``, or ``mandatoryDeny`` and ``defaultPolicy``.
        usable_from: the namespaces that may refer to it besides its own, in order; ``*`` is all.
        problem: what is wrong with it. If there is something, nothing of it may be used.
    """

    ref: ObjectRef
    rules: Mapping[str, tuple[Rule, ...]]
    usable_from: tuple[str, ...] = ()
    problem: Problem | None = None


def compile_shared(found: Shareable) -> Shared:
    """Compile an object, as a whole or not at all."""
    try:
        if isinstance(found, SharedPolicy):
            usable_from = _namespaces(found.spec.usable_from)
            return Shared(found.ref, {"rules": _rules(found, "rules", found.spec.rules)}, usable_from)
        denials = _rules(found, "mandatoryDeny", found.spec.mandatory_deny)
        for rule in denials:
            _expect_deny(rule, found.ref)
        return Shared(
            found.ref,
            {"mandatoryDeny": denials, "defaultPolicy": _rules(found, "defaultPolicy", found.spec.default_policy)},
        )
    except PolicyError as error:
        reason: Reason = "invalid-policy" if isinstance(found, SharedPolicy) else "invalid-class-parameters"
        return Shared(found.ref, {}, problem=Problem(found.ref, "spec", reason, str(error)))


def failed(ref: ObjectRef, error: Exception) -> Shared:
    """An object that this program cannot handle; nobody can use it."""
    message = f"parsing policy: a mistake in this controller, please report it: {error!r}"
    return Shared(ref, {}, problem=Problem(ref, "", "internal-error", message))


def _rules(found: Shareable, field: str, written: Sequence[object]) -> tuple[Rule, ...]:
    """The rules of a field: ``Policy app/office[0].allow``, ``IngressClassParameters edge.mandatoryDeny[0].deny``."""
    rules = parse_rules(written, f"spec.{field}")
    return tuple(replace(rule, name=f"{found.ref}{rule.name.removeprefix('spec').removeprefix('.rules')}")
                 for rule in rules)  # fmt: skip


def _expect_deny(rule: Rule, ref: ObjectRef) -> None:
    if rule.action != "deny":
        place = rule.name.replace(f"{ref}.", "spec.", 1)
        raise invalid("only deny is allowed here: what holds for a whole class can take away, but not admit", place)


def _namespaces(names: Sequence[str]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name != EVERYWHERE and not is_label(name):
            raise PolicyError(
                f'parsing policy: expected the name of a namespace, or "*" for all, got {name[:80]!r} '
                f"(at spec.usableFrom[{index}])"
            )
    return tuple(sorted(set(names)))
