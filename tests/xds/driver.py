"""Drives the state machine of one stream by hand, for the tests of the protocol's corners."""

from collections.abc import Iterable, Mapping

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from envoy_data_plane.google.rpc import Status

import xds

CLUSTER, ENDPOINTS, ROUTES, SCOPE = (f"type.googleapis.com/{name}" for name in ("c", "e", "r", "s"))


def mark_attempt(parts: tuple[bytes, ...], attempt: int) -> tuple[bytes, ...]:
    return (*parts, b"#%d" % attempt)


TYPES = (
    xds.ResourceType(CLUSTER, 0, refreshes=ENDPOINTS),
    xds.ResourceType(ENDPOINTS, 1, eager=True),
    xds.ResourceType(ROUTES, 2),
    xds.ResourceType(SCOPE, 3, mark_attempt, named=(CLUSTER, ENDPOINTS)),
)


def make_resources(*names: str, content: str = "1", size: int = 0) -> dict[str, xds.Resource]:
    """Give resources whose content is their name, a mark, and filling."""
    return {name: xds.Resource(name, (f"{name}={content}".encode(), b"." * size)) for name in names}


def names(response: DeltaDiscoveryResponse) -> list[str]:
    return [resource.name for resource in response.resources]


class Driver:
    """A cache, one stream, and what a proxy would say to it."""

    def __init__(self, *types: xds.ResourceType, cache: xds.Cache | None = None, attempt: int = 1) -> None:
        self.cache = cache or xds.Cache()
        self.stream = xds.Stream(self.cache, types, attempt)
        self.cache.watch(self.stream.change)

    def ask(
        self,
        type_url: str,
        *subscribe: str,
        unsubscribe: Iterable[str] = (),
        versions: Mapping[str, str] | None = None,
    ) -> list[DeltaDiscoveryResponse]:
        """Send a request that answers nothing, and give what comes back."""
        self.stream.receive(
            DeltaDiscoveryRequest(
                node=Node(id="proxy"),
                type_url=type_url,
                resource_names_subscribe=list(subscribe),
                resource_names_unsubscribe=list(unsubscribe),
                initial_resource_versions=dict(versions or {}),
            )
        )
        return self.responses()

    def update(self, type_url: str, changes: Mapping[str, xds.Resource | None]) -> list[DeltaDiscoveryResponse]:
        self.cache.update({type_url: changes})
        return self.responses()

    def responses(self) -> list[DeltaDiscoveryResponse]:
        return [DeltaDiscoveryResponse.parse(response.body) for response in self.stream.responses()]

    def accept(self, response: DeltaDiscoveryResponse) -> list[DeltaDiscoveryResponse]:
        self.stream.receive(DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce))
        return self.responses()

    def refuse(self, response: DeltaDiscoveryResponse, message: str = "no") -> xds.Refusal | None:
        """Refuse a response; what comes back is left for `responses`."""
        answer = self.stream.receive(
            DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce, error_detail=Status(message=message)
            )
        )
        assert answer is not None
        return answer.refusal

    def settle(self, *responses: DeltaDiscoveryResponse) -> list[DeltaDiscoveryResponse]:
        """Accept what was sent, and all that follows, in order; give all of it."""
        waiting = [*responses, *self.responses()]
        seen = []
        while waiting:
            seen.append(waiting.pop(0))
            waiting += self.accept(seen[-1])
        return seen
