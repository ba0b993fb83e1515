"""An Event as the API server takes and gives it: ``events.k8s.io/v1``.

In: what is to be said of an object; JSON of a list. Out: bodies of POST and PATCH; :class:`Event` values.
The limits are those of the API's validation (`pkg/apis/core/validation/events.go` of Kubernetes).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ingress_controller.kubernetes_api import KubernetesApi
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import BY_VIEW
from ingress_controller.objects.views import KubernetesObject

API_VERSION = "events.k8s.io/v1"
CONTROLLER = "pomerium-ingress"
ACTION = "UpdateConfiguration"
OUTCOME_ANNOTATION = "pomerium-ingress/outcome"

_NOTE_BYTES = 1024
_INSTANCE_CHARACTERS = 128
_NAME_CHARACTERS = 253


class _Wire(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Common options: immutable, ``camelCase`` on the wire, nothing that says nothing."""


class EventMetadata(_Wire, frozen=True):
    """ObjectMeta of an Event."""

    name: str
    namespace: str
    annotations: Mapping[str, str] | None = None


class Regarding(_Wire, frozen=True):
    """The object that an Event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""

    @property
    def ref(self) -> ObjectRef:
        """Its identity."""
        return ObjectRef(self.kind, self.namespace, self.name)


class Series(_Wire, frozen=True):
    """How often an Event was seen, at least twice, and when last."""

    count: int
    last_observed_time: str | None


class Event(_Wire, frozen=True):
    """events.k8s.io/v1 Event; times are RFC 3339 text with microseconds."""

    metadata: EventMetadata
    event_time: str | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    action: str = ""
    type: str = ""
    reason: str = ""
    note: str = ""
    regarding: Regarding = Regarding()
    series: Series | None = None

    @property
    def outcome(self) -> str:
        """What its annotation says of the outcome; empty if there is none."""
        return (self.metadata.annotations or {}).get(OUTCOME_ANNOTATION, "")

    @property
    def count(self) -> int:
        """How often it was seen."""
        return self.series.count if self.series else 1

    @property
    def last_observed(self) -> datetime:
        """When it was seen last."""
        time = (self.series.last_observed_time if self.series else None) or self.event_time
        return datetime.fromisoformat(time) if time else datetime.fromtimestamp(0, UTC)


class _ListMeta(_Wire, frozen=True):
    continue_: str = msgspec.field(default="", name="continue")


class _Page(_Wire, frozen=True):
    metadata: _ListMeta
    items: tuple[Event, ...] | None = None


def path(namespace: str = "", name: str = "") -> str:
    """The API path of an Event, of those of a namespace, or of all."""
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{API_VERSION}{inside}/events{'/' if name else ''}{name}"


async def list_events(api: KubernetesApi, namespace: str) -> list[Event]:
    """The Events that this controller, or its predecessor, wrote in a namespace, or everywhere if that is empty.

    Raises:
        ApiError: the server refused.
        aiohttp.ClientError, OSError, TimeoutError: the server is away.
    """
    events: list[Event] = []
    query: dict[str, str | int] = {"fieldSelector": f"reportingController={CONTROLLER}", "limit": 500}
    while True:
        page = msgspec.json.decode(await api.request("GET", path(namespace), query), type=_Page)
        events += page.items or ()
        if not page.metadata.continue_:
            return [event for event in events if event.outcome]
        query["continue"] = page.metadata.continue_


def to_note(message: str) -> str:
    """The message, cut at a character boundary where it is longer than an Event may hold."""
    encoded = message.encode(errors="replace")
    if len(encoded) <= _NOTE_BYTES:
        return encoded.decode()
    return encoded[: _NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"


def to_name(about: KubernetesObject, time: datetime) -> str:
    """A name that sorts by time among the Events of an object, and is new as long as the time is."""
    suffix = f".{int(time.timestamp() * 1_000_000):016x}"
    return about.metadata.name[: _NAME_CHARACTERS - len(suffix)].rstrip("-.") + suffix


def to_namespace(about: KubernetesObject) -> str:
    """Where the Events of an object are; those of objects without a namespace are in ``default``."""
    return about.metadata.namespace or "default"


def to_regarding(about: KubernetesObject) -> Regarding:
    """The object in its present version, as what an Event is about."""
    metadata = about.metadata
    return Regarding(
        kind=about.KIND,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        api_version=BY_VIEW[type(about)].api_version,
        resource_version=metadata.resource_version,
    )


def to_time(time: datetime) -> str:
    """RFC 3339 with the six decimals that the API insists on."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_series(count: int, last: datetime) -> Series | None:
    """A series; there is none of what was seen once."""
    return Series(count, to_time(last)) if count > 1 else None


def to_instance(host: str) -> str:
    """The name of a reporting instance."""
    return host[:_INSTANCE_CHARACTERS]


def to_body(event: Event) -> Mapping[str, Any]:
    """The body of a POST."""
    body: Mapping[str, Any] = msgspec.to_builtins(event)
    return body


def to_patch(count: int, last: datetime, outcome: str) -> Mapping[str, Any]:
    """The body of a PATCH that makes an Event a series, or a series longer."""
    series = msgspec.to_builtins(to_series(count, last))
    return {"metadata": {"annotations": {OUTCOME_ANNOTATION: outcome}}, "series": series}
