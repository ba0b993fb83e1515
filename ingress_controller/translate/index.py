"""Who refers to what.

In: for each owner, the set of keys it refers to. Out: for a key, its owners. Cost of both is the size of the set.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner", bound=Hashable)
_Key = TypeVar("_Key", bound=Hashable)


class Index(Generic[_Owner, _Key]):
    """A relation between owners and keys, readable from both ends."""

    def __init__(self) -> None:
        self._keys: dict[_Owner, frozenset[_Key]] = {}
        self._owners: dict[_Key, set[_Owner]] = {}

    def set(self, owner: _Owner, keys: Iterable[_Key]) -> None:
        """Say anew what an owner refers to; nothing, when it is gone."""
        before, after = self._keys.pop(owner, frozenset()), frozenset(keys)
        for key in before - after:
            self._owners[key].discard(owner)
            if not self._owners[key]:
                del self._owners[key]
        for key in after - before:
            self._owners.setdefault(key, set()).add(owner)
        if after:
            self._keys[owner] = after

    def of(self, key: _Key) -> frozenset[_Owner]:
        """The owners that refer to a key."""
        return frozenset(self._owners.get(key, ()))
