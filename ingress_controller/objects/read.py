"""Raw objects to views.

In: one object as decoded from JSON or YAML. Out: its view, or ``Malformed``. This is the only place where
untyped data is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import msgspec

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import Kind
from ingress_controller.objects.views import KubernetesObject

_MAPS: Final = {"metadata.annotations": str, "metadata.labels": str, "data": bytes, "stringData": str}
"""Maps from any key to values of one type."""
_WORDS: Final = {
    "pathType": ", only Exact, Prefix and ImplementationSpecific are allowed",
    "addressType": ", only IPv4, IPv6 and FQDN are allowed",
}
"""What may be written, for fields of a few words."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that was given as an object and is none.

    Attributes:
        where: the place a person can open, such as ``web.yaml, document 2`` or ``Ingress app/web``.
        message: what is wrong and what is allowed, with the path of the field.
        ref: the object's identity, where that much could be read.
    """

    where: str
    message: str
    ref: ObjectRef | None = None

    def __str__(self) -> str:
        """The place and the message."""
        return f"{self.where}: {self.message}"


def read(kind: Kind, raw: Mapping[str, Any], where: str = "") -> KubernetesObject | Malformed:
    """Give an object of a kind its typed view.

    Args:
        kind: the kind that ``raw`` is said to be of.
        raw: the decoded object.
        where: the place it comes from, for the message, beside its own name.
    """
    ref = reference(kind, raw)
    try:
        return msgspec.convert(raw, kind.view)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        place = ": ".join(filter(None, (where, str(ref or kind.name))))
        return Malformed(place, _in_full(str(error), kind, raw), ref)


def _in_full(message: str, kind: Kind, raw: Mapping[str, Any]) -> str:
    """Add what msgspec leaves out: the key of a map (``[...]``), and the words or fields that are allowed."""
    if message.startswith("Object contains unknown field"):
        (spec,) = (field.type for field in msgspec.structs.fields(kind.view) if field.name == "spec")
        known = (field.encode_name for field in msgspec.structs.fields(spec))
        return f"{message}, only {' and '.join(known)} are allowed"
    for path, wanted in _MAPS.items():
        if message.endswith(f"`$.{path}[...]`"):
            values = reduce(lambda found, field: found[field], path.split("."), raw)
            bad = next(key for key, value in values.items() if not _is(value, wanted))
            return message.replace(f"{path}[...]", f"{path}[{str(bad)[:100]}]")
    return next((message + known for field, known in _WORDS.items() if message.endswith(f".{field}`")), message)


def _is(value: object, wanted: type) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def reference(kind: Kind, raw: Mapping[str, Any]) -> ObjectRef | None:
    """The identity of a raw object, as far as its metadata allow one."""
    metadata = raw.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    namespace = metadata.get("namespace", "") if isinstance(metadata, Mapping) else None
    if isinstance(name, str) and isinstance(namespace, str):
        return ObjectRef(kind.name, namespace, name)
    return None
