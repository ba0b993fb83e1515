"""What sources say: objects came, changed or went.

In: the observations of a source. Out: frozen batches, the only thing that the rest of the program learns
from outside.
"""

from dataclasses import dataclass, field

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.read import Malformed
from ingress_controller.objects.views import KubernetesObject


@dataclass(frozen=True, slots=True)
class Change:
    """The newest state of one object; ``object`` is ``None`` when it is gone."""

    ref: ObjectRef
    object: KubernetesObject | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are to take effect together.

    Attributes:
        changes: in the order they were seen; the last word on an object counts.
        malformed: what could not be read. An object named here is also removed by a change, unless its last good
            state is to stay.
        synced: the first complete state has now been seen. Nothing is served before.
    """

    changes: tuple[Change, ...] = ()
    malformed: tuple[Malformed, ...] = field(default=())
    synced: bool = False
