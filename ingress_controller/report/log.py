"""Announcements as lines of the log: where there is no cluster to write Events to.

In: outcomes. Out: ``Warning UpdateError Ingress app/web: upsert routes: ...``, at level warning or info.
"""

import asyncio

import structlog

from ingress_controller.model.outcome import Outcome
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.views import KubernetesObject
from ingress_controller.report.outcome import transitions

log = structlog.get_logger(__name__)


class LogReporter:
    """A `Reporter` that writes to the log."""

    def __init__(self) -> None:
        self._announced: dict[ObjectRef, str] = {}

    def observe(self, found: KubernetesObject, outcome: Outcome) -> None:
        """Log what is new about an object."""
        for announcement in transitions(found.ref, self._announced.get(found.ref), outcome):
            say = log.warning if announcement.type == "Warning" else log.info
            say(str(announcement))
        self._announced[found.ref] = outcome.digest

    def forget(self, ref: ObjectRef) -> None:
        """Drop what is known of an object."""
        self._announced.pop(ref, None)

    async def run(self) -> None:
        """Wait until cancelled: lines are written at once."""
        await asyncio.Event().wait()
