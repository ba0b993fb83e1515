"""What one type of one stream still has to say in one direction: additions, or removals.

In: names with the moment they changed. Out: the names that may be sent now, and the floor: the moment before which
everything is done. Floors are how types wait for each other without ever starving: a change waits for what was
unfinished when it was made, and not for what came later.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

Needs = Callable[[str], Sequence[str] | None]
"""Gives what a name needs of the types that are waited for by name."""

_SLACK = 64
"""Stale entries of the heap that are tolerated beside one for each waiting name."""


class Moment(NamedTuple):
    """A point in the life of a stream: a transaction of the cache, then a step (a request) of the stream itself."""

    transaction: int
    step: int


NEVER = Moment(sys.maxsize, 0)


class Wait(NamedTuple):
    """The moments that a waiting name stands for.

    Attributes:
        first: since when it is unfinished; what others wait for.
        last: when it last changed; what must be finished elsewhere before its newest content may be sent.
    """

    first: Moment
    last: Moment

    def merge(self, other: "Wait") -> "Wait":
        """Give what both stand for together."""
        return Wait(min(self.first, other.first), max(self.last, other.last))


NO_WAIT = Wait(NEVER, Moment(-1, 0))


@dataclass(frozen=True, slots=True)
class Limit:
    """What a name has to be older than, to be sent.

    Attributes:
        common: the moment for all names.
        strict: the moment for names of which it is not known what they need; not after `common`.
        lanes: where those of which it is known wait for that, and for nothing else.
    """

    common: Moment
    strict: Moment
    lanes: tuple["Lane", ...] = ()

    def allows(self, last: Moment, name: str, needs: Needs) -> bool:
        """Whether a name that last changed at a moment may be sent."""
        if last < self.strict:
            return True
        if last >= self.common or (needed := needs(name)) is None:
            return False
        return all(last < lane.since(each) for lane in self.lanes for each in needed)


UNLIMITED = Limit(NEVER, NEVER)


@dataclass(frozen=True, slots=True)
class Batch:
    """Names that will be sent again in one response."""

    names: tuple[str, ...]
    wait: Wait


@dataclass(frozen=True, slots=True)
class Sent:
    """What is on its way to the proxy, unanswered.

    Attributes:
        names: all names in it.
        versions: name -> version, empty for a removal. A name that acceptance no longer concerns is taken out.
        wait: what the names in it wait for, together.
    """

    names: tuple[str, ...]
    versions: dict[str, str]
    wait: Wait


class Lane:
    """The waiting names of one direction.

    Attributes:
        fresh: changed names. A name that changes again keeps its place. Take names out at will, add with `mark`.
        suspects: batches of a refused response, to be sent again apart from each other.
        sent: what was sent last, while its answer is waited for.
    """

    __slots__ = ("_firsts", "_resent", "fresh", "sent", "suspects")

    def __init__(self) -> None:
        self.fresh: dict[str, Wait] = {}
        self.suspects: deque[Batch] = deque()
        self.sent: Sent | None = None
        self._resent = False
        # A heap of (first, name) for `floor`; entries of names that are gone are dropped when they are met.
        self._firsts: list[tuple[Moment, str]] = []

    @property
    def floor(self) -> Moment:
        """Everything that began before this moment is done."""
        firsts = [batch.wait.first for batch in self.suspects]
        if self.sent:
            firsts.append(self.sent.wait.first)
        return min((self._fresh_floor, *firsts))

    def since(self, name: str) -> Moment:
        """The moment since which a name is unfinished; `NEVER` when it is not."""
        # Who is to blame for a refusal is not known yet, so suspects count whatever their names.
        firsts = [batch.wait.first for batch in self.suspects]
        if wait := self.fresh.get(name):
            firsts.append(wait.first)
        if self.sent and name in self.sent.versions:
            firsts.append(self.sent.wait.first)
        return min(firsts, default=NEVER)

    @property
    def _fresh_floor(self) -> Moment:
        while self._firsts:
            first, name = self._firsts[0]
            wait = self.fresh.get(name)
            if wait and wait.first == first:
                return first
            heappop(self._firsts)
        return NEVER

    def __len__(self) -> int:
        return len(self.fresh) + sum(len(batch.names) for batch in self.suspects)

    def mark(self, name: str, wait: Wait) -> None:
        """Note that a name changed."""
        before = self.fresh.get(name)
        merged = self.fresh[name] = wait.merge(before) if before else wait
        if before is None or merged.first < before.first:
            if len(self._firsts) > 2 * len(self.fresh) + _SLACK:
                self._firsts = sorted((waiting.first, each) for each, waiting in self.fresh.items())
            else:
                heappush(self._firsts, (merged.first, name))

    def ready(self, limit: Limit, needs: Needs) -> Iterator[tuple[str, Wait]]:
        """Give the fresh names whose newest content the limit allows."""
        # The floor tells when there is nothing to find, however many wait.
        if self._fresh_floor < limit.common:
            for name, wait in self.fresh.items():
                if limit.allows(wait.last, name, needs):
                    yield name, wait

    def next_suspect(self, limit: Limit, needs: Needs) -> Batch | None:
        """Take the batch that is to be sent again next; it takes turns with fresh names, so that neither waits long."""
        if not self.suspects or (self._resent and any(self.ready(limit, needs))):
            self._resent = False
            return None
        self._resent = True
        return self.suspects.popleft()
