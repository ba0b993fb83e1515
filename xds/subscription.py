"""One type of resource on one stream: what the proxy asked for, what it has, and what it is told next.

In: names subscribed, unsubscribed, changed; answers to responses. Out: the content of the next response. At most one
response is unanswered, and the next is made from what the cache holds then: changes to a slow proxy coalesce.

A refused response is sent again by halves until the bad resource is alone. Until a resource is accepted again, it is
not known which version of it the proxy holds: it may have taken some of a response it refused.
"""

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xds import wire
from xds.cache import Cache
from xds.lane import NO_WAIT, Batch, Lane, Limit, Moment, Sent, Wait
from xds.resource import Resource, ResourceType

ABSENT = ""
"""The version of what does not exist."""
UNSURE = "?"
"""A known version that equals none: of what was in a refused response, or is to be sent again."""
WILDCARD = "*"
RESPONSE_LIMIT = 1_500_000
"""Bytes of resources in one response; a single larger resource goes alone."""


@dataclass(slots=True)
class Draft:
    """The content of one response.

    Attributes:
        versions: name -> version without attempt, `ABSENT` for a name that is to be removed.
        chunks: the encoded resources.
        size: bytes so far.
        wait: what the names in it wait for, together.
    """

    versions: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    wait: Wait = NO_WAIT

    def add(self, name: str, version: str, chunks: Iterable[bytes], wait: Wait) -> None:
        """Add one name."""
        self.versions[name] = version
        self.chunks.extend(chunks)
        self.wait = self.wait.merge(wait)


