"""A refused response: the bad resource is found, the good ones are in force, nothing else is held up."""

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from tests.xds.driver import ROUTES, SCOPE, TYPES, Driver, make_resources, names


@pytest.fixture
def proxy() -> Driver:
    proxy = Driver(*TYPES)
    proxy.settle(*proxy.ask(SCOPE), *proxy.ask(ROUTES))
    return proxy


def versions(response: DeltaDiscoveryResponse) -> list[str]:
    return [resource.version for resource in response.resources]


def isolate(proxy: Driver, *bad: str) -> tuple[list[str], list[list[str]]]:
    """Answer as a proxy that refuses each response with one of the bad; give the refused names, and what was sent."""
    refused, sent = [], []
    while responses := proxy.responses():
        for response in responses:
            sent.append(names(response) + response.removed_resources)
            if set(bad) & set(sent[-1]):
                refusal = proxy.refuse(response)
                refused += [refusal.name] if refusal else []
            else:
                proxy.stream.receive(accepting(response))
    return refused, sent


def accepting(response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest:
    return DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)


def test_single_resource_is_reported_and_not_sent_again(proxy: Driver) -> None:
    [response] = proxy.update(SCOPE, make_resources("a"))
    refusal = proxy.refuse(response, "bad regex")
    assert refusal is not None
    assert (refusal.type_url, refusal.name, refusal.message, refusal.node) == (SCOPE, "a", "bad regex", "proxy")
    assert refusal.version == proxy.cache.resources(SCOPE)["a"].version
    assert not proxy.responses()
    assert proxy.stream.settled == proxy.cache.transaction
    assert proxy.stream.progress()[SCOPE].refused == 1


def test_bad_one_is_found_by_halves(proxy: Driver) -> None:
    proxy.cache.update({SCOPE: make_resources(*"abcdefgh")})
    refused, sent = isolate(proxy, "c")
    assert refused == ["c"]
    assert ["".join(group) for group in sent] == ["abcdefgh", "abcd", "ab", "cd", "c", "d", "efgh"]
    progress = proxy.stream.progress()[SCOPE]
    assert (progress.accepted, progress.pending, progress.refused) == (7, 0, 1)


def test_all_bad_ones_are_found(proxy: Driver) -> None:
    proxy.cache.update({SCOPE: make_resources(*"abcdefg")})
    refused, _ = isolate(proxy, "a", "d", "g")
    assert sorted(refused) == ["a", "d", "g"]


def test_what_is_sent_again_has_other_bytes_each_time(proxy: Driver) -> None:
    [whole] = proxy.update(SCOPE, make_resources("a", "b"))
    proxy.refuse(whole)
    [half] = proxy.responses()
    assert [each.resource.value for each in half.resources if each.resource] == [b"a=1#2"]
    assert versions(half) == [versions(whole)[0] + "+2"]
    proxy.refuse(half)
    [other] = proxy.responses()
    assert [each.resource.value for each in other.resources if each.resource] == [b"b=1#3"]
    [next_whole] = proxy.settle(other)[1:] or proxy.update(SCOPE, make_resources("b", content="2"))
    assert versions(next_whole) == [make_resources("b", content="2")["b"].version], "accepted, so no doubt is left"


def test_what_is_sent_while_an_earlier_response_may_yet_be_refused_has_other_bytes(proxy: Driver) -> None:
    [slow] = proxy.update(SCOPE, make_resources("a", "b"))
    proxy.stream.stop_waiting(SCOPE, slow.nonce)
    [response] = proxy.ask(SCOPE, "a")
    assert [each.resource.value for each in response.resources if each.resource] == [b"a=1#2"]


def test_doubt_outlives_a_new_subscription(proxy: Driver) -> None:
    [whole] = proxy.update(SCOPE, make_resources("a", "b"))
    proxy.ask(SCOPE, "a")
    proxy.refuse(whole)
    responses = proxy.settle(*proxy.ask(SCOPE, "a"))
    sent = {each.name: each.version for response in responses for each in response.resources}
    assert "+" in sent["a"]


def test_type_that_needs_no_other_bytes_is_sent_the_same(proxy: Driver) -> None:
    [whole] = proxy.update(ROUTES, make_resources("a", "b"))
    proxy.refuse(whole)
    [half] = proxy.responses()
    assert half.resources == whole.resources[:1]


