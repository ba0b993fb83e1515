"""The loop in which everything happens.

In: batches of a source, and refusals of Envoy. Out: xDS resources in the cache, outcomes for the reporter, the state
of the program's readiness. It owns the store, the graph and the encoder; nothing else touches them, so there are no
locks.
"""

import asyncio
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import structlog

from ingress_controller.envoy.encoder import CLUSTER, ENDPOINTS, SCOPE, SECRET, Changes, Encoder
from ingress_controller.envoy.messages import host_of
from ingress_controller.metrics import Metrics
from ingress_controller.model.host import is_wildcard
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch, Change
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, Service
from ingress_controller.report.outcome import Reporter
from ingress_controller.report.status import StatusReporter
from ingress_controller.translate.graph import Graph, Refused, Update
from ingress_controller.translate.shared import KINDS as SHARED_KINDS
from xds import Cache, Refusal

log = structlog.get_logger(__name__)

_Value = TypeVar("_Value")

_LONGEST_REASON = 300

_AT_ONCE = 50
"""Hosts, or upstreams, that are encoded without a pause."""


@dataclass(frozen=True, slots=True)
class StatusSource:
    """The Service whose addresses Ingresses show, and who writes them."""

    service: ObjectRef
    reporter: StatusReporter


class Pipeline:
    """Applies what comes in, one pass for all that has come meanwhile."""

    def __init__(
        self,
        store: Store,
        graph: Graph,
        encoder: Encoder,
        cache: Cache,
        reporter: Reporter,
        metrics: Metrics,
        status: StatusSource | None = None,
    ) -> None:
        self.synced = False
        self.transaction = 0
        self._store = store
        self._graph = graph
        self._encoder = encoder
        self._cache = cache
        self._reporter = reporter
        self._metrics = metrics
        self._status = status
        self._inbox: asyncio.Queue[Batch | Refusal] = asyncio.Queue()
        self._completed = asyncio.Event()
        self._early: list[Change] = []

    def offer(self, item: Batch | Refusal) -> None:
        """Hand in a batch or a refusal; it is taken up on the next pass."""
        self._inbox.put_nowait(item)

    async def run(self) -> None:
        """The loop. Two things can happen, and all that have happened since the last pass are taken together.

        - A source brings a batch: objects changed, or could not be read. Before the first complete state has been seen,
          nothing is served.
        - Envoy refuses a resource: its owner is told. The last good version stays in Envoy.
        """
        while True:
            items = [await self._inbox.get()]
            while not self._inbox.empty():
                items.append(self._inbox.get_nowait())
            await self._take([item for item in items if isinstance(item, Batch)])
            for item in items:
                if isinstance(item, Refusal):
                    self._refuse(item)
                self._inbox.task_done()

    async def idle(self) -> int:
        """Wait until all that was offered has been taken in. Returns the last transaction."""
        await self._inbox.join()
        return self.transaction

    async def complete(self) -> int:
        """Wait until a first complete state is in the cache. Returns the last transaction."""
        await self._completed.wait()
        return self.transaction

    async def _take(self, batches: Iterable[Batch]) -> None:
        changes = self._early
        for batch in batches:
            changes += batch.changes
            for malformed in batch.malformed:
                announced = f"Warning UpdateError {malformed}"
                log.warning(announced)
            self.synced |= batch.synced
        if self.synced and (changes or not self._cache.is_complete):
            self._early = []
            with self._metrics.pass_seconds.time():
                await self._apply(changes)

    async def _apply(self, changes: list[Change]) -> None:
        update = self._graph.apply(changes)
        first = not self._cache.is_complete
        if first or len(update.hosts) + len(update.upstreams) + len(update.endpoints) > _AT_ONCE:
            for piece in pieces(self._encoder, update, self._encoder.start() if first else {}):
                self.transaction = self._cache.update(piece)
                # Streams and probes have their turn: a proxy takes each piece while the next is encoded.
                await asyncio.sleep(0)
        else:
            resources = self._encoder.encode(update.hosts, update.upstreams, update.secrets, update.endpoints)
            self.transaction = self._cache.update(resources)
            # What is served goes out before it is spoken of.
            await asyncio.sleep(0)
        if first:
            self.transaction = self._cache.complete()
            self._completed.set()
        self._report(update, changes, first=first)

    def _refuse(self, refusal: Refusal) -> None:
        self._metrics.refused.labels(refusal.type_url.rpartition(".")[2]).inc()
        log.error("Envoy refused a resource", type=refusal.type_url, name=refusal.name, message=refusal.message)
        kind = _REFUSABLE.get(refusal.type_url)
        if refusal.type_url == SECRET and self._graph.delivers(refusal.name):
            kind = "secret"
        if kind:
            name = host_of(refusal.name) if kind == "host" else refusal.name
            # Envoy may quote the whole resource.
            message = textwrap.shorten(refusal.message, _LONGEST_REASON, placeholder=" ...")
            self._report(self._graph.refuse(kind, name, message), ())

    def _report(self, update: Update, changes: Iterable[Change], *, first: bool = False) -> None:
        seen = {change.ref for change in changes}
        # Rules that mean the same in a new version are accepted in the new version.
        judged = {ref: self._graph.outcome(ref) for ref in seen if ref.kind in SHARED_KINDS} | dict(update.outcomes)
        for ref, outcome in judged.items():
            found = self._store.find(ref)
            if outcome and found:
                self._reporter.observe(found, outcome)
            else:
                self._reporter.forget(ref)
            if ref.kind == Ingress.KIND:
                self._metrics.observe(ref, outcome.problems if outcome else None)
        if self._status:
            self._show_status(self._status, {ref for ref in judged.keys() | seen if ref.kind == Ingress.KIND})
            if self._status.service in seen or first:
                service = self._status.service
                self._status.reporter.publish(self._store.get(Service, service.namespace, service.name))

    def _show_status(self, status: StatusSource, refs: Iterable[ObjectRef]) -> None:
        for ref in refs:
            ingress = self._store.get(Ingress, ref.namespace, ref.name)
            if ingress is None:
                status.reporter.forget(ref)
            elif self._graph.serves(ref):
                status.reporter.observe(ingress)
            else:
                status.reporter.release(ingress)


