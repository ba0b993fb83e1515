"""The objects as last seen, indexed by what is asked of them.

In: changes. Out: look-ups by kind and name, by kind, and of a Service's EndpointSlices. It holds one state and
decides nothing.
"""

from collections.abc import Iterable
from typing import TypeVar

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Change
from ingress_controller.objects.views import EndpointSlice, KubernetesObject

_View = TypeVar("_View", bound=KubernetesObject)


class Store:
    """Every object that was seen and is still there."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[ObjectRef, KubernetesObject]] = {}
        self._slices: dict[ObjectRef, dict[ObjectRef, EndpointSlice]] = {}

    def apply(self, change: Change) -> KubernetesObject | None:
        """Take in a change. Returns what was there before."""
        kind = self._objects.setdefault(change.ref.kind, {})
        before = kind.pop(change.ref, None)
        if isinstance(before, EndpointSlice) and before.service:
            self._slices[before.service].pop(before.ref)
        if change.object is not None:
            kind[change.ref] = change.object
        if isinstance(change.object, EndpointSlice) and change.object.service:
            self._slices.setdefault(change.object.service, {})[change.ref] = change.object
        return before

    def get(self, view: type[_View], namespace: str, name: str) -> _View | None:
        """The object of a kind by its name, if it is there."""
        found = self._objects.get(view.KIND, {}).get(ObjectRef(view.KIND, namespace, name))
        return found if isinstance(found, view) else None

    def find(self, ref: ObjectRef) -> KubernetesObject | None:
        """The object of any kind by its reference, if it is there."""
        return self._objects.get(ref.kind, {}).get(ref)

    def all(self, view: type[_View]) -> Iterable[_View]:
        """All objects of a kind, in no particular order."""
        return [found for found in self._objects.get(view.KIND, {}).values() if isinstance(found, view)]

    def slices(self, service: ObjectRef) -> Iterable[EndpointSlice]:
        """The EndpointSlices of a Service, in no particular order."""
        return self._slices.get(service, {}).values()
