"""The cache and the values in it."""

from collections.abc import Collection, Mapping

import pytest

import xds
from tests.xds.driver import make_resources

A = "type.googleapis.com/a"
B = "type.googleapis.com/b"


@pytest.fixture
def seen(cache: xds.Cache) -> list[Mapping[str, Collection[str]]]:
    changes: list[Mapping[str, Collection[str]]] = []
    cache.watch(changes.append)
    return changes


def test_version_is_of_name_and_content_however_it_is_cut() -> None:
    version = xds.Resource("n", (b"ab", b"c")).version
    assert version == xds.Resource("n", (b"abc",)).version
    assert version != xds.Resource("n", (b"abd",)).version
    assert version != xds.Resource("na", (b"bc",)).version


@pytest.mark.parametrize("name", ["", "*", "\udc80"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"named|surrogates"):
        xds.Resource(name, ())


def test_transaction_tells_what_really_changed(cache: xds.Cache, seen: list[Mapping[str, Collection[str]]]) -> None:
    assert cache.update({A: make_resources("x", "y"), B: make_resources("z")}) == 1
    assert (
        cache.update({A: make_resources("x", content="2") | make_resources("y") | {"none": None}, B: {"z": None}}) == 2
    )
    assert seen == [{A: ["x", "y"], B: ["z"]}, {A: ["x"], B: ["z"]}]
    assert set(cache.resources(A)) == {"x", "y"}
    assert not cache.resources(B)


def test_unchanged_content_is_no_transaction(cache: xds.Cache, seen: list[Mapping[str, Collection[str]]]) -> None:
    cache.update({A: make_resources("x")})
    assert cache.update({A: make_resources("x") | {"none": None}, B: {}}) == 1
    assert len(seen) == 1


def test_transaction_is_whole_or_not_at_all(cache: xds.Cache, seen: list[Mapping[str, Collection[str]]]) -> None:
    with pytest.raises(ValueError, match="'y' is given under the name 'z'"):
        cache.update({A: make_resources("x"), B: {"z": xds.Resource("y", ())}})
    assert not cache.resources(A)
    assert not seen
    assert cache.transaction == 0


def test_watcher_can_leave(cache: xds.Cache, seen: list[Mapping[str, Collection[str]]]) -> None:
    cache.unwatch(seen.append)
    cache.update({A: make_resources("x")})
    assert not seen
