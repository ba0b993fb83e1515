"""A cluster as a source: lists and watches the kinds of `ingress_controller.objects.kinds`.

In: a client of the API server. Out: batches. The first holds everything and is marked synced; each later one is what
arrived together on one watch. Nothing comes before every kind has been listed, so that no half-read cluster is
served. When the API server is away nothing comes either: the last state stays. A cluster need not know this project's
own kinds: then there are none, until it does.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from ingress_controller.kubernetes_api import KubernetesApi
from ingress_controller.objects.change import Batch
from ingress_controller.objects.kinds import KINDS, Kind
from ingress_controller.objects.views import IngressClass, Namespace, Service
from ingress_controller.sources.reflector import Reflector

Emit = Callable[[Batch], None]


class Cluster:
    """The objects of a cluster, or of some of its namespaces."""

    def __init__(
        self,
        api: KubernetesApi,
        kinds: Sequence[Kind] = KINDS,
        namespaces: Sequence[str] = (),
        service_namespaces: Sequence[str] = (),
    ) -> None:
        """Choose what to watch.

        Args:
            api: the client; the caller closes it.
            kinds: what to list and watch.
            namespaces: where; everywhere when empty. With namespaces only paths inside them are asked for, so that
                Roles suffice. The Namespaces themselves are then not read, and IngressClasses, which are in no
                namespace, are read if that is allowed.
            service_namespaces: where Services are read besides; such as that of the Service whose addresses Ingresses
                show, which need not be in a namespace that has Ingresses to serve.
        """
        self._api = api
        self._kinds = kinds
        self._namespaces = tuple(dict.fromkeys(namespaces))
        self._service_namespaces = tuple(dict.fromkeys((*namespaces, *service_namespaces)))

    async def run(self, emit: Emit) -> None:
        """Watch until cancelled.

        Args:
            emit: called with each batch, on the event loop; has to return at once.
        """
        reflectors = tuple(self._reflectors())
        joined = _Joined(reflectors, emit)
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run(partial(joined.deliver, reflector)))

    def _reflectors(self) -> Iterable[Reflector]:
        for kind in self._kinds:
            if not self._namespaces:
                yield Reflector(self._api, kind, optional=kind.own)
            elif kind.namespaced:
                namespaces = self._service_namespaces if kind.view is Service else self._namespaces
                yield from (Reflector(self._api, kind, namespace, optional=kind.own) for namespace in namespaces)
            elif kind.view is not Namespace:
                yield Reflector(self._api, kind, optional=kind.own or kind.view is IngressClass)


class _Joined:
    """Holds back what comes until each reflector has delivered its list."""

    def __init__(self, reflectors: Iterable[Reflector], emit: Emit) -> None:
        self._waiting = set(reflectors)
        self._held: list[Batch] = []
        self._emit = emit

    def deliver(self, reflector: Reflector, batch: Batch) -> None:
        """Pass a batch on, or keep it for the first; a reflector's first is its list."""
        if not self._waiting:
            self._emit(batch)
            return
        self._held.append(batch)
        self._waiting.discard(reflector)
        if not self._waiting:
            changes = tuple(chain.from_iterable(batch.changes for batch in self._held))
            malformed = tuple(chain.from_iterable(batch.malformed for batch in self._held))
            self._held.clear()
            self._emit(Batch(changes, malformed, synced=True))
