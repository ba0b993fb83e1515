"""What the API server sends for a list and a watch, as values.

In: the bytes of a page, of a watch's line, of an object in one of them. Out: a :class:`Page`, an :class:`Event`, an
:class:`Observation`. Objects stay bytes until each is decoded on its own, straight into its view, so that a bad one
spoils no other. What is nested beyond reason is cut out, or it would end the decoder: free-form fields of a custom
resource may be nested as deep as their author likes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingress_controller.kubernetes_api import ApiError, Status
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch, Change
from ingress_controller.objects.kinds import Kind
from ingress_controller.objects.read import Malformed, read
from ingress_controller.objects.views import KubernetesObject

_MAX_DEPTH = 100
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """meta/v1 ListMeta: the version of a whole list, and the token of its next page."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """One page of a list, its items not yet decoded."""

    metadata: ListMeta
    items: tuple[msgspec.Raw, ...] | None = None


class Event(msgspec.Struct, frozen=True):
    """One line of a watch, its object not yet decoded. ``type`` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw

    @property
    def error(self) -> ApiError | None:
        """What an ERROR says."""
        if self.type != "ERROR":
            return None
        status = msgspec.json.decode(self.object, type=Status)
        return ApiError(status.code, status.reason, status.message)


@dataclass(frozen=True, slots=True)
class Observation:
    """An object as it was seen.

    Attributes:
        ref: its identity; ``None`` if that cannot be read.
        version: its resource version; empty if that cannot be read.
        object: its view, or what is wrong with it; ``None`` when it is gone.
    """

    ref: ObjectRef | None
    version: str
    object: KubernetesObject | Malformed | None


class _Versioned(msgspec.Struct, frozen=True):
    metadata: ListMeta


class Lines:
    """Puts the lines of a stream together from chunks that end anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """The lines that the chunk completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line]


def to_batch(observations: Iterable[Observation]) -> Batch:
    """The last observation of each object, as what is to be done. What became malformed counts as gone."""
    latest: dict[ObjectRef | int, Observation] = {}
    for number, seen in enumerate(observations):
        key = seen.ref or number
        latest.pop(key, None)
        latest[key] = seen
    changes = [
        Change(seen.ref, None if isinstance(seen.object, Malformed) else seen.object)
        for seen in latest.values()
        if seen.ref
    ]
    malformed = [seen.object for seen in latest.values() if isinstance(seen.object, Malformed)]
    return Batch(tuple(changes), tuple(malformed))


def parse_page(body: bytes) -> Page:
    """Decode a page of a list. Raises :class:`msgspec.DecodeError`."""
    try:
        return _PAGE.decode(body)
    except RecursionError:
        return _PAGE.decode(_cut(body))


def parse_event(line: bytes) -> Event:
    """Decode a line of a watch. Raises :class:`msgspec.DecodeError`."""
    try:
        return _EVENT.decode(line)
    except RecursionError:
        return _EVENT.decode(_cut(line))


def _cut(body: bytes) -> bytes:
    """The same JSON with ``null`` in place of each list and map that is nested too deep."""
    kept: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth > _MAX_DEPTH and start <= token.start():
                kept += (body[start : token.start()], b"null")
                start = len(body)
        elif token[0] in b"]}":
            if depth == _MAX_DEPTH + 1:
                start = token.end()
            depth -= 1
    return b"".join((*kept, body[start:]))


def parse_version(raw: msgspec.Raw) -> str:
    """The resource version of any object, such as a bookmark; empty if it has none."""
    try:
        return _VERSIONED.decode(raw).metadata.resource_version
    except msgspec.DecodeError:
        return ""


def parse_object(kind: Kind, decoder: "msgspec.json.Decoder[Any]", raw: msgspec.Raw) -> Observation:
    """Decode an object.

    Args:
        kind: what it has to be.
        decoder: one for the kind's view, made once.
        raw: the object's JSON.
    """
    try:
        view: KubernetesObject = decoder.decode(raw)
    except msgspec.DecodeError as error:
        return _parse_malformed(kind, raw, error)
    return Observation(view.ref, view.metadata.resource_version, view)


def _parse_malformed(kind: Kind, raw: msgspec.Raw, error: msgspec.DecodeError) -> Observation:
    """Find out as much as can be told about an object that is none."""
    try:
        decoded = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        decoded = None
    if not isinstance(decoded, dict):
        return Observation(None, "", Malformed(kind.name, str(error)))
    found = read(kind, decoded)
    return Observation(found.ref, parse_version(raw), found)


_PAGE = msgspec.json.Decoder(Page)
_EVENT = msgspec.json.Decoder(Event)
_VERSIONED = msgspec.json.Decoder(_Versioned)
