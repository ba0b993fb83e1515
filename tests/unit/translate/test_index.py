"""The index says of each key what a set of owners for each would say."""

from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.translate.index import Index

steps = st.lists(st.tuples(st.integers(0, 4), st.lists(st.sampled_from("abcd"))), max_size=30)


@given(steps)
def test_it_answers_as_sets_would(steps: list[tuple[int, list[str]]]) -> None:
    index: Index[int, str] = Index()
    said: dict[int, set[str]] = {}
    for owner, keys in steps:
        index.set(owner, keys)
        said[owner] = set(keys)
        for key in "abcd":
            owners = index.of(key)
            assert len(owners) == len(set(owners))
            assert set(owners) == {owner for owner, keys in said.items() if key in keys}


@given(steps)
def test_nothing_is_left_of_owners_that_are_gone(steps: list[tuple[int, list[str]]]) -> None:
    index: Index[int, str] = Index()
    for owner, keys in steps:
        index.set(owner, keys)
    for owner in range(5):
        index.set(owner, ())
    assert not index._keys
    assert not index._owners
