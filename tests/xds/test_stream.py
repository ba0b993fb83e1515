"""The corners of the delta protocol, one stream at a time, without transport."""

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, ResourceLocator

import xds
from tests.xds.driver import CLUSTER, ROUTES, SCOPE, TYPES, Driver, make_resources, names


@pytest.fixture
def proxy() -> Driver:
    return Driver(*TYPES)


# Subscription


def test_wildcard_gets_everything_and_then_changes(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b"))
    [first] = proxy.ask(SCOPE)
    assert names(first) == ["a", "b"]
    assert first.resources[0].version == proxy.cache.resources(SCOPE)["a"].version
    assert not proxy.accept(first)
    [second] = proxy.update(SCOPE, make_resources("b", content="2"))
    assert names(second) == ["b"]


def test_wildcard_of_nothing_is_answered(proxy: Driver) -> None:
    [response] = proxy.ask(SCOPE)
    assert not response.resources
    assert not response.removed_resources
    assert not proxy.accept(response)


def test_star_is_the_wildcard(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b"))
    [response] = proxy.ask(SCOPE, "*")
    assert names(response) == ["a", "b"]


def test_only_subscribed_names_are_sent(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b", "c"))
    [first] = proxy.ask(SCOPE, "a")
    assert names(first) == ["a"]
    proxy.accept(first)
    [second] = proxy.ask(SCOPE, "b")
    assert names(second) == ["b"]
    proxy.accept(second)
    assert not proxy.update(SCOPE, make_resources("c", content="2"))
    assert not proxy.ask(SCOPE, unsubscribe=["a"])
    assert not proxy.update(SCOPE, make_resources("a", content="2") | {"c": None})
    assert not proxy.update(SCOPE, {"a": None})


def test_unknown_name_is_answered_as_removed_and_sent_when_it_appears(proxy: Driver) -> None:
    [absent] = proxy.ask(SCOPE, "a")
    assert absent.removed_resources == ["a"]
    proxy.accept(absent)
    [response] = proxy.update(SCOPE, make_resources("a"))
    assert names(response) == ["a"]


def test_name_that_appears_before_its_absence_is_accepted(proxy: Driver) -> None:
    [absent] = proxy.ask(SCOPE, "a")
    assert not proxy.update(SCOPE, make_resources("a"))
    [response] = proxy.accept(absent)
    assert names(response) == ["a"]


def test_subscribing_again_sends_again(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [response] = proxy.ask(SCOPE, "a")
    proxy.accept(response)
    [again] = proxy.ask(SCOPE, "a")
    assert names(again) == ["a"]


def test_subscribing_again_while_it_is_sent_sends_again(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [response] = proxy.ask(SCOPE, "a")
    assert not proxy.ask(SCOPE, unsubscribe=["a"])
    assert not proxy.ask(SCOPE, "a")
    [again] = proxy.accept(response)
    assert names(again) == ["a"]


def test_subscribing_again_to_what_is_gone_is_answered(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [response] = proxy.ask(SCOPE, "a")
    proxy.accept(response)
    proxy.ask(SCOPE, unsubscribe=["a"])
    assert not proxy.update(SCOPE, {"a": None})
    [absent] = proxy.ask(SCOPE, "a")
    assert absent.removed_resources == ["a"]


def test_name_under_the_wildcard_is_answered_when_unsubscribed(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [first] = proxy.ask(SCOPE, "*", "a", "gone")
    assert (names(first), first.removed_resources) == (["a"], ["gone"])
    proxy.accept(first)
    [second] = proxy.ask(SCOPE, unsubscribe=["a", "gone"])
    assert (names(second), second.removed_resources) == (["a"], ["gone"])


def test_wildcard_can_be_added_and_dropped(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b"))
    [first] = proxy.ask(SCOPE, "a")
    proxy.accept(first)
    [second] = proxy.ask(SCOPE, "*")
    assert names(second) == ["b"]
    proxy.accept(second)
    assert not proxy.ask(SCOPE, unsubscribe=["*"])
    assert not proxy.update(SCOPE, make_resources("b", content="2"))
    [third] = proxy.update(SCOPE, make_resources("a", content="2"))
    assert names(third) == ["a"]


def test_name_unsubscribed_under_the_wildcard_and_then_removed_is_told(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [first] = proxy.ask(SCOPE, "*", "a")
    proxy.accept(first)
    [slow] = proxy.update(SCOPE, make_resources("b"))
    assert not proxy.ask(SCOPE, unsubscribe=["a"])
    proxy.cache.update({SCOPE: {"a": None}})
    [removed] = proxy.accept(slow)
    assert removed.removed_resources == ["a"]


def test_wildcard_dropped_and_taken_again_while_a_response_is_on_its_way(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [response] = proxy.ask(SCOPE)
    proxy.cache.update({SCOPE: {"a": None}})
    proxy.ask(SCOPE, unsubscribe=["*"])
    assert not proxy.ask(SCOPE, "*")
    [removed] = proxy.accept(response)
    assert removed.removed_resources == ["a"]


def test_removal_is_told_only_to_who_has_it(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [first] = proxy.ask(SCOPE)
    assert not proxy.update(SCOPE, make_resources("b"))
    assert not proxy.update(SCOPE, {"a": None, "b": None})
    [second] = proxy.accept(first)
    assert (names(second), second.removed_resources) == ([], ["a"])


def test_type_that_nobody_ranked_is_served(proxy: Driver) -> None:
    [absent] = proxy.ask("type.googleapis.com/other", "x")
    assert absent.removed_resources == ["x"]


# Resumption


def test_only_what_differs_is_sent_to_who_comes_back(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("same", "retried", "changed", "new"))
    known = {name: resource.version for name, resource in proxy.cache.resources(SCOPE).items()}
    held = {"same": known["same"], "retried": known["retried"] + "+7", "changed": "old", "gone": "old"}
    [added] = proxy.ask(SCOPE, versions=held)
    assert sorted(names(added)) == ["changed", "new"]
    [removed] = proxy.accept(added)
    assert removed.removed_resources == ["gone"]


def test_who_comes_back_with_everything_is_sent_nothing(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b"))
    held = {name: resource.version for name, resource in proxy.cache.resources(SCOPE).items()}
    assert not proxy.ask(SCOPE, versions=held)
    assert not proxy.ask(ROUTES, "x", versions={})[0].resources
    by_name = Driver(*TYPES, cache=proxy.cache)
    assert not by_name.ask(SCOPE, "a", versions={"a": held["a"], "b": "not subscribed to"})


def test_who_comes_back_may_hold_refused_bytes_so_they_are_changed(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    proxy.ask(ROUTES, versions={"r": "1"})
    [response] = proxy.ask(SCOPE)
    assert response.resources[0].version.endswith("+1")
    assert response.resources[0].resource.value == b"a=1#1"  # type: ignore[union-attr]


# Flow


def test_changes_coalesce_while_a_response_is_unanswered(proxy: Driver) -> None:
    [greeting] = proxy.ask(SCOPE)
    proxy.accept(greeting)
    [first] = proxy.update(SCOPE, make_resources("a"))
    for content in "234":
        assert not proxy.update(SCOPE, make_resources("a", "b", content=content))
    assert not proxy.update(SCOPE, make_resources("b", "c", content="5"))
    [second] = proxy.accept(first)
    assert {each.name: each.resource.value for each in second.resources if each.resource} == {
        "a": b"a=4",
        "b": b"b=5",
        "c": b"c=5",
    }


def test_change_that_is_undone_meanwhile_is_not_sent(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b"))
    proxy.accept(proxy.ask(SCOPE)[0])
    [response] = proxy.update(SCOPE, make_resources("b", content="2"))
    assert not proxy.update(SCOPE, make_resources("a", content="2"))
    assert not proxy.update(SCOPE, make_resources("a"))
    assert not proxy.accept(response)
    assert proxy.stream.settled == proxy.cache.transaction


def test_large_responses_are_split_and_one_larger_resource_goes_alone(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a", "b", "c", "d", size=600_000) | make_resources("e", size=2_000_000))
    seen = []
    responses = proxy.ask(SCOPE)
    while responses:
        [response] = responses
        seen.append(names(response))
        responses = proxy.accept(response)
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


def test_stale_and_unknown_nonces_are_ignored(proxy: Driver) -> None:
    proxy.update(SCOPE, make_resources("a"))
    [first] = proxy.ask(SCOPE)
    proxy.accept(first)
    [second] = proxy.update(SCOPE, make_resources("a", content="2"))
    assert not proxy.accept(first)
    request = DeltaDiscoveryRequest(type_url=SCOPE, response_nonce="none", resource_names_subscribe=["x"])
    assert proxy.stream.receive(request) is None
    assert proxy.stream.progress()[SCOPE].accepted == 1
    [third] = proxy.accept(second)
    assert third.removed_resources == ["x"]


def test_one_unanswered_response_does_not_hold_up_the_rest_for_ever(proxy: Driver) -> None:
    proxy.accept(proxy.ask(CLUSTER)[0])
    proxy.accept(proxy.ask(SCOPE)[0])
    [slow] = proxy.update(CLUSTER, make_resources("slow"))
    assert not proxy.update(SCOPE, make_resources("a"))
    assert not proxy.update(CLUSTER, make_resources("quick"))
    proxy.stream.stop_waiting(CLUSTER, slow.nonce)
    quick, scope = proxy.responses()
    assert (names(quick), names(scope)) == (["quick"], ["a"])
    proxy.accept(quick)
    assert proxy.stream.settled < proxy.cache.transaction
    refusal = proxy.refuse(slow)
    assert refusal is not None
    assert refusal.name == "slow"


# Malformed


def test_request_without_type_is_an_error(proxy: Driver) -> None:
    with pytest.raises(xds.ProtocolError, match="type_url is empty"):
        proxy.stream.receive(DeltaDiscoveryRequest())


def test_resource_locators_are_an_error(proxy: Driver) -> None:
    request = DeltaDiscoveryRequest(type_url=SCOPE, resource_locators_subscribe=[ResourceLocator(name="x")])
    with pytest.raises(xds.ProtocolError, match="locators"):
        proxy.stream.receive(request)
