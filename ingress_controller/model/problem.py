"""What is wrong with an object, as a value.

In: what a stage found. Out: problems that become Warning Events, lines on standard error and the short
reasons in 503 answers. Nothing is raised for bad input beyond the stage that read it, so one object's
mistake cannot stop another's work.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ingress_controller.model.reference import ObjectRef

Reason = Literal[
    "invalid-annotation",
    "invalid-policy",
    "policy-not-found",
    "policy-not-granted",
    "policy-not-accepted",
    "policy-not-tried",
    "class-parameters-not-found",
    "invalid-class-parameters",
    "invalid-host",
    "invalid-path",
    "conflict",
    "service-not-found",
    "port-not-found",
    "endpoints-not-found",
    "backend-not-allowed",
    "secret-not-found",
    "invalid-secret",
    "invalid-certificate",
    "refused-by-envoy",
    "internal-error",
]
"""Stable identifiers of the kinds of problem: in 503 answers, metrics and documentation."""

REASONS: Mapping[Reason, str] = {
    "invalid-annotation": "An annotation is unknown, contradicts another or has a wrong value; all paths answer 503.",
    "invalid-policy": "A policy, or an annotation that stands for one, does not parse; all paths answer 503.",
    "policy-not-found": "The namespace has no Policy that policy_ref names; all paths answer 503.",
    "policy-not-granted": "A Policy of another namespace is not there, or not usable from here; all paths answer 503.",
    "policy-not-accepted": "A Policy that is named has a mistake, or does not go with the rest; all paths answer 503.",
    "policy-not-tried": "A policy that would only be tried cannot be; all else is in force.",
    "class-parameters-not-found": "What the IngressClass names as its parameters is missing; all paths answer 503.",
    "invalid-class-parameters": "The parameters of the IngressClass cannot be used; all paths answer 503.",
    "invalid-host": "The host of a rule is no DNS name, or is missing; the rule is not routed.",
    "invalid-path": "A path is not in normal form, reserved, or no RE2 pattern where one is wanted; it is not routed.",
    "conflict": "The same path of the same host is claimed twice; the first claim is served.",
    "service-not-found": "The namespace has no such Service, or the rule names no backend; the path answers 503.",
    "port-not-found": "The Service has no such TCP port; the path answers 503.",
    "endpoints-not-found": "The Service's port has no ready endpoint; Envoy answers 503 until there is one.",
    "backend-not-allowed": "The backend is no Service, an ExternalName that may not be used, or does not speak what "
    "an annotation needs; the path answers 503.",
    "secret-not-found": "A Secret is not there. For spec.tls the self-signed bootstrap certificate is shown; for an "
    "annotation all paths answer 503.",
    "invalid-secret": "A Secret that an annotation names has a wrong type, key or value; all paths answer 503.",
    "invalid-certificate": "A Secret of spec.tls has no certificate with its key; the bootstrap certificate is shown.",
    "refused-by-envoy": "Envoy refuses what was made of the object; the last version that it took stays.",
    "internal-error": "The controller fails on the object, which is its own mistake; nothing of the object is served.",
}
"""For each kind of problem what it is and what is served meanwhile, for people."""


OF_THE_OBJECT: frozenset[Reason] = frozenset(
    {"invalid-annotation", "invalid-policy", "invalid-host", "invalid-path", "conflict"}
)
"""The kinds that an Ingress has by itself, and that close it. (Of conflicts these are the ones within one Ingress.)

The others depend on what else is there, such as Services, Secrets, Policies and the class, and may end without a change
of it; ``policy-not-tried`` closes nothing, whoever made the mistake."""


class Problem(Struct, frozen=True, gc=False, order=True):
    """One mistake on one object.

    Attributes:
        object: the object that its owner has to look at (for most, an Ingress).
        field: where in it, as a path such as ``spec.rules[0].http.paths[1].backend``; empty for the whole.
        reason: the kind of problem.
        message: the whole sentence an Event carries: what was wrong and what is allowed.
    """

    object: ObjectRef
    field: str
    reason: Reason
    message: str
