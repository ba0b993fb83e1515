"""Make before break: what waits for what, and that nothing waits for ever."""

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

import xds
from tests.xds.driver import CLUSTER, ENDPOINTS, ROUTES, SCOPE, TYPES, Driver, make_resources, names

ALL = (CLUSTER, ENDPOINTS, ROUTES, SCOPE)


@pytest.fixture
def proxy() -> Driver:
    """Give a proxy that has asked for everything and that nothing exists for."""
    proxy = Driver(*TYPES)
    for type_url in ALL:
        proxy.settle(*proxy.ask(type_url))
    return proxy


def types(*responses: DeltaDiscoveryResponse) -> list[str]:
    return [response.type_url for response in responses]


def test_additions_go_up_one_acceptance_after_the_other(proxy: Driver) -> None:
    proxy.cache.update({url: make_resources("x") for url in (SCOPE, ROUTES, CLUSTER)})
    [cluster] = proxy.responses()
    [routes] = proxy.accept(cluster)
    [scope] = proxy.accept(routes)
    assert types(cluster, routes, scope) == [CLUSTER, ROUTES, SCOPE]
    assert not proxy.accept(scope)


def test_removals_go_down_after_the_additions(proxy: Driver) -> None:
    proxy.cache.update({url: make_resources("old") for url in (SCOPE, ROUTES, CLUSTER)})
    proxy.settle()
    proxy.cache.update({url: make_resources("new") | {"old": None} for url in (SCOPE, ROUTES, CLUSTER)})
    seen = proxy.settle()
    assert [(response.type_url, names(response), response.removed_resources) for response in seen] == [
        (CLUSTER, ["new"], []),
        (ROUTES, ["new"], []),
        (SCOPE, ["new"], []),
        (SCOPE, [], ["old"]),
        (ROUTES, [], ["old"]),
        (CLUSTER, [], ["old"]),
    ]


def test_removal_waits_for_the_change_of_who_used_it(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("c"), SCOPE: make_resources("s")})
    proxy.settle()
    proxy.cache.update({CLUSTER: {"c": None}, SCOPE: make_resources("s", content="without c")})
    [scope] = proxy.responses()
    assert scope.type_url == SCOPE
    [cluster] = proxy.accept(scope)
    assert cluster.removed_resources == ["c"]


def test_removal_waits_for_who_used_it_and_changed_again_before_that_was_sent(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("old"), SCOPE: make_resources("s")})
    proxy.settle()
    new = make_resources("new")
    proxy.cache.update({CLUSTER: {**new, "old": None}, SCOPE: make_resources("s", content="of new")})
    [cluster] = proxy.responses()
    proxy.stream.receive(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=cluster.nonce))
    proxy.cache.update({SCOPE: {"s": None}})
    [scope] = proxy.responses()
    assert scope.removed_resources == ["s"]
    [cluster] = proxy.accept(scope)
    assert cluster.removed_resources == ["old"]


def test_removal_waits_for_who_used_it_and_changed_again_after_a_refusal(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("old"), SCOPE: make_resources("s", "t")})
    proxy.settle()
    proxy.cache.update({CLUSTER: {"old": None}, SCOPE: make_resources("s", "t", content="without old")})
    [scopes] = proxy.responses()
    proxy.refuse(scopes)
    proxy.cache.update({SCOPE: {"s": None, "t": None}})
    [scopes] = proxy.responses()
    assert scopes.removed_resources == ["s", "t"]
    [cluster] = proxy.accept(scopes)
    assert cluster.removed_resources == ["old"]


def test_type_that_was_never_asked_for_holds_up_nothing() -> None:
    proxy = Driver(*TYPES)
    proxy.cache.update({url: make_resources("x") for url in ALL})
    [scope] = proxy.ask(SCOPE)
    assert names(scope) == ["x"]


def test_refused_resource_holds_up_nothing(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("bad"), SCOPE: make_resources("s")})
    [cluster] = proxy.responses()
    proxy.refuse(cluster)
    [scope] = proxy.responses()
    assert names(scope) == ["s"]


def test_what_a_new_resource_asks_for_is_sent_before_the_next_rank_though_accepted_early() -> None:
    proxy = Driver(*TYPES)
    proxy.settle(*proxy.ask(CLUSTER), *proxy.ask(SCOPE))
    proxy.cache.update({url: make_resources("x") for url in (CLUSTER, ENDPOINTS, SCOPE)})
    [cluster] = proxy.responses()
    [endpoints] = proxy.ask(ENDPOINTS, "x")
    assert not proxy.accept(cluster), "the scope must wait for the endpoints too"
    [scope] = proxy.accept(endpoints)
    assert types(endpoints, scope) == [ENDPOINTS, SCOPE]


