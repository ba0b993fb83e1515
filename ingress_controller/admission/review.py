"""One review: ``admission.k8s.io/v1`` AdmissionReview in, AdmissionReview out.

In: the bytes of a request, and a function that finds what is wrong with an Ingress by itself. Out: the bytes of the
response, or ``InvalidReviewError`` for what is no review; the ``failurePolicy`` of the webhook decides about those.

The text of a rejection is that of the Events: ``kubectl apply`` says what ``kubectl describe`` would have said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ingress_controller.model.outcome import Outcome, announced
from ingress_controller.model.problem import Problem
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.read import Malformed, read
from ingress_controller.objects.views import Ingress

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
MOST: Final = 16
"""How many mistakes are told; there may be one a path."""

_INGRESS = BY_NAME["networking.k8s.io/v1", Ingress.KIND]
_RESOURCE = ("networking.k8s.io", "v1", _INGRESS.plural, "")

Check = Callable[[Ingress], Sequence[Problem]]
"""Finds what is wrong with an Ingress, whatever else is in the cluster."""


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


def _judge(request: _Request, check: Check) -> Mapping[str, Any]:
    """The response without its ``uid``. What is not for us to judge is allowed."""
    resource = request.resource
    if (resource.group, resource.version, resource.resource, request.sub_resource) != _RESOURCE:
        return _ALLOWED
    if request.operation not in {"CREATE", "UPDATE"} or request.object is None:
        return _ALLOWED
    ingress = _read(request, request.object)
    if isinstance(ingress, Malformed):
        # The API server has found it valid; what the controller makes of it, it will say by itself.
        return {"allowed": True, "warnings": [f"not checked: {ingress.message}"[:_WARNING_CHARACTERS]]}
    if request.old_object is not None and not _changes(_read(request, request.old_object), ingress):
        return _ALLOWED
    problems = check(ingress)
    return _rejection(ingress, problems) if problems else _ALLOWED


_ALLOWED: Final[Mapping[str, Any]] = {"allowed": True}
_WARNING_CHARACTERS: Final = 256  # The API server may cut longer ones.


def _read(request: _Request, raw: Mapping[str, Any]) -> Ingress | Malformed:
    """The Ingress of a request; one with ``generateName`` may have no name of its own yet."""
    metadata = raw.get("metadata")
    if isinstance(metadata, Mapping):
        named = {"name": request.name or metadata.get("generateName", ""), "namespace": request.namespace}
        raw = {**raw, "metadata": {**named, **metadata}}
    found = read(_INGRESS, raw)
    return found if isinstance(found, Ingress | Malformed) else Malformed(_INGRESS.name, "not an Ingress")


def _changes(before: Ingress | Malformed, after: Ingress) -> bool:
    """Whether an update touches what is checked, and the object is there to stay.

    Whoever sets a label or takes a finalizer away is not to be told of mistakes that somebody else made before, while
    this webhook could not be asked.
    """
    if after.metadata.deletion_timestamp:
        return False
    return isinstance(before, Malformed) or (before.annotations, before.spec) != (after.annotations, after.spec)


def _rejection(ingress: Ingress, problems: Sequence[Problem]) -> Mapping[str, Any]:
    """A ``Status`` as the API server gives it for what it finds invalid itself."""
    messages = Outcome("", tuple(problems)).messages
    told = [*messages[:MOST], *([f"and {len(messages) - MOST} more"] if len(messages) > MOST else [])]
    causes = [
        {"reason": "FieldValueInvalid", "field": problem.field, "message": announced(problem)}
        for problem in problems[:MOST]
    ]
    details = {"group": _RESOURCE[0], "kind": ingress.KIND, "name": ingress.metadata.name, "causes": causes}
    status = {"status": "Failure", "code": 422, "reason": "Invalid", "message": "\n".join(told), "details": details}
    return {"allowed": False, "status": status}