class Subscription:
    """The state of one type on one stream.

    Attributes:
        type: the type and its treatment.
        additions: what waits to be made or changed, and names asked for that do not exist.
        removals: what the proxy has and shall lose.
        names: what the proxy asks for by name.
        known: name -> version that the proxy has.
        refused: name -> version that the proxy refused when it was alone.
        resumed: the proxy brought resources of some type from an earlier stream, where some may have been refused.
    """

    def __init__(self, type_: ResourceType, cache: Cache, attempt: int) -> None:
        self.type = type_
        self.additions = Lane()
        self.removals = Lane()
        self.names: set[str] = set()
        self.known: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.resumed = False
        self._cache = cache
        self._attempt = attempt
        self._wildcard = False
        self._doubtful: set[str] = set()
        # Names that may yet exist once the cache is complete; a dictionary for its order.
        self._unknown: dict[str, None] = {}
        self._greeting_due = False
        self._unanswered: dict[str, tuple[Lane, Sent]] = {}

    @property
    def floor(self) -> Moment:
        """Everything that began before this moment is accepted or refused."""
        unanswered = (sent.wait.first for _, sent in self._unanswered.values())
        return min((self.additions.floor, self.removals.floor, *unanswered))

    @property
    def pending(self) -> int:
        """How many names wait to be sent or answered."""
        return len(self.additions) + len(self.removals) + len(self.unanswered) + len(self._unknown)

    @property
    def unanswered(self) -> list[str]:
        """The names that were sent and not answered."""
        return [name for _, sent in self._unanswered.values() for name in sent.versions]

    def wants(self, name: str) -> bool:
        """Whether the proxy is subscribed to a name."""
        return self._wildcard or name in self.names

    def open(self, names: Collection[str], versions: Mapping[str, str], wait: Wait) -> None:
        """Take the first request of this type.

        Args:
            names: what is subscribed to; `WILDCARD` means everything.
            versions: name -> version that the proxy has from an earlier stream.
            wait: the moment of the request.
        """
        self._wildcard = WILDCARD in names
        self.names = {name for name in names if name != WILDCARD}
        # A proxy that asks for everything waits for an answer, even when there is nothing.
        self._greeting_due = self._wildcard and not versions
        self.known = {name: version.partition("+")[0] for name, version in versions.items() if self.wants(name)}
        self._mark_differing((*self.names, *self.known), wait)

    def subscribe(self, names: Iterable[str], wait: Wait) -> None:
        """Add names. One that was subscribed before is sent again, for the proxy may have dropped it."""
        for name in names:
            if name != WILDCARD:
                self.names.add(name)
                self._forget(name)
                self._disregard_answers(name)
                self._mark(name, wait)
            elif not self._wildcard:
                self._wildcard = True
                self._mark_differing(self.unanswered, wait)

    def unsubscribe(self, names: Iterable[str], wait: Wait) -> None:
        """Drop names. One that the wildcard still covers is answered, so that the proxy knows whether to keep it."""
        for name in names:
            if name == WILDCARD:
                self._wildcard = False
                self._doubtful &= self.names
                for lost in {name for state in self._states for name in state} - self.names:
                    self._forget(lost)
            elif name in self.names:
                if self._wildcard:
                    if name in self.known:
                        self.known[name] = UNSURE
                    self._mark(name, wait)
                else:
                    self._doubtful.discard(name)
                    self._forget(name)
                self.names.remove(name)

    def change(self, names: Iterable[str], wait: Wait) -> None:
        """Note that names changed in the cache."""
        for name in names:
            if self.wants(name):
                self._mark(name, wait)

    def complete(self, wait: Wait) -> None:
        """Note that what does not exist in the cache does not exist."""
        unknown, self._unknown = self._unknown, {}
        for name in unknown:
            self._mark(name, wait, asked=True)

    def refresh(self, names: Iterable[str], wait: Wait) -> None:
        """Send names again that exist and are subscribed to, whatever the proxy has."""
        for name in names:
            if self.wants(name) and self._cache.get(self.type.url, name):
                self._disregard_answers(name)
                self.known[name] = UNSURE
                self._mark(name, wait)

    def _mark_differing(self, names: Iterable[str], wait: Wait) -> None:
        current = self._cache.resources(self.type.url)
        for name in dict.fromkeys((*current, *names) if self._wildcard else names):
            resource = current.get(name)
            if resource is None or self.known.get(name) != resource.version:
                self._mark(name, wait)

    def _mark(self, name: str, wait: Wait, *, asked: bool = False) -> None:
        asked |= name in self.names
        held = name in self.known or any(sent.versions.get(name) for _, sent in self._unanswered.values())
        exists = self._cache.get(self.type.url, name) is not None
        if not exists and not self._cache.is_complete:
            for lane in (self.additions, self.removals):
                lane.fresh.pop(name, None)
            if held or asked:
                self._unknown[name] = None
            return
        self._unknown.pop(name, None)
        lane, other = (self.removals, self.additions) if held and not exists else (self.additions, self.removals)
        # The proxy still lacks what the name waited for in the other lane.
        before = other.fresh.pop(name, None)
        if held or exists or asked:
            lane.mark(name, wait.merge(before) if before else wait)
        else:
            lane.fresh.pop(name, None)

    @property
    def _states(self) -> tuple[dict[str, Any], ...]:
        return self.known, self.refused, self.additions.fresh, self.removals.fresh, self._unknown

    def _forget(self, name: str) -> None:
        for state in self._states:
            state.pop(name, None)

    def _disregard_answers(self, name: str) -> None:
        for _, sent in self._unanswered.values():
            sent.versions.pop(name, None)

    def draft(self, lane: Lane, limit: Limit, nonce: str) -> Draft | None:
        """Make the next response of a lane from what the limit allows, unless an answer is waited for."""
        if self.additions.sent or self.removals.sent:
            return None
        # The second look is for when the fresh names' turn came and none of them needed anything.
        draft = self._draft_suspects(lane, limit) or self._draft_fresh(lane, limit) or self._draft_suspects(lane, limit)
        if draft is None and self._greeting_due and lane is self.additions and not lane.fresh:
            draft = Draft() if self._cache.is_complete else None
        if draft:
            self._greeting_due = False
            # Only names and versions are kept until the answer.
            lane.sent = Sent(tuple(draft.versions), draft.versions, draft.wait)
            self._unanswered[nonce] = lane, lane.sent
        return draft

    def _needs(self, name: str) -> tuple[str, ...] | None:
        resource = self._cache.get(self.type.url, name)
        return resource.needs if resource else None

    def _draft_suspects(self, lane: Lane, limit: Limit) -> Draft | None:
        while batch := lane.next_suspect(limit, self._needs):
            draft = Draft()
            for name in batch.names:
                moved_to = next((each for each in (self.additions, self.removals) if name in each.fresh), None)
                if moved_to:
                    # It changed meanwhile, and goes with the fresh ones.
                    moved_to.mark(name, batch.wait)
                elif self.wants(name):
                    self._add(draft, name, batch.wait, sys.maxsize)
            if draft.versions:
                return draft
        return None

    def _draft_fresh(self, lane: Lane, limit: Limit) -> Draft | None:
        draft = Draft()
        done = []
        for name, wait in lane.ready(limit, self._needs):
            if not self._add(draft, name, wait, RESPONSE_LIMIT):
                break
            done.append(name)
        for name in done:
            del lane.fresh[name]
        return draft if draft.versions else None

    def _add(self, draft: Draft, name: str, wait: Wait, limit: int) -> bool:
        """Add to a draft what there is to say about a name, if anything; False when that does not fit."""
        resource = self._cache.get(self.type.url, name)
        version = resource.version if resource else ABSENT
        if self.refused.get(name) == version or (resource and self.known.get(name) == version):
            return True
        if resource is None and not self._cache.is_complete:
            return True
        chunks = self._encode(resource) if resource else []
        size = sum(map(len, chunks)) or len(name)
        if draft.versions and draft.size + size > limit:
            return False
        draft.size += size
        draft.add(name, version, chunks, wait)
        return True

    def _encode(self, resource: Resource) -> list[bytes]:
        parts, version = resource.parts, resource.version
        if self.type.retry and (self.resumed or self._is_doubtful(resource.name)):
            parts = self.type.retry(parts, self._attempt)
            version = f"{version}+{self._attempt}"
        return wire.resource(self.type.url, resource.name, version, parts)

    def _is_doubtful(self, name: str) -> bool:
        # What is unanswered while another response is made is answered late, and may yet be refused.
        return name in self._doubtful or any(name in sent.names for _, sent in self._unanswered.values())

    def awaits(self, nonce: str) -> bool:
        """Whether an answer to this response is still to come."""
        return nonce in self._unanswered

    def stop_waiting(self, nonce: str) -> None:
        """Let others go on, and the next response follow, though a response is not answered."""
        if nonce in self._unanswered:
            self._release(nonce)
            self._attempt += 1

    def accept(self, nonce: str) -> None:
        """Note that the proxy accepted a response."""
        _, sent = self._take_unanswered(nonce)
        for name, version in self._wanted(sent).items():
            self.refused.pop(name, None)
            self._doubtful.discard(name)
            if version == ABSENT:
                self.known.pop(name, None)
            else:
                self.known[name] = version

    def refuse(self, nonce: str) -> tuple[str, str] | None:
        """Note that the proxy refused a response.

        Returns:
            Name and version of the bad resource when it was alone; otherwise the halves will be sent again.
        """
        lane, sent = self._take_unanswered(nonce)
        self._attempt += 1
        versions = self._wanted(sent)
        for name in sent.names:
            if self.wants(name) and (versions.get(name) != ABSENT or name in self.known):
                self.known[name] = UNSURE
                self._doubtful.add(name)
        if len(sent.names) == 1:
            self.refused.update(versions)
            return next(iter(versions.items()), None)
        names = tuple(versions)
        middle = (len(names) + 1) // 2
        lane.suspects.extendleft(Batch(half, sent.wait) for half in (names[middle:], names[:middle]) if half)
        return None

    def _wanted(self, sent: Sent) -> dict[str, str]:
        # A proxy answers after what it has sent before: what it no longer wanted when it answered, it did not keep.
        return {name: version for name, version in sent.versions.items() if self.wants(name)}

    def _take_unanswered(self, nonce: str) -> tuple[Lane, Sent]:
        self._release(nonce)
        return self._unanswered.pop(nonce)

    def _release(self, nonce: str) -> None:
        lane, sent = self._unanswered[nonce]
        if lane.sent is sent:
            lane.sent = None
