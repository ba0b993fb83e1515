"""One kind of object, in one namespace or in all: list, then watch, for ever.

In: a path of the API server. Out: batches of what changed. It keeps only names and resource versions of what it has
reported, from which a new list tells what has gone and what is unchanged.

The protocol is that of https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes:
a list by pages, a watch from its resource version, bookmarks that move the version on, and a list again once the
server has forgotten the version (410 Gone).
"""

import random
from collections.abc import Callable, Iterable
from time import monotonic

import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from ingress_controller.kubernetes_api import RETRY_WAIT, UNREACHABLE, ApiError, KubernetesApi, Query
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch
from ingress_controller.objects.kinds import Kind
from ingress_controller.sources.protocol import (
    Event,
    Lines,
    Observation,
    parse_event,
    parse_object,
    parse_page,
    parse_version,
    to_batch,
)

log = structlog.get_logger(__name__)

Deliver = Callable[[Batch], None]

_PAGE_SIZE = 500
_WATCH_SECONDS = (300, 600)  # Spread, so that not all watches of all replicas are renewed at once.
_IDLE_SECONDS = 150  # The server sends a bookmark each minute: longer silence means that the connection is dead.
_GRACE_SECONDS = 30
_STEADY_SECONDS = 5


class InterruptedWatchError(Exception):
    """A watch ended as soon as it began; it is taken up again after a pause."""


