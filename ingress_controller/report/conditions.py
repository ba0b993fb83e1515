"""Says on Policies and IngressClassParameters whether they are accepted.

In: these objects, and what became of them. Out: PATCH requests of their status subresource with the condition
``Accepted``, where it is not what the object shows. Its message is that of the Event. Nothing is written while
nothing changes, nor after a restart: the object itself says what was written last.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from ingress_controller.kubernetes_api import ApiError, KubernetesApi
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.kinds import BY_VIEW
from ingress_controller.objects.views import (
    Condition,
    IngressClassParameters,
    KubernetesObject,
    Shareable,
    SharedPolicy,
)
from ingress_controller.report.work import CONCURRENCY, WorkQueue, write

log = structlog.get_logger(__name__)

ACCEPTED: Final = "Accepted"

_MESSAGE_CHARACTERS: Final = 32768


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ConditionReporter:
    """A `Reporter` that writes conditions, and only those of this project's own kinds."""

    def __init__(
        self, api: KubernetesApi, now: Callable[[], datetime] = _utc_now, concurrency: int = CONCURRENCY
    ) -> None:
        """Choose where to write.

        Args:
            api: the client; the caller closes it.
            now: the clock, with time zone.
            concurrency: how many objects are written at a time.
        """
        self._api = api
        self._now = now
        self._newest: dict[ObjectRef, tuple[Shareable, Condition]] = {}
        self._work = WorkQueue(self._write, concurrency)

    def observe(self, found: KubernetesObject, outcome: Outcome) -> None:
        """Take note of the newest outcome of an object; nothing happens if that is what it shows."""
        if not isinstance(found, SharedPolicy | IngressClassParameters):
            return
        wanted = to_condition(outcome, found.metadata.generation)
        self._newest[found.ref] = found, wanted
        if not _is_shown(found, wanted):
            self._work.mark(found.ref)

    def forget(self, ref: ObjectRef) -> None:
        """The object is gone."""
        self._newest.pop(ref, None)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._work.run()

    async def _write(self, ref: ObjectRef) -> None:
        found, wanted = self._newest.get(ref, (None, None))
        if found is None or wanted is None or _is_shown(found, wanted):
            return
        path = f"{BY_VIEW[type(found)].path(ref.namespace)}/{ref.name}/status"
        try:
            await write(self._api, "PATCH", path, to_patch(found, wanted, self._now()))
        except ApiError as error:
            if error.status != 404:
                log.warning("cannot write status", object=str(ref), verb="patch", error=error.message)
            if error.transient:
                self._work.mark(ref)


def to_condition(outcome: Outcome, generation: int) -> Condition:
    """What an object is to show; the time is not set yet."""
    if not outcome.problems:
        return Condition(ACCEPTED, "True", ACCEPTED, "the rules can be used", generation)
    reason = outcome.problems[0].reason.title().replace("-", "")
    return Condition(ACCEPTED, "False", reason, "; ".join(outcome.messages)[:_MESSAGE_CHARACTERS], generation)


def to_patch(found: Shareable, wanted: Condition, now: datetime) -> Mapping[str, Any]:
    """A merge patch that sets the condition and keeps all others. Its time is that of the last change of status."""
    others = [condition for condition in found.status.conditions or () if condition.type != wanted.type]
    before = _shown(found)
    time = before.last_transition_time if before and before.status == wanted.status else None
    made = msgspec.structs.replace(wanted, last_transition_time=time or now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return {"status": {"conditions": [msgspec.to_builtins(condition) for condition in (*others, made)]}}


def _shown(found: Shareable) -> Condition | None:
    return next((one for one in found.status.conditions or () if one.type == ACCEPTED), None)


def _is_shown(found: Shareable, wanted: Condition) -> bool:
    shown = _shown(found)
    return shown is not None and msgspec.structs.replace(shown, last_transition_time=None) == wanted