def pieces(encoder: Encoder, update: Update, start: Changes) -> Iterator[Changes]:
    """An update in pieces, each encoded when its turn comes, that are good to be in force in this order.

    What is referred to comes before what refers to it, and goes after it. Listeners change once, and before hosts, so
    that one that needs a chain of its own is not reached by another's. Exact hosts come before wildcards, which would
    answer for them.

    Args:
        encoder: encodes.
        update: what changed.
        start: resources that listeners need, and listeners where the update changes none.
    """
    present = {name for name, resolved in update.endpoints.items() if resolved}
    for some in _some((*update.upstreams, *(present - update.upstreams.keys()))):
        upstreams = {name: found for name in some if (found := update.upstreams.get(name))}
        yield encoder.encode({}, upstreams, {}, {name: update.endpoints[name] for name in some if name in present})
    yield encoder.encode({}, {}, {name: secret for name, secret in update.secrets.items() if secret}, {})
    chains = encoder.chain(update.hosts)
    yield {url: {**start.get(url, {}), **chains.get(url, {})} for url in start.keys() | chains.keys()}
    for some in _some(sorted(update.hosts, key=_breadth)):
        yield encoder.encode({name: update.hosts[name] for name in some}, {}, {}, {})
    yield encoder.encode({}, _gone(update.upstreams), _gone(update.secrets), _gone(update.endpoints))


def _some(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Names, a few at a time."""
    rest = iter(names)
    while some := tuple(islice(rest, _AT_ONCE)):
        yield some


def _breadth(host: str) -> tuple[bool, int]:
    """Sorts exact hosts first, then wildcards from the narrowest to the one for all."""
    return is_wildcard(host), -len(host.split("."))


def _gone(values: Mapping[str, _Value | None]) -> dict[str, None]:
    return {name: None for name, value in values.items() if value is None}


_REFUSABLE: dict[str, Refused] = {
    SCOPE: "host",
    SECRET: "host",
    CLUSTER: "upstream",
    ENDPOINTS: "upstream",
}
"""Types whose resources belong to somebody: those named after a host, and those named after an upstream. Secrets that
annotations name are told apart from the certificates of hosts by name."""
