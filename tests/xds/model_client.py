"""A proxy as the protocol, and Envoy, would have it: small enough to be believed.

For types with `records_refused` it does what Envoy does with scoped routes: of a refused response it records the
resources before the bad one without using them, and takes recorded bytes that come again for no change.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from envoy_data_plane.google.rpc import Status

BAD = b"bad"


@dataclass
class Holding:
    """One type as the client has it.

    Attributes:
        names: what it asks for by name.
        wildcard: whether it asks for everything.
        in_force: name -> content that is used.
        recorded: name -> content that was seen last.
        versions: name -> version that was accepted last.
    """

    names: set[str] = field(default_factory=set)
    wildcard: bool = False
    in_force: dict[str, bytes] = field(default_factory=dict)
    recorded: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def drop(self, name: str) -> None:
        for state in (self.in_force, self.recorded, self.versions):
            state.pop(name, None)


class ModelClient:
    """The client's side of one stream after the other."""

    def __init__(self, records_refused: Iterable[str]) -> None:
        self.types: dict[str, Holding] = {}
        self._records_refused = set(records_refused)

    def subscribe(self, type_url: str, names: Iterable[str]) -> DeltaDiscoveryRequest:
        """Ask for names; the first request of a type may ask for none, and so for everything."""
        first = type_url not in self.types
        holding = self.types.setdefault(type_url, Holding())
        holding.wildcard |= "*" in names or (first and not names)
        holding.names |= {name for name in names if name != "*"}
        return DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=list(names))

    def unsubscribe(self, type_url: str, names: Iterable[str]) -> DeltaDiscoveryRequest:
        """Ask for names no more, and drop what nothing asks for now."""
        holding = self.types[type_url]
        holding.wildcard &= "*" not in names
        holding.names -= set(names)
        for name in [name for name in holding.recorded | holding.in_force if not holding.wants(name)]:
            holding.drop(name)
        return DeltaDiscoveryRequest(type_url=type_url, resource_names_unsubscribe=list(names))

    def resume(self) -> list[DeltaDiscoveryRequest]:
        """Give the first requests of a new stream, telling what was accepted on the last one."""
        return [
            DeltaDiscoveryRequest(
                node=Node(id="model"),
                type_url=type_url,
                resource_names_subscribe=[*holding.names, *(["*"] if holding.wildcard else [])],
                initial_resource_versions=dict(holding.versions),
            )
            for type_url, holding in self.types.items()
            if holding.names or holding.wildcard
        ]

    def receive(self, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest:
        """Use a response, or refuse it whole; give the answer."""
        holding = self.types[response.type_url]
        answer = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        contents = {each.name: each.resource.value for each in response.resources if each.resource}
        recorded: dict[str, bytes] = {}
        for name, content in contents.items():
            if BAD in content:
                answer.error_detail = Status(message="a resource is bad")
                if response.type_url in self._records_refused:
                    holding.recorded |= recorded
                return answer
            if holding.wants(name):
                recorded[name] = content
        for name in response.removed_resources:
            holding.drop(name)
        for resource in response.resources:
            if resource.name in recorded:
                holding.versions[resource.name] = resource.version
                if holding.recorded.get(resource.name) != recorded[resource.name]:
                    holding.in_force[resource.name] = recorded[resource.name]
        holding.recorded |= recorded
        return answer
