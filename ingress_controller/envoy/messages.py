"""What the other modules of this package need of the message library.

In: messages of envoy-data-plane. Out: the wrappers and constants that occur in many of them.
"""

from typing import Any as Message

from envoy_data_plane.envoy.config.core.v3 import Address as EnvoyAddress
from envoy_data_plane.envoy.config.core.v3 import AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher
from envoy_data_plane.google.protobuf import Any

from ingress_controller.model.host import CATCH_ALL, is_wildcard
from ingress_controller.model.upstream import Address

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
"""Where every resource comes from: the one aggregated stream."""

_CHAIN = "chain/"


def pack(message: Message) -> Any:
    """Wrap a message with the URL of its type."""
    return Any.pack(message)


def address(value: Address) -> EnvoyAddress:
    """An IP address and port, or a name and port for clusters that resolve it."""
    return EnvoyAddress(socket_address=SocketAddress(address=value.host, port_value=value.port))


def regex(pattern: str) -> RegexMatcher:
    """An RE2 pattern, which is searched for or matched as a whole as the field says."""
    return RegexMatcher(regex=pattern)


def resource_name(host: str) -> str:
    """The name of a host's resources: the host, except that no resource may be named ``*``."""
    return "(every other host)" if host == CATCH_ALL else host


def chain_secret(host: str) -> str:
    """The name of the certificate of a host with a filter chain of its own.

    For an exact host it is not the name that is asked for on demand: Envoy may have asked for that one before, and a
    chain that asks for it again would wait, since nothing new would be sent.
    """
    return resource_name(host) if is_wildcard(host) else f"{_CHAIN}{host}"


def host_of(name: str) -> str:
    """The host that a resource named by this module belongs to, or that of a tunnel to one of its ports."""
    return CATCH_ALL if name == resource_name(CATCH_ALL) else name.removeprefix(_CHAIN).partition(":")[0]


def literal(text: str) -> str:
    """Text for a place where Envoy would read ``%`` as the start of a command."""
    return text.replace("%", "%%")
