"""The state machine of one delta ADS stream, without any transport.

In: requests, and the names that changed in the cache. Out: responses, and the resources that were refused.
Protocol: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol, "Incremental xDS".

Order (make before break): an addition waits until the additions of lower rank that were unfinished when it was made
are accepted or refused, of some types only for those that it needs (`ResourceType.named`); a removal waits for all
such additions, and for such removals of higher rank. A proxy asks for
what a new resource refers to (the endpoints of a new cluster) before it accepts that resource; such a request counts
as old as what it came from, so that the next rank waits for it too.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby

from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

from xds import wire
from xds.cache import Cache, Changed
from xds.lane import NEVER, UNLIMITED, Lane, Limit, Moment, Wait
from xds.resource import Refusal, ResourceType
from xds.subscription import ABSENT, UNSURE, WILDCARD, Draft, Subscription


class ProtocolError(Exception):
    """A request that this server cannot take; the stream ends."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response.

    Attributes:
        type_url: the type of its resources.
        nonce: what its answer will repeat.
        resources: how many resources it carries.
        removed: how many names it removes.
        body: the encoded `DeltaDiscoveryResponse`.
    """

    type_url: str
    nonce: str
    resources: int
    removed: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a proxy is with one type.

    Attributes:
        names: how many names the proxy asks for by name.
        accepted: resources that the proxy has.
        pending: names that wait to be sent or answered.
        refused: resources of which the proxy refuses the newest content.
    """

    names: int
    accepted: int
    pending: int
    refused: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request had to say about a response.

    Attributes:
        type_url: the type of the response.
        accepted: False for a refusal.
        refusal: the bad resource, when it was alone in the response.
    """

    type_url: str
    accepted: bool
    refusal: Refusal | None = None


class Stream:
    """What one proxy was told and has answered, for all types.

    Attributes:
        node: id of the proxy, from its first request; None before.
    """

    def __init__(self, cache: Cache, types: Sequence[ResourceType], attempt: int = 1) -> None:
        """Start with nothing subscribed.

        Args:
            cache: where resources are read from when they are sent.
            types: the types that have a rank. Others are served last.
            attempt: where the numbers given to `ResourceType.retry` begin; different for each stream of a proxy.
        """
        self.node: str | None = None
        self._cache = cache
        self._types = {type_.url: type_ for type_ in types}
        self._last_rank = max((type_.order for type_ in types), default=0) + 1
        self._attempt = attempt
        self._is_complete = cache.is_complete
        self._subscriptions: dict[str, Subscription] = {}
        self._resumed = False
        self._step = 0
        self._nonce = 1

    def receive(self, request: DeltaDiscoveryRequest) -> Answer | None:
        """Take one request: an answer, a change of subscription, or both.

        Returns:
            What it says about a response; None when it answers none, or one answered before.

        Raises:
            ProtocolError: the request has no type, or asks for what this server does not do.
        """
        if not request.type_url:
            raise ProtocolError("type_url is empty; on an aggregated stream each request names its type")
        if request.resource_locators_subscribe or request.resource_locators_unsubscribe:
            raise ProtocolError(f"{request.type_url}: resource locators are not supported, only resource names")
        if self.node is None:
            self.node = request.node.id if request.node else ""
        self._step += 1
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            self._open(request)
            return None
        answer = self._answer(subscription, request)
        wait = self._wait(subscription.type.order)
        subscription.unsubscribe(request.resource_names_unsubscribe, wait)
        subscription.subscribe(request.resource_names_subscribe, wait)
        return answer

    def _open(self, request: DeltaDiscoveryRequest) -> None:
        type_ = self._types.get(request.type_url) or ResourceType(request.type_url, self._last_rank)
        subscription = Subscription(type_, self._cache, self._attempt)
        wait = self._wait(type_.order)
        names = request.resource_names_subscribe or ([] if request.resource_names_unsubscribe else [WILDCARD])
        subscription.open(names, request.initial_resource_versions, wait)
        for each in self._subscriptions.values():
            if each.type.refreshes == type_.url:
                subscription.refresh(each.unanswered, wait)
        subscriptions = [*self._subscriptions.values(), subscription]
        self._subscriptions = {each.type.url: each for each in sorted(subscriptions, key=lambda each: each.type.order)}
        self._resumed |= bool(request.initial_resource_versions)
        for each in subscriptions:
            each.resumed = self._resumed

    def _answer(self, subscription: Subscription, request: DeltaDiscoveryRequest) -> Answer | None:
        nonce = request.response_nonce
        if not subscription.awaits(nonce):
            return None
        if request.error_detail is None:
            subscription.accept(nonce)
            return Answer(request.type_url, accepted=True)
        bad = subscription.refuse(nonce)
        if bad is None:
            return Answer(request.type_url, accepted=False)
        refusal = Refusal(request.type_url, *bad, request.error_detail.message, self.node or "")
        return Answer(request.type_url, accepted=False, refusal=refusal)

    def stop_waiting(self, type_url: str, nonce: str) -> None:
        """Note that a response has gone unanswered for too long for others to wait; its answer still counts."""
        self._subscriptions[type_url].stop_waiting(nonce)

    def change(self, changed: Changed) -> None:
        """Note names that changed in the cache, within the transaction that changed them."""
        for type_url, subscription in self._subscriptions.items():
            if names := changed.get(type_url):
                subscription.change(names, self._wait(subscription.type.order))
        if self._cache.is_complete and not self._is_complete:
            self._is_complete = True
            for subscription in self._subscriptions.values():
                subscription.complete(self._wait(subscription.type.order))

    def _wait(self, order: int) -> Wait:
        now = Moment(self._cache.transaction, self._step)
        lower = (each.additions.floor for each in self._subscriptions.values() if each.type.order < order)
        return Wait(min((now, *lower)), now)

    def responses(self) -> list[Response]:
        """Make all responses that can be sent now: at most one of each type, and none whose last one is waited for."""
        ranks = [tuple(rank) for _, rank in groupby(self._subscriptions.values(), lambda each: each.type.order)]
        made = []
        floor = NEVER
        for rank in ranks:
            made += [self._response(each, each.additions, self._limit(each.type)) for each in rank]
            floor = min(floor, *(each.additions.floor for each in rank))
        for rank in reversed(ranks):
            made += [self._response(each, each.removals, Limit(floor, floor)) for each in rank]
            floor = min(floor, *(each.removals.floor for each in rank))
        return [response for response in made if response]

    def _limit(self, type_: ResourceType) -> Limit:
        """What an addition of a type waits for."""
        if type_.eager:
            return UNLIMITED
        lower = [each for each in self._subscriptions.values() if each.type.order < type_.order]
        common = min((each.additions.floor for each in lower if each.type.url not in type_.named), default=NEVER)
        named = tuple(each.additions for each in lower if each.type.url in type_.named)
        return Limit(common, min((common, *(lane.floor for lane in named))), named)

    def _response(self, subscription: Subscription, lane: Lane, limit: Limit) -> Response | None:
        type_url, nonce = subscription.type.url, str(self._nonce)
        draft = subscription.draft(lane, limit, nonce)
        if draft is None:
            return None
        self._nonce += 1
        self._refresh(subscription, draft)
        removed = [name for name, version in draft.versions.items() if version == ABSENT]
        body = wire.response(type_url, nonce, str(self._cache.transaction), draft.chunks, removed)
        return Response(type_url, nonce, len(draft.versions) - len(removed), len(removed), body)

    def _refresh(self, subscription: Subscription, draft: Draft) -> None:
        refreshed = self._subscriptions.get(subscription.type.refreshes or "")
        if refreshed is not None:
            changed = [
                name for name, version in draft.versions.items() if version != ABSENT and name in subscription.known
            ]
            refreshed.refresh(changed, self._wait(refreshed.type.order))

    @property
    def subscribed(self) -> AbstractSet[str]:
        """The types that the proxy has asked for."""
        return self._subscriptions.keys()

    @property
    def settled(self) -> int:
        """The newest transaction of which everything this proxy wants is accepted or refused; 0 of a partial cache."""
        if not self._cache.is_complete:
            return 0
        floor = min((each.floor for each in self._subscriptions.values()), default=NEVER)
        return min(self._cache.transaction, floor.transaction - 1)

    def progress(self) -> Mapping[str, Progress]:
        """Give how far the proxy is with each type it has asked for."""
        return {
            type_url: Progress(
                names=len(each.names),
                accepted=sum(version != UNSURE for version in each.known.values()),
                pending=each.pending,
                refused=len(each.refused),
            )
            for type_url, each in self._subscriptions.items()
        }
