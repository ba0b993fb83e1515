"""The protobuf encoding of a `DeltaDiscoveryResponse`, made without message objects.

In: names, versions and the already encoded parts of resources. Out: chunks of bytes; joined, they are what the
message library gives for the same fields, byte for byte. Building the messages instead would copy each payload
three times and encode it once for every proxy.
Field numbers: envoy/service/discovery/v3/discovery.proto.
"""

from collections.abc import Iterable, Sequence

_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """Encode a non-negative integer as a protobuf varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def prefix(field: int, length: int) -> bytes:
    """Give what stands before a length-delimited field of `length` bytes."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(length)


def text(field: int, value: str) -> bytes:
    """Encode a string field; an empty one is left out, as proto3 does."""
    encoded = value.encode()
    return prefix(field, len(encoded)) + encoded if encoded else b""


def resource(type_url: str, name: str, version: str, parts: Sequence[bytes]) -> list[bytes]:
    """Encode one element of `DeltaDiscoveryResponse.resources`, its payload given as parts to be joined."""
    payload = sum(map(len, parts))
    any_head = text(1, type_url) + (prefix(2, payload) if payload else b"")
    body_head = text(3, name) + text(1, version) + prefix(2, len(any_head) + payload)
    return [prefix(2, len(body_head) + len(any_head) + payload), body_head, any_head, *parts]


def response(
    type_url: str, nonce: str, system_version: str, resources: Iterable[bytes], removed: Iterable[str]
) -> bytes:
    """Join a whole `DeltaDiscoveryResponse`.

    Args:
        type_url: the type of every resource in it.
        nonce: what the proxy repeats in its answer.
        system_version: for people to read; it has no meaning to the proxy.
        resources: the chunks that `resource` gave, of all resources, in order.
        removed: names that do not exist (any more).
    """
    return b"".join(
        (
            text(1, system_version),
            *resources,
            text(4, type_url),
            *(text(6, name) for name in removed),
            text(5, nonce),
        )
    )


def without_leading(message: bytes, field: int) -> bytes:
    """Drop a length-delimited field that a message begins with, if it does.

    Raises:
        IndexError: the message ends within the length of the field.
    """
    tag = varint(field << 3 | _LENGTH_DELIMITED)
    if not message.startswith(tag):
        return message
    at, length, shift = len(tag), 0, 0
    while True:
        byte = message[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte <= 0x7F:
            return message[at + length :]