def test_good_content_is_sent_after_a_refusal_even_when_it_was_held_before(proxy: Driver) -> None:
    proxy.settle(*proxy.update(SCOPE, make_resources("a", "b")))
    [response] = proxy.update(SCOPE, make_resources("a", "b", content="2"))
    proxy.refuse(response)
    proxy.cache.update({SCOPE: make_resources("a", "b")})
    assert isolate(proxy)[1] == [["a", "b"]], "the proxy may have taken some of what it refused"


def test_new_content_of_a_refused_name_is_sent_and_the_old_one_refused_again(proxy: Driver) -> None:
    proxy.refuse(proxy.update(SCOPE, make_resources("a"))[0])
    [response] = proxy.update(SCOPE, make_resources("a", content="2"))
    proxy.settle(response)
    assert proxy.stream.progress()[SCOPE].refused == 0
    [again] = proxy.update(SCOPE, make_resources("a"))
    assert proxy.refuse(again) is not None


def test_refused_content_that_comes_and_goes_unsent_stays_refused(proxy: Driver) -> None:
    [response] = proxy.update(SCOPE, make_resources("a"))
    proxy.cache.update({SCOPE: make_resources("a", content="2")})
    proxy.refuse(response)
    proxy.cache.update({SCOPE: make_resources("a")})
    assert not proxy.responses()


def test_names_that_change_while_the_bad_one_is_sought_get_their_newest_content(proxy: Driver) -> None:
    [whole] = proxy.update(SCOPE, make_resources("a", "b", "c", "d"))
    proxy.refuse(whole)
    proxy.cache.update({SCOPE: make_resources("a", "c", content="2") | {"d": None}})
    seen = proxy.settle()
    newest = {each.name: each.resource.value for response in seen for each in response.resources if each.resource}
    assert {name: value.partition(b"#")[0] for name, value in newest.items()} == {"a": b"a=2", "b": b"b=1", "c": b"c=2"}
    assert seen[-1].removed_resources == ["d"], "it may hold the d of the refused response"


def test_half_that_shrank_to_one_is_not_blamed_unheard(proxy: Driver) -> None:
    [whole] = proxy.update(SCOPE, make_resources("a", "b"))
    proxy.ask(SCOPE, "a")
    proxy.cache.update({SCOPE: make_resources("a", content="2")})
    assert proxy.refuse(whole) is None
    assert isolate(proxy, "a")[0] == ["a"]
    assert proxy.stream.progress()[SCOPE].accepted == 1


def test_fresh_names_take_turns_with_the_search(proxy: Driver) -> None:
    [whole] = proxy.update(SCOPE, make_resources(*"abcdefgh"))
    proxy.refuse(whole)
    proxy.cache.update({SCOPE: make_resources("new")})
    _, sent = isolate(proxy, "c")
    assert ["new"] in sent[:2]


def test_fresh_names_that_need_nothing_do_not_end_the_search(proxy: Driver) -> None:
    proxy.settle(*proxy.update(SCOPE, make_resources("same")))
    [whole] = proxy.update(SCOPE, make_resources("a", "b"))
    proxy.refuse(whole)
    [half] = proxy.responses()
    proxy.cache.update({SCOPE: {"same": None}})
    proxy.cache.update({SCOPE: make_resources("same")})
    [other] = proxy.accept(half)
    assert (names(half), names(other)) == (["a"], ["b"])


def test_other_types_go_on_while_the_bad_one_is_sought(proxy: Driver) -> None:
    [whole] = proxy.update(SCOPE, make_resources("a", "b"))
    proxy.refuse(whole)
    [_, routes] = sorted(proxy.update(ROUTES, make_resources("r")), key=lambda each: each.type_url, reverse=True)
    assert names(routes) == ["r"]


def test_refused_removal_is_reported_and_settled(proxy: Driver) -> None:
    proxy.settle(*proxy.update(SCOPE, make_resources("a", "b")))
    proxy.cache.update({SCOPE: {"a": None, "b": None}})
    refused, _ = isolate(proxy, "a")
    assert refused == ["a"]
    assert proxy.stream.settled == proxy.cache.transaction


def test_unsubscribed_while_refused_is_forgotten() -> None:
    by_name = Driver(*TYPES)
    by_name.cache.update({SCOPE: make_resources("a")})
    [response] = by_name.ask(SCOPE, "a")
    by_name.ask(SCOPE, unsubscribe=["a"])
    assert by_name.refuse(response) is None
    assert not by_name.responses()