class Reflector:
    """Reports the objects of a kind, in one namespace or in all."""

    def __init__(self, api: KubernetesApi, kind: Kind, namespace: str = "", *, optional: bool = False) -> None:
        """Choose what to report.

        Args:
            api: the client.
            kind: the kind.
            namespace: the only namespace to look at; all when empty.
            optional: while the server does not know the kind, or listing is forbidden from the start, go on as if
                there were no objects.
        """
        self._api = api
        self._kind = kind
        self._path = kind.path(namespace)
        self._query: Query = {"fieldSelector": kind.field_selector} if kind.field_selector else {}
        self._optional = optional
        self._decoder = msgspec.json.Decoder(kind.view)
        self._known = dict[ObjectRef, str]()
        self._version = ""  # Empty: a list is due.
        self._delivered = False
        self._without = False
        where = f"namespace {namespace}" if namespace else "the whole cluster"
        self._log = log.bind(resource=kind.plural, api_version=kind.api_version, scope=where)

    async def run(self, deliver: Deliver) -> None:
        """List and watch until cancelled.

        Args:
            deliver: called with what changed. The first call is the first list, even if that is empty; later batches
                are never empty.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((ApiError, InterruptedWatchError, msgspec.DecodeError, *UNREACHABLE)),
            wait=RETRY_WAIT,
            before_sleep=self._log_failure,
        )
        while True:
            await retrying(self._list_and_watch, deliver)

    async def _list_and_watch(self, deliver: Deliver) -> None:
        """One round. To return, not to raise, starts the retry delays anew: it is done once a watch has worked."""
        if not self._version:
            try:
                batch = await self._list()
            except ApiError as error:
                self._go_without(error, deliver)
                raise
            if batch.changes or batch.malformed or not self._delivered:
                deliver(batch)
            self._delivered, self._without = True, False
        began = monotonic()
        try:
            progress = await self._watch(deliver)
        except ApiError as error:
            if error.status in (404, 410):
                self._version = ""
            raise
        if not progress and monotonic() - began < _STEADY_SECONDS:
            raise InterruptedWatchError("the watch ended as soon as it began")

    def _go_without(self, error: ApiError, deliver: Deliver) -> None:
        if not self._optional or self._without:
            return
        if error.status == 404:
            self._log.info("the server does not know this kind; going on as if there were none")
            deliver(to_batch(Observation(ref, "", None) for ref in self._known))
            self._known = {}
        elif error.status == 403 and not self._delivered:
            self._log.warning("missing permission; going on as if there were none", verb="list", error=error.message)
            deliver(Batch())
        else:
            return
        self._delivered = self._without = True

    async def _list(self) -> Batch:
        """Read everything, by pages, and tell how it differs from what is known."""
        found = dict[ObjectRef, str]()
        observations: list[Observation] = []
        query = {**self._query, "limit": _PAGE_SIZE}
        while True:
            page = parse_page(await self._api.request("GET", self._path, query))
            for raw in page.items or ():
                observation = parse_object(self._kind, self._decoder, raw)
                if observation.ref:
                    found[observation.ref] = observation.version
                if observation.ref is None or self._known.get(observation.ref) != observation.version:
                    observations.append(observation)
            if not page.metadata.continue_:
                break
            query["continue"] = page.metadata.continue_
        gone = [Observation(ref, "", None) for ref in self._known.keys() - found.keys()]
        self._known, self._version = found, page.metadata.resource_version
        self._log.info("listed", objects=len(found), changed=len(observations), gone=len(gone))
        return to_batch((*gone, *observations))

    async def _watch(self, deliver: Deliver) -> bool:
        """Follow changes until the connection ends, however it ends. Returns whether an event came."""
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311 (spreads load, protects nothing)
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": seconds,
        }
        lines, progress = Lines(), False
        async with self._api.stream(self._path, query, seconds + _GRACE_SECONDS, _IDLE_SECONDS) as reader:
            try:
                async for chunk in reader.iter_any():
                    if complete := lines.feed(chunk):
                        self._take(complete, deliver)
                        progress = True
            except UNREACHABLE as error:
                if not progress:
                    raise
                self._log.debug("watch interrupted", error=repr(error))
        return progress

    def _take(self, lines: Iterable[bytes], deliver: Deliver) -> None:
        """Deliver the changes of lines that arrived together, as one batch.

        Raises:
            ApiError: one of them said ERROR. What came before it has been delivered.
        """
        observations: list[Observation] = []
        failure: ApiError | None = None
        for event in map(parse_event, lines):
            if failure := event.error:
                break
            if observation := self._observe(event):
                observations.append(observation)
        if observations:
            deliver(to_batch(observations))
        if failure:
            raise failure

    def _observe(self, event: Event) -> Observation | None:
        """Move on by an event. Returns what is new, if anything is."""
        if event.type == "BOOKMARK":
            self._version = parse_version(event.object) or self._version
            return None
        seen = parse_object(self._kind, self._decoder, event.object)
        self._version = seen.version or self._version
        if event.type == "DELETED" and seen.ref:
            known = self._known.pop(seen.ref, None)
            return Observation(seen.ref, seen.version, None) if known is not None else None
        if seen.ref:
            if self._known.get(seen.ref) == seen.version:
                return None
            self._known[seen.ref] = seen.version
        return seen

    def _log_failure(self, state: RetryCallState) -> None:
        """Say what failed, and how long until it is tried again."""
        error = state.outcome.exception() if state.outcome else None
        seconds = round(state.next_action.sleep, 1) if state.next_action else 0.0
        verb = "watch" if self._version else "list"
        if isinstance(error, ApiError) and error.status in (403, 404) and self._without:
            self._log.debug("still without", verb=verb, error=error.message, retry_seconds=seconds)
        elif isinstance(error, ApiError) and error.status in (401, 403):
            missing = "not authenticated" if error.status == 401 else "missing permission"
            self._log.warning(missing, verb=verb, error=error.message, retry_seconds=seconds)
        elif isinstance(error, ApiError) and error.status == 410:
            self._log.info("the server has forgotten the version; listing again", retry_seconds=seconds)
        elif isinstance(error, ApiError) and error.status == 404 and self._optional:
            self._log.info("the server no longer knows this kind; listing again", retry_seconds=seconds)
        else:
            self._log.warning("request failed", verb=verb, error=str(error) or repr(error), retry_seconds=seconds)
