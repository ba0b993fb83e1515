"""Random lives of a stream: at rest the proxy uses exactly what the cache has and the proxy asked for, if it is good.

For a proxy that takes everything: at no time does it use a resource without the one that it refers to. And for one that
comes back to a server that is still filling its cache: until that is complete, it loses nothing.
"""

from collections import deque
from collections.abc import Mapping

from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import xds
from tests.xds.driver import CLUSTER, ENDPOINTS, ROUTES, SCOPE, TYPES
from tests.xds.model_client import BAD, ModelClient

STEPS = settings(max_examples=60, stateful_step_count=40, deadline=None)
type_urls = st.sampled_from([CLUSTER, ENDPOINTS, ROUTES, SCOPE])
names = st.sampled_from("abcdef")
name_sets = st.lists(names, min_size=1, max_size=4, unique=True)


class Wire(RuleBasedStateMachine):
    """A server and a client with a queue in each direction; the rules say which end acts next."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = xds.Cache()
        self.client = ModelClient(records_refused=[SCOPE])
        self.kept: dict[str, set[str]] = {}
        self.connections = 0
        self.connect()

    def connect(self) -> None:
        self.connections += 1
        self.stream = xds.Stream(self.cache, TYPES, attempt=self.connections * 1000)
        self.cache.watch(self.stream.change)
        self.up: deque[DeltaDiscoveryRequest] = deque()
        self.down: deque[DeltaDiscoveryResponse] = deque()

    @precondition(lambda self: self.up)
    @rule()
    def server_reads(self) -> None:
        self.stream.receive(self.up.popleft())

    @rule()
    def server_writes(self) -> None:
        self.down += [DeltaDiscoveryResponse.parse(response.body) for response in self.stream.responses()]

    @precondition(lambda self: self.down)
    @rule()
    def client_reads(self) -> None:
        self.up.append(self.client.receive(self.down.popleft()))

    def rest(self) -> None:
        while True:
            self.server_writes()
            if not (self.up or self.down):
                return
            while self.down:
                self.client_reads()
            while self.up:
                self.server_reads()


class AnyLife(Wire):
    """Everything that can happen, in any order."""

    @rule(type_url=type_urls, changed=st.dictionaries(names, st.sampled_from([b"1", b"2", BAD, None]), max_size=6))
    def change(self, type_url: str, changed: Mapping[str, bytes | None]) -> None:
        resources = {
            name: None if content is None else xds.Resource(name, (content,)) for name, content in changed.items()
        }
        self.cache.update({type_url: resources})

    @rule(type_url=type_urls, asked=st.just(["*"]) | name_sets)
    def subscribe(self, type_url: str, asked: list[str]) -> None:
        self.up.append(self.client.subscribe(type_url, asked))

    @rule(type_url=type_urls)
    def subscribe_to_everything_at_first(self, type_url: str) -> None:
        if type_url not in self.client.types:
            self.up.append(self.client.subscribe(type_url, []))

    @rule(type_url=type_urls, asked=st.just(["*"]) | name_sets)
    def unsubscribe(self, type_url: str, asked: list[str]) -> None:
        if type_url in self.client.types:
            self.up.append(self.client.unsubscribe(type_url, asked))

    @precondition(lambda self: self.down)
    @rule()
    def lose_patience(self) -> None:
        self.stream.stop_waiting(self.down[0].type_url, self.down[0].nonce)

    @rule()
    def reconnect(self) -> None:
        self.cache.unwatch(self.stream.change)
        self.connect()
        self.up += self.client.resume()

    @rule()
    def restart_server(self) -> None:
        self.cache = xds.Cache(complete=False)
        self.connect()
        self.up += self.client.resume()
        self.kept = {type_url: set(holding.in_force) for type_url, holding in self.client.types.items()}

    @precondition(lambda self: not self.cache.is_complete)
    @rule()
    def complete(self) -> None:
        self.cache.complete()

    @invariant()
    def nothing_is_lost_to_a_partial_cache(self) -> None:
        if not self.cache.is_complete:
            for type_url, names in self.kept.items():
                holding = self.client.types[type_url]
                names -= {name for name in names if not holding.wants(name)}
                assert names <= holding.in_force.keys()

    @rule()
    def settle(self) -> None:
        self.rest()
        self.cache.complete()
        self.rest()
        assert self.stream.settled == self.cache.transaction
        for type_url, holding in self.client.types.items():
            current = {
                name: b"".join(resource.parts)
                for name, resource in self.cache.resources(type_url).items()
                if holding.wants(name)
            }
            used = {name: content.partition(b"#")[0] for name, content in holding.in_force.items()}
            good = {name for name, content in current.items() if content != BAD}
            assert {name: used.get(name) for name in good} == {name: current[name] for name in good}
            assert used.keys() <= current.keys()

    def teardown(self) -> None:
        self.settle()


class Reference(Wire):
    """Scopes that refer to clusters; every transaction is consistent in itself."""

    @initialize()
    def ask(self) -> None:
        for type_url in (CLUSTER, SCOPE):
            self.up.append(self.client.subscribe(type_url, []))

    @rule(
        refers=st.dictionaries(names, st.none() | names, max_size=4), content=st.sampled_from("12"), told=st.booleans()
    )
    def change(self, refers: Mapping[str, str | None], content: str, *, told: bool) -> None:
        scopes = self.cache.resources(SCOPE)
        after = {name: scope.parts[0].decode() for name, scope in scopes.items()} | dict(refers)
        needed = {cluster for cluster in after.values() if cluster}
        clusters: dict[str, xds.Resource | None] = dict.fromkeys(self.cache.resources(CLUSTER))
        clusters |= {name: xds.Resource(name, (content.encode(),)) for name in needed}
        changed = {
            name: xds.Resource(name, (to.encode(),), needs=(to,) if told else None) if to else None
            for name, to in refers.items()
        }
        self.cache.update({SCOPE: changed, CLUSTER: clusters})

    @invariant()
    def nothing_refers_to_what_is_not_there(self) -> None:
        if SCOPE in self.client.types:
            needed = {content.decode() for content in self.client.types[SCOPE].in_force.values()}
            assert needed <= self.client.types[CLUSTER].in_force.keys()

    def teardown(self) -> None:
        self.rest()
        for type_url, holding in self.client.types.items():
            current = {name: resource.parts[0] for name, resource in self.cache.resources(type_url).items()}
            assert holding.in_force == current


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = STEPS
TestReference = Reference.TestCase
TestReference.settings = STEPS
