"""The loop in which everything happens.

In: batches of a source, and refusals of Envoy. Out: xDS resources in the cache, outcomes for the reporter, the state
of the program's readiness. It owns the store, the graph and the encoder; nothing else touches them, so there are no
locks.
"""

import asyncio
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import structlog

from ingress_controller.envoy.encoder import CLUSTER, ENDPOINTS, SCOPE, SECRET, Changes, Encoder
from ingress_controller.envoy.messages import host_of
from ingress_controller.metrics import Metrics
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch, Change
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, Service
from ingress_controller.report.outcome import Reporter
from ingress_controller.report.status import StatusReporter
from ingress_controller.translate.graph import Graph, Refused, Update
from xds import Cache, Refusal

log = structlog.get_logger(__name__)

_LONGEST_REASON = 300

_HOSTS_AT_ONCE = 50


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
        self._applied = asyncio.Event()

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

    async def applied(self) -> int:
        """Wait until a first complete state is in the cache. Returns the last transaction."""
        await self._applied.wait()
        return self.transaction

    async def _take(self, batches: Iterable[Batch]) -> None:
        changes: list[Change] = []
        for batch in batches:
            changes += batch.changes
            for malformed in batch.malformed:
                announced = f"Warning UpdateError {malformed}"
                log.warning(announced)
            if batch.synced and not self.synced:
                self.synced = True
                self._cache.update(self._encoder.start())
        if changes or not self._applied.is_set():
            with self._metrics.pass_seconds.time():
                await self._apply(changes)

    async def _apply(self, changes: list[Change]) -> None:
        update = self._graph.apply(changes)
        self.transaction = self._cache.update(await self._encode(update))
        self._report(update, changes)
        if self.synced:
            self._applied.set()

    async def _encode(self, update: Update) -> Changes:
        """Encode an update as a whole, but let streams and probes have their turn meanwhile."""
        resources = self._encoder.encode({}, update.upstreams, update.secrets, update.endpoints)
        hosts = iter(update.hosts.items())
        while some := dict(islice(hosts, _HOSTS_AT_ONCE)):
            for url, changed in self._encoder.encode(some, {}, {}, {}).items():
                resources[url].update(changed)
            await asyncio.sleep(0)
        return resources

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

    def _report(self, update: Update, changes: Iterable[Change]) -> None:
        for ref, outcome in update.outcomes.items():
            ingress = self._store.get(Ingress, ref.namespace, ref.name)
            if outcome and ingress:
                self._reporter.observe(ingress, outcome)
            else:
                self._reporter.forget(ref)
            self._metrics.observe(ref, outcome.problems if outcome else None)
        if self._status:
            seen = {change.ref for change in changes}
            self._show_status(self._status, update.outcomes.keys() | {ref for ref in seen if ref.kind == Ingress.KIND})
            if self._status.service in seen or not self._applied.is_set():
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


_REFUSABLE: dict[str, Refused] = {
    SCOPE: "host",
    SECRET: "host",
    CLUSTER: "upstream",
    ENDPOINTS: "upstream",
}
"""Types whose resources belong to somebody: those named after a host, and those named after an upstream. Secrets that
annotations name are told apart from the certificates of hosts by name."""
