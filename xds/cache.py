"""The versioned store of resources that all streams read.

In: transactions, each a mapping of type, name and resource (or None for gone). Out: current resources by name, and
for each transaction the names that really changed, told to the watchers at once. There is no history: a stream
remembers names and reads the content when it sends, so that a slow proxy costs names and never payloads.

A cache may be served while it is being filled. Until it is complete, proxies are told what is in it, and nothing is
said to be gone or not to exist: a proxy that comes back would lose what it has.

Everything happens on one thread, the one that runs the event loop.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from xds.resource import Resource

Changed = Mapping[str, Collection[str]]
Watcher = Callable[[Changed], None]

_EMPTY: Mapping[str, Resource] = MappingProxyType({})


class Cache:
    """Resources by type URL and name.

    Attributes:
        transaction: the number of the last transaction that changed something; 0 before the first.
        is_complete: whether what is not in it does not exist.
    """

    def __init__(self, *, complete: bool = True) -> None:
        """Start empty. One that is not `complete` is until `complete` is called."""
        self.transaction = 0
        self.is_complete = complete
        self._resources: dict[str, dict[str, Resource]] = {}
        self._watchers: dict[Watcher, None] = {}

    def update(self, changes: Mapping[str, Mapping[str, Resource | None]]) -> int:
        """Apply one transaction, whole or not at all; it costs what the change costs.

        Args:
            changes: type URL -> name -> the resource, or None to remove it. Equal content is no change.

        Returns:
            The number of the transaction, for `Server.settled`; that of the last one when nothing changed.

        Raises:
            ValueError: a resource stands under a name that is not its own.
        """
        for type_url, resources in changes.items():
            for name, resource in resources.items():
                if resource is not None and resource.name != name:
                    raise ValueError(f"{type_url}: resource {resource.name!r} is given under the name {name!r}")
        changed = {type_url: names for type_url in changes if (names := self._apply(type_url, changes[type_url]))}
        if changed:
            self._announce(changed)
        return self.transaction

    def complete(self) -> int:
        """Say that all there is is in the cache now. Returns the number of the transaction that this is."""
        if not self.is_complete:
            self.is_complete = True
            self._announce({})
        return self.transaction

    def _announce(self, changed: Changed) -> None:
        self.transaction += 1
        for watcher in tuple(self._watchers):
            watcher(changed)

    def _apply(self, type_url: str, resources: Mapping[str, Resource | None]) -> list[str]:
        current = self._resources.setdefault(type_url, {})
        changed = []
        for name, resource in resources.items():
            before = current.get(name)
            if resource is None:
                if before is None:
                    continue
                del current[name]
            else:
                if before is not None and before.version == resource.version:
                    continue
                current[name] = resource
            changed.append(name)
        return changed

    def resources(self, type_url: str) -> Mapping[str, Resource]:
        """Give a live, read-only view of all resources of a type."""
        return MappingProxyType(self._resources[type_url]) if type_url in self._resources else _EMPTY

    def get(self, type_url: str, name: str) -> Resource | None:
        """Give one resource, or None when there is none."""
        return self._resources.get(type_url, _EMPTY).get(name)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with type URL -> changed names, within each transaction from now on."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Stop calling `watcher`."""
        del self._watchers[watcher]
