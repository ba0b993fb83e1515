"""Who refers to what.

In: for each owner, the keys it refers to. Out: for a key, its owners. Cost of both is the number of them. Nearly every
key has one owner, so that one stands by itself: a set for each would be most of what this holds.
"""

from collections.abc import Collection, Hashable, Iterable
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner", bound=Hashable)
_Key = TypeVar("_Key", bound=Hashable)


class Index(Generic[_Owner, _Key]):
    """A relation between owners and keys, readable from both ends. An owner is no set."""

    def __init__(self) -> None:
        self._keys: dict[_Owner, tuple[_Key, ...]] = {}
        self._owners: dict[_Key, _Owner | set[_Owner]] = {}

    def set(self, owner: _Owner, keys: Iterable[_Key]) -> None:
        """Say anew what an owner refers to; nothing, when it is gone."""
        before, after = self._keys.pop(owner, ()), tuple(dict.fromkeys(keys))
        for key in set(before).difference(after):
            self._remove(key, owner)
        for key in set(after).difference(before):
            self._add(key, owner)
        if after:
            self._keys[owner] = after

    def _add(self, key: _Key, owner: _Owner) -> None:
        found = self._owners.setdefault(key, owner)
        if isinstance(found, set):
            found.add(owner)
        elif found != owner:
            self._owners[key] = {found, owner}

    def _remove(self, key: _Key, owner: _Owner) -> None:
        found = self._owners[key]
        if not isinstance(found, set):
            del self._owners[key]
            return
        found.discard(owner)
        if len(found) == 1:
            self._owners[key] = found.pop()

    def of(self, key: _Key) -> Collection[_Owner]:
        """The owners that refer to a key, as they are now."""
        found = self._owners.get(key)
        if isinstance(found, set):
            return tuple(found)
        return () if found is None else (found,)
