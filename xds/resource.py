"""What the server hands out: resources, their types, and the report of a refused one.

Values only; they know neither the stream nor the cache.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

Parts = tuple[bytes, ...]
Retry = Callable[[Parts, int], Parts]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: its name and its encoded message.

    Attributes:
        name: what proxies subscribe to; neither empty nor `*`, which mean "all" to a proxy.
        parts: the protobuf encoding of the message, joined when it is sent. Equal parts can be shared between
            resources: concatenated encodings are one merged message.
        needs: names of resources, of the types in `ResourceType.named`, that this one refers to; None when they are not
            known. They follow from the content.
        version: hash of name and content, in hex.

    Raises:
        ValueError: the name is empty, `*`, or not encodable as UTF-8.
    """

    name: str
    parts: Parts
    needs: tuple[str, ...] | None = None
    version: str = field(init=False)

    def __post_init__(self) -> None:
        if self.name in {"", "*"}:
            raise ValueError(f"a resource cannot be named {self.name!r}: proxies would read it as all resources")
        name = self.name.encode()
        digest = blake2b(b"%d:" % len(name), digest_size=16)
        digest.update(name)
        for part in self.parts:
            digest.update(part)
        object.__setattr__(self, "version", digest.hexdigest())


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of resource, and how it is treated.

    Attributes:
        url: `type.googleapis.com/` and the full name of the message.
        order: rank in make-before-break. Additions go out by ascending rank, removals by descending rank; types of
            equal rank do not wait for each other.
        retry: changes the bytes of a resource but not its meaning, for a resource that was, or may have been, in a
            refused response; the integer differs each time. None when the proxy takes equal bytes again. Envoy needs
            it for scoped routes: it remembers the good ones of a refused response without using them, on later
            streams too, and then takes the same bytes for no change.
        eager: its additions wait for nothing; what comes after them still waits. Envoy needs it for endpoints and
            secrets: it accepts a response with clusters only when all of them have what they refer to.
        refreshes: URL of a type of higher order. When a changed resource of this type is sent, the one of that type
            and of the same name is sent after it, even unchanged. Envoy needs it for the endpoints of a cluster: a
            changed cluster waits for them anew, without asking, until its `initial_fetch_timeout` (15 s).
        named: URLs of types of lower order, of which a resource waits for those that it needs and for no others. Envoy
            makes that worth it for clusters: it accepts none of a response before each has had its first health check
            or DNS answer, which may take long for one that has nothing to do with the rest.
    """

    url: str
    order: int
    retry: Retry | None = None
    eager: bool = False
    refreshes: str | None = None
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One resource that a proxy refused, found alone.

    Attributes:
        type_url: the type of the resource.
        name: the name of the resource.
        version: `Resource.version` of the refused content; empty when its removal was refused.
        message: the proxy's own words.
        node: id of the proxy.
    """

    type_url: str
    name: str
    version: str
    message: str
    node: str
