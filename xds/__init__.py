"""A delta-ADS server: it gives proxies (Envoy) their configuration, and tells what they refuse.

It knows nothing of what is in a resource. Use:

    cache = xds.Cache()
    types = [xds.ResourceType(url, order) for order, url in enumerate((CLUSTER, ENDPOINTS, LISTENER))]
    server = xds.Server(cache, types, on_refused=lambda refusal: log.warning("refused", refusal=refusal))
    listener = grpc.aio.server(options=xds.GRPC_OPTIONS)
    listener.add_insecure_port("unix:/run/proxy/xds.sock")
    server.register(listener)
    await listener.start()
    transaction = cache.update({CLUSTER: {"web": xds.Resource("web", (encoded_cluster,)), "old": None}})
    await server.settled(transaction)

What to know:

- A transaction is applied whole. Resources are made before they are referred to and removed after, by the rank of
  their types, for each proxy at its own pace; a slow proxy skips versions and holds up nobody.
- A resource's version is the hash of its content, so a proxy that comes back, to this server or another with the
  same resources, is sent only what differs.
- What is peculiar to Envoy is said in `ResourceType`: clusters `refreshes` endpoints, endpoints and secrets are
  `eager`, scoped routes have a `retry`.
- When a proxy refuses a response, its resources are sent again by halves until the bad one is alone. That one goes to
  `on_refused`, and again only when its content changes; the proxy goes on with the last good one.
- Everything runs on one event loop; call `Cache.update` on it.
"""

from xds.cache import Cache
from xds.connection import Observer
from xds.resource import Refusal, Resource, ResourceType
from xds.server import GRPC_OPTIONS, METHOD, SERVICE, Proxy, Server
from xds.stream import Answer, Progress, ProtocolError, Response, Stream

__all__ = [
    "GRPC_OPTIONS",
    "METHOD",
    "SERVICE",
    "Answer",
    "Cache",
    "Observer",
    "Progress",
    "ProtocolError",
    "Proxy",
    "Refusal",
    "Resource",
    "ResourceType",
    "Response",
    "Server",
    "Stream",
]
