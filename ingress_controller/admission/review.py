"""One review: ``admission.k8s.io/v1`` AdmissionReview in, AdmissionReview out.

In: the bytes of a request, and a function that finds what is wrong with an object by itself. Out: the bytes of the
response, or ``InvalidReviewError`` for what is no review; the ``failurePolicy`` of the webhook decides about those.

The text of a rejection is that of the Events, and for rules that Ingresses share that of the condition: ``kubectl
apply`` says what ``kubectl describe`` would have said. A policy that is only tried closes nothing, so a mistake in it
is a warning.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ingress_controller.model.outcome import Outcome, announced
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.objects.kinds import KINDS, Kind
from ingress_controller.objects.read import Malformed, read
from ingress_controller.objects.views import Ingress, IngressClassParameters, Shareable, SharedPolicy

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
MOST: Final = 16
"""How many mistakes are told; there may be one a path."""

Reviewed = Ingress | Shareable
"""The kinds of object that are judged."""

_KINDS: Final = {
    (kind.api_version, kind.plural): kind
    for kind in KINDS
    if kind.view in {Ingress, SharedPolicy, IngressClassParameters}
}
"""The kinds by resource."""

Check = Callable[[Reviewed], Sequence[Problem]]
"""Finds what is wrong with an object, whatever else is in the cluster."""


class InvalidReviewError(ValueError):
    """What was sent is no AdmissionReview; the message says why."""


class _Resource(msgspec.Struct, frozen=True):
    group: str = ""
    version: str = ""
    resource: str = ""


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an AdmissionRequest that is used."""

    uid: str
    operation: str
    resource: _Resource
    sub_resource: str = ""
    name: str = ""
    namespace: str = ""
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: _Request


def answer(body: bytes, check: Check) -> bytes:
    """Answer a review.

    Raises:
        InvalidReviewError: it is none.
    """
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReviewError(f"not an AdmissionReview: {error}") from None
    if (review.api_version, review.kind) != (API_VERSION, KIND):
        raise InvalidReviewError(
            f"must be {KIND} of {API_VERSION}, got {review.kind[:80]!r} of {review.api_version[:80]!r}"
        )
    response = {"uid": review.request.uid, **_judge(review.request, check)}
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def _judge(request: _Request, check: Check) -> dict[str, Any]:
    """The response without its ``uid``. What is not for us to judge is allowed."""
    kind = _KINDS.get((f"{request.resource.group}/{request.resource.version}", request.resource.resource))
    if kind is None or request.sub_resource:
        return _ALLOWED
    if request.operation not in {"CREATE", "UPDATE"} or request.object is None:
        return _ALLOWED
    found = _read(kind, request, request.object)
    if isinstance(found, Malformed):
        # The API server has found it valid; what the controller makes of it, it will say by itself.
        return _ALLOWED | _warnings([f"not checked: {found.message}"])
    if request.old_object is not None and not _changes(_read(kind, request, request.old_object), found):
        return _ALLOWED
    problems = check(found)
    closing = [problem for problem in problems if problem.reason != _TRIED]
    verdict = _rejection(found, request.resource.group, closing) if closing else _ALLOWED
    return verdict | _warnings([announced(problem) for problem in problems if problem.reason == _TRIED])


_TRIED: Final[Reason] = "policy-not-tried"
_ALLOWED: Final[dict[str, Any]] = {"allowed": True}
_WARNING_CHARACTERS: Final = 256  # The API server may cut longer ones.


def _warnings(texts: Sequence[str]) -> dict[str, Any]:
    return {"warnings": [text[:_WARNING_CHARACTERS] for text in texts[:MOST]]} if texts else {}


def _read(kind: Kind, request: _Request, raw: Mapping[str, Any]) -> Reviewed | Malformed:
    """The object of a request; one with ``generateName`` may have no name of its own yet."""
    metadata = raw.get("metadata")
    if isinstance(metadata, Mapping):
        named = {"name": request.name or metadata.get("generateName", ""), "namespace": request.namespace}
        raw = {**raw, "metadata": {**named, **metadata}}
    found = read(kind, raw)
    return found if isinstance(found, Reviewed | Malformed) else Malformed(kind.name, f"not of kind {kind.name}")


def _changes(before: Reviewed | Malformed, after: Reviewed) -> bool:
    """Whether an update touches what is checked, and the object is there to stay.

    Whoever sets a label or takes a finalizer away is not to be told of mistakes that somebody else made before, while
    this webhook could not be asked.
    """
    if after.metadata.deletion_timestamp:
        return False
    return isinstance(before, Malformed) or _checked(before) != _checked(after)


def _checked(found: Reviewed) -> object:
    return (found.annotations, found.spec) if isinstance(found, Ingress) else found.spec


def _rejection(found: Reviewed, group: str, problems: Sequence[Problem]) -> dict[str, Any]:
    """A ``Status`` as the API server gives it for what it finds invalid itself."""
    messages = Outcome("", tuple(problems)).messages
    told = [*messages[:MOST], *([f"and {len(messages) - MOST} more"] if len(messages) > MOST else [])]
    causes = [
        {"reason": "FieldValueInvalid", "field": problem.field, "message": announced(problem)}
        for problem in problems[:MOST]
    ]
    details = {"group": group, "kind": found.KIND, "name": found.metadata.name, "causes": causes}
    status = {"status": "Failure", "code": 422, "reason": "Invalid", "message": "\n".join(told), "details": details}
    return {"allowed": False, "status": status}
