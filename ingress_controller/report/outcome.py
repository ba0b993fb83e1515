"""What became of an object, and what is to be said about it.

In: the outcome of compiling an Ingress, or rules that Ingresses share, and what was said before. Out: announcements,
each of which becomes one Event or one line of the log. Who says it, where and when, is decided elsewhere.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from ingress_controller.model.outcome import Outcome
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.views import KubernetesObject

UPDATED_MESSAGE = "updated pomerium configuration"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something to be said about an object; the fields are those of an Event."""

    ref: ObjectRef
    type: Literal["Normal", "Warning"]
    reason: Literal["Updated", "UpdateError"]
    message: str

    def __str__(self) -> str:
        """``Warning UpdateError Ingress app/web: upsert routes: ...``."""
        return f"{self.type} {self.reason} {self.ref}: {self.message}"


def transitions(ref: ObjectRef, previous: str | None, outcome: Outcome) -> tuple[Announcement, ...]:
    """What has to be said now.

    Args:
        ref: the object.
        previous: the digest of the outcome that was announced last; ``None`` if there was none.
        outcome: the newest outcome.
    """
    if previous == outcome.digest:
        return ()
    if outcome.problems:
        return tuple(Announcement(ref, "Warning", "UpdateError", message) for message in outcome.messages)
    return (Announcement(ref, "Normal", "Updated", UPDATED_MESSAGE),)


class Reporter(Protocol):
    """Announces outcomes. ``observe`` and ``forget`` return at once, and may be called before ``run``."""

    def observe(self, found: KubernetesObject, outcome: Outcome) -> None:
        """Take note of the newest outcome of an object; nothing happens if it is the same as before."""

    def forget(self, ref: ObjectRef) -> None:
        """The object is gone, or no longer ours."""

    async def run(self) -> None:
        """Announce until cancelled."""


class Reporters:
    """Several reporters as one."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def observe(self, found: KubernetesObject, outcome: Outcome) -> None:
        """Tell each."""
        for reporter in self._reporters:
            reporter.observe(found, outcome)

    def forget(self, ref: ObjectRef) -> None:
        """Tell each."""
        for reporter in self._reporters:
            reporter.forget(ref)

    async def run(self) -> None:
        """Run all until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reporter in self._reporters:
                group.create_task(reporter.run())
