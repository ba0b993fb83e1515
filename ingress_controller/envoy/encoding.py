"""Encodings put together from values and from what was encoded before.

In: a class of messages, and values for its fields. Out: what the message library would encode of a message with these
fields, without such a message: to make, validate and encode one takes ten times as long, and hosts come in thousands.
Numbers and types of fields are the library's own. ``benchmarks/encode.py`` measures the difference, and a test holds
the encodings equal.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, TypeAlias, cast

import betterproto2
from betterproto2 import Message
from envoy_data_plane.google.protobuf import Any as Packed
from envoy_data_plane.message_pool import default_message_pool

Encoded: TypeAlias = tuple[bytes, ...]
"""Fields of a message, encoded: the pieces that joined are the encoding.

One behind the other, two of them are one message: the later one adds to lists, and fields that are messages are merged.
"""

_Writer: TypeAlias = Callable[[Any, list[bytes]], None]

_DELIMITED = {betterproto2.TYPE_STRING, betterproto2.TYPE_BYTES, betterproto2.TYPE_MESSAGE}
_varint = lru_cache(maxsize=1 << 14)(betterproto2.encode_varint)


class Shared(bytes):
    """A piece that many encodings have in common. It is kept once, and copied into none of them."""

    __slots__ = ()


def encoded(message: type[Message], /, **fields: Any) -> Encoded:
    """Encode some fields of a message, in the order in which they are given.

    Args:
        message: its class.
        fields: what the class takes, where ``None`` is nothing. A message can be given by its encoding.

    Raises:
        KeyError: the message has no such field.
        TypeError: a value is none for its field.
    """
    writers = _writers(message)
    pieces: list[bytes] = []
    for name, value in fields.items():
        if value is not None:
            writers[name](value, pieces)
    return _joined(pieces)


def shared(encoding: Encoded | Message) -> Encoded:
    """The same, as one piece for all that it becomes a part of; nothing is no piece."""
    joined = b"".join(_pieces(encoding))
    return (Shared(joined),) if joined else ()


def packed(message: type[Message], encoding: Encoded) -> Encoded:
    """An encoded message with the URL of its type."""
    return encoded(Packed, type_url=default_message_pool.type_to_url[message], value=encoding)


def _joined(pieces: Sequence[bytes]) -> Encoded:
    """The same pieces, where what is not shared is joined with its neighbours."""
    if Shared not in map(type, pieces):
        return (b"".join(pieces),) if pieces else ()
    joined: list[bytes] = []
    own: list[bytes] = []
    for piece in pieces:
        if type(piece) is not Shared:
            own.append(piece)
            continue
        if own:
            joined.append(b"".join(own))
            own = []
        joined.append(piece)
    return (*joined, b"".join(own)) if own else tuple(joined)


@cache
def _writers(message: type[Message]) -> Mapping[str, _Writer]:
    """What encodes each field of a message: it takes a value, and adds to a list of pieces."""
    fields = {field.name: betterproto2.FieldMetadata.get(field) for field in dataclasses.fields(cast("Any", message))}
    return {name: _writer(message, name, meta) for name, meta in fields.items()}


def _writer(message: type[Message], name: str, meta: betterproto2.FieldMetadata) -> _Writer:
    if meta.map_meta and all(map(_is_delimited, meta.map_meta)):
        return _map_writer(meta.number)
    if not _is_delimited(meta):
        return lambda value, pieces: pieces.append(_by_library(message, name, value))
    write = _delimited_writer(meta.number)
    if meta.repeated:
        return _list_writer(write)
    if meta.optional or meta.group:
        return write
    # What is empty is not there.
    return lambda value, pieces: write(value, pieces) if value else None


def _is_delimited(meta: betterproto2.FieldMetadata) -> bool:
    """Whether a value is encoded as its length and its bytes, and not wrapped in a message first."""
    return meta.proto_type in _DELIMITED and not meta.unwrap


# Numbers, durations and the like have few values: each is encoded once.
@lru_cache(maxsize=1024)
def _by_library(message: type[Message], name: str, value: Any) -> bytes:
    return bytes(message(**{name: value}))


def _delimited_writer(number: int) -> _Writer:
    tag = _varint(number << 3 | 2)

    def write(value: Any, pieces: list[bytes]) -> None:
        encoding = _pieces(value)
        pieces += (tag, _varint(sum(map(len, encoding))), *encoding)

    return write


def _list_writer(write: _Writer) -> _Writer:
    def write_all(items: Iterable[Any], pieces: list[bytes]) -> None:
        for item in items:
            write(item, pieces)

    return write_all


def _map_writer(number: int) -> _Writer:
    write, write_key, write_value = map(_delimited_writer, (number, 1, 2))

    def write_entries(entries: Mapping[Any, Any], pieces: list[bytes]) -> None:
        for key, value in entries.items():
            entry: list[bytes] = []
            write_key(key, entry)
            write_value(value, entry)
            write(tuple(entry), pieces)

    return write_entries


def _pieces(value: object) -> Encoded:
    match value:
        case tuple():
            return value
        case str():
            return (value.encode(),)
        case bytes():
            return (value,)
        case Message():
            return (bytes(value),)
    raise TypeError(f"{value!r} is neither text nor bytes nor a message nor the encoding of one")
