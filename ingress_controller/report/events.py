"""Announcements as Events of the object's namespace, for ``kubectl describe`` and whoever else looks.

In: outcomes. Out: ``events.k8s.io/v1`` Events by the controller ``pomerium-ingress``. ``kubectl`` shows that name in
its From column, and ``3s (x4 over 2m)`` for a series. It sorts by a field that these Events do not have, which leaves
them in the order of their names; so the names hold the time.

An Event says what changed: nothing is written while an outcome stays the same, nor after a restart. For that each
Event has the digest of its outcome as an annotation, and the Events that exist are read at the start. The API server
drops Events after a time (an hour unless configured otherwise); a restart after that announces anew.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from tenacity import AsyncRetrying, retry_if_exception

from ingress_controller.kubernetes_api import RETRY_WAIT, ApiError, KubernetesApi, is_transient
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.views import KubernetesObject
from ingress_controller.report import event as wire
from ingress_controller.report.event import Event
from ingress_controller.report.outcome import Announcement, transitions
from ingress_controller.report.work import CONCURRENCY, WorkQueue, write

log = structlog.get_logger(__name__)

_SERIES_GAP = timedelta(minutes=6)
"""Equal announcements that are no further apart are one Event with a count; as long as client-go has it."""

_MAY_APPEAR = frozenset(
    {
        "service-not-found",
        "port-not-found",
        "endpoints-not-found",
        "secret-not-found",
        "policy-not-found",
        "policy-not-granted",
        "class-parameters-not-found",
    }
)
"""Reasons of problems that the next object to be seen may end."""

_MOST = 16
"""How many announcements of one outcome are made, and how many may wait for one object: an outage must not make them
grow without bound."""


class _Key(NamedTuple):
    """What equal announcements have in common."""

    uid: str
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class _Pending:
    """An announcement that is not written yet, made ``count`` times between ``first`` and ``last``."""

    about: KubernetesObject
    announcement: Announcement
    outcome: str
    first: datetime
    last: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Written:
    """An Event that exists."""

    name: str
    count: int
    last: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EventReporter:
    """A `Reporter` that writes Events. Only one replica should run one."""

    def __init__(
        self,
        api: KubernetesApi,
        instance: str,
        namespaces: Sequence[str] = (),
        now: Callable[[], datetime] = _utc_now,
        concurrency: int = CONCURRENCY,
        patience: float = 1.0,
    ) -> None:
        """Choose where to write.

        Args:
            api: the client; the caller closes it.
            instance: the name of the pod or host.
            namespaces: where to look for earlier Events; everywhere when empty.
            now: the clock, with time zone.
            concurrency: for how many objects Events are written at a time.
            patience: seconds that what an Ingress refers to may take to appear before its absence is announced: of
                objects that are applied together, the Ingress is often seen first.
        """
        self._api = api
        self._instance = wire.to_instance(instance)
        self._namespaces = tuple(namespaces) or ("",)
        self._now = now
        self._patience = patience
        self._stamp = datetime.fromtimestamp(0, UTC)
        self._seeded = False
        self._held: dict[ObjectRef, tuple[KubernetesObject, Outcome]] = {}
        self._announced: dict[ObjectRef, tuple[str, str]] = {}  # Its uid and the digest.
        self._pending: dict[ObjectRef, dict[_Key, _Pending]] = {}
        self._recent = OrderedDict[_Key, _Written]()  # Oldest first.
        self._work = WorkQueue(self._write_pending, concurrency)

    def observe(self, found: KubernetesObject, outcome: Outcome) -> None:
        """Take note of the newest outcome of an object; nothing happens if it is the same as before."""
        self._held[found.ref] = found, outcome
        if self._seeded:
            self._release(found.ref, outcome)

    def forget(self, ref: ObjectRef) -> None:
        """The object is gone, or no longer ours: what waits to be said of it is dropped."""
        for remembered in (self._held, self._announced, self._pending):
            remembered.pop(ref, None)

    async def run(self) -> None:
        """Read what has been said before, then write until cancelled."""
        try:
            await self._seed()
            self._seeded = True
            for ref, (_, outcome) in tuple(self._held.items()):
                self._release(ref, outcome)
            await self._work.run()
        finally:
            self._seeded = False

    def _release(self, ref: ObjectRef, outcome: Outcome) -> None:
        """Announce a held outcome: at once, or when it has stayed the newest for a while."""
        if any(problem.reason not in _MAY_APPEAR for problem in outcome.problems) or not outcome.problems:
            self._announce(*self._held.pop(ref))
        else:
            asyncio.get_running_loop().call_later(self._patience, self._release_if_newest, ref, outcome)

    def _release_if_newest(self, ref: ObjectRef, outcome: Outcome) -> None:
        held = self._held.get(ref)
        if self._seeded and held and held[1] is outcome:
            self._announce(*self._held.pop(ref))

    async def _seed(self) -> None:
        """Learn from the Events that exist what has been announced, and which of them a series may continue."""
        retrying = AsyncRetrying(retry=retry_if_exception(is_transient), wait=RETRY_WAIT, reraise=True)
        events: list[Event] = []
        for namespace in self._namespaces:
            try:
                events += await retrying(wire.list_events, self._api, namespace)
            except ApiError as error:
                log.warning("cannot read earlier events, may repeat them", verb="list", error=error.message)
        self._remember(sorted(events, key=lambda event: event.last_observed))

    def _remember(self, events: Iterable[Event]) -> None:
        """Take Events, oldest first, as what has been said. An outcome counts if all its announcements are there."""
        said = defaultdict[tuple[str, str], set[str]](set)
        for event in events:
            ref, uid = event.regarding.ref, event.regarding.uid
            notes = said[uid, event.outcome]
            notes.add(event.note)
            digest, _, count = event.outcome.partition(".")
            self._announced[ref] = uid, digest if str(len(notes)) == count else ""
            key = _Key(uid, event.reason, event.note)
            self._recent[key] = _Written(event.metadata.name, event.count, event.last_observed)
            self._recent.move_to_end(key)

    def _announce(self, about: KubernetesObject, outcome: Outcome) -> None:
        ref, uid = about.ref, about.metadata.uid
        known_uid, digest = self._announced.get(ref, ("", ""))
        news = transitions(ref, digest if known_uid == uid else None, outcome)
        self._announced[ref] = uid, outcome.digest
        if not news:
            return
        notes = tuple({wire.to_note(announcement.message): announcement for announcement in news}.items())[:_MOST]
        said = f"{outcome.digest}.{len(notes)}"
        pending = self._pending.setdefault(ref, {})
        for note, announcement in notes:
            now = self._now()
            key = _Key(uid, announcement.reason, note)
            earlier = pending.pop(key, _Pending(about, announcement, said, now, now, count=0))
            pending[key] = replace(earlier, about=about, outcome=said, last=now, count=earlier.count + 1)
        while len(pending) > _MOST:
            del pending[next(iter(pending))]
        self._work.mark(ref)

    async def _write_pending(self, ref: ObjectRef) -> None:
        """Write what waits for an object, oldest first."""
        while pending := self._pending.get(ref):
            key = next(iter(pending))
            waiting = pending.pop(key)
            try:
                await self._write(key, waiting)
            except ApiError as error:
                log.warning("cannot write event", announcement=str(waiting.announcement), error=error.message)
        self._pending.pop(ref, None)

    async def _write(self, key: _Key, pending: _Pending) -> None:
        """Make the Event of an equal announcement shortly before a longer series, or a new Event."""
        namespace = wire.to_namespace(pending.about)
        written = self._recall(key, pending.first)
        if written:
            written = replace(written, count=written.count + pending.count, last=pending.last)
            patch = wire.to_patch(written.count, written.last, pending.outcome)
            try:
                await write(self._api, "PATCH", wire.path(namespace, written.name), patch)
            except ApiError as error:
                if error.status != 404:
                    raise
                written = None  # It has expired.
        if not written:
            event = self._to_event(key, pending)
            written = _Written(event.metadata.name, event.count, pending.last)
            try:
                await write(self._api, "POST", wire.path(namespace), wire.to_body(event))
            except ApiError as error:
                if error.reason != "AlreadyExists":  # An earlier try arrived, but its answer did not.
                    raise
        self._recent[key] = written

    def _recall(self, key: _Key, now: datetime) -> _Written | None:
        """The Event that an announcement continues, which is no longer remembered; those too old are dropped."""
        while self._recent:
            oldest, written = self._recent.popitem(last=False)
            if now - written.last <= _SERIES_GAP:
                self._recent[oldest] = written
                self._recent.move_to_end(oldest, last=False)
                break
        return self._recent.pop(key, None)

    def _to_event(self, key: _Key, pending: _Pending) -> Event:
        # A microsecond apart at least, so that names differ and keep the order.
        self._stamp = max(pending.first, self._stamp + timedelta(microseconds=1))
        about, announcement = pending.about, pending.announcement
        return Event(
            metadata=wire.EventMetadata(
                name=wire.to_name(about, self._stamp),
                namespace=wire.to_namespace(about),
                annotations={wire.OUTCOME_ANNOTATION: pending.outcome},
            ),
            event_time=wire.to_time(pending.first),
            reporting_controller=wire.CONTROLLER,
            reporting_instance=self._instance,
            action=wire.ACTION,
            type=announcement.type,
            reason=announcement.reason,
            note=key.note,
            regarding=wire.to_regarding(about),
            series=wire.to_series(pending.count, pending.last),
        )