def test_eager_type_does_not_wait_for_the_acceptance_of_what_asks_for_it(proxy: Driver) -> None:
    proxy.cache.update({url: make_resources("x") for url in ALL})
    assert types(*proxy.responses()) == [CLUSTER, ENDPOINTS]


def test_constant_change_below_does_not_starve_what_is_above(proxy: Driver) -> None:
    proxy.cache.update({ENDPOINTS: make_resources("e", content="0")})
    [endpoints] = proxy.responses()
    proxy.cache.update({SCOPE: make_resources("s")})
    sent = []
    for content in "123":
        proxy.cache.update({ENDPOINTS: make_resources("e", content=content)})
        sent += types(*(responses := proxy.accept(endpoints)))
        endpoints = responses[0]
    assert SCOPE in sent


def test_requests_for_unknown_names_do_not_starve_what_is_above() -> None:
    proxy = Driver(*TYPES)
    proxy.settle(*proxy.ask(SCOPE), *proxy.ask(ENDPOINTS, "0"))
    [absent] = proxy.ask(ENDPOINTS, "1")
    proxy.cache.update({SCOPE: make_resources("s")})
    assert not proxy.ask(ENDPOINTS, "2")
    assert types(*proxy.accept(absent)) == [ENDPOINTS, SCOPE]


def test_changed_resource_has_what_it_refers_to_sent_again(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("x", "y"), ENDPOINTS: make_resources("x", "y")})
    proxy.settle()
    cluster, endpoints = proxy.update(CLUSTER, make_resources("x", content="2"))
    assert (names(cluster), names(endpoints)) == (["x"], ["x"])
    assert len(proxy.settle(cluster, endpoints)) == 2


def test_new_resource_has_nothing_sent_again(proxy: Driver) -> None:
    proxy.settle(*proxy.update(ENDPOINTS, make_resources("x")))
    assert types(*proxy.settle(*proxy.update(CLUSTER, make_resources("x")))) == [CLUSTER]


def test_endpoints_on_their_way_before_the_cluster_changed_are_sent_after_it_again(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("x"), ENDPOINTS: make_resources("x")})
    proxy.settle()
    [early] = proxy.update(ENDPOINTS, make_resources("x", content="2"))
    [cluster] = proxy.update(CLUSTER, make_resources("x", content="2"))
    [late] = proxy.accept(early)
    assert (types(early, cluster, late), names(late)) == ([ENDPOINTS, CLUSTER, ENDPOINTS], ["x"])


def test_who_comes_back_is_sent_the_endpoints_of_a_changed_cluster_again() -> None:
    proxy = Driver(*TYPES)
    proxy.cache.update({CLUSTER: make_resources("x"), ENDPOINTS: make_resources("x")})
    version = proxy.cache.resources(ENDPOINTS)["x"].version
    [cluster] = proxy.ask(CLUSTER, versions={"x": "old"})
    [endpoints] = proxy.ask(ENDPOINTS, "x", versions={"x": version})
    assert (names(cluster), names(endpoints)) == (["x"], ["x"])


def test_who_says_what_it_needs_waits_for_nothing_else(proxy: Driver) -> None:
    slow, new = make_resources("slow", "new").values()
    proxy.cache.update({CLUSTER: {"slow": slow}})
    [stuck] = proxy.responses()
    free, bound = (
        xds.Resource(name, (name.encode(),), needs=(needed,)) for name, needed in (("f", "old"), ("b", "new"))
    )
    [scopes] = proxy.update(SCOPE, {"f": free} | make_resources("untold"))
    assert names(scopes) == ["f"]
    proxy.cache.update({CLUSTER: {"new": new}, SCOPE: {"b": bound}})
    assert not proxy.accept(scopes), "its cluster waits for the answer to the one before"
    [clusters, scopes] = proxy.accept(stuck)
    assert (names(clusters), names(scopes)) == (["new"], ["untold"])
    proxy.stream.receive(DeltaDiscoveryRequest(type_url=SCOPE, response_nonce=scopes.nonce))
    [scopes] = proxy.accept(clusters)
    assert names(scopes) == ["b"]


def test_who_needs_what_is_refused_does_not_wait_for_ever(proxy: Driver) -> None:
    proxy.cache.update({CLUSTER: make_resources("bad", "good"), SCOPE: {"s": xds.Resource("s", (b"s",), ("bad",))}})
    [clusters] = proxy.responses()
    proxy.refuse(clusters)
    [half] = proxy.responses()
    proxy.refuse(half)
    assert types(*proxy.settle()) == [CLUSTER, SCOPE]
