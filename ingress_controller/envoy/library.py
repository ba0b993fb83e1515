"""Makes the message library fit for thousands of hosts.

In: betterproto2 as installed. Out: the same library, whose ``bytes(message)`` neither builds a validator for each
message that it encodes nor computes each field's default anew. Messages are still validated when they are made.
``benchmarks/encode.py`` measures the difference, and a test holds the encodings equal.
"""

from typing import Any, TypeVar

import betterproto2

_Message = TypeVar("_Message", bound=betterproto2.Message)

_defaults: dict[tuple[type, str], Any] = {}
_PINNED = "_pinned"
_encode = betterproto2.Message.__bytes__
_compute_default = betterproto2.Message._get_field_default  # noqa: SLF001 (there is no public way)


def install() -> None:
    """Replace the slow methods. From then on, do not give a finished message a value of a wrong type."""
    betterproto2.Message.__bytes__ = _bytes  # type: ignore[method-assign,assignment]
    betterproto2.Message._validate = _trust  # type: ignore[assignment]  # noqa: SLF001
    betterproto2.Message._get_field_default = _default  # type: ignore[assignment]  # noqa: SLF001


def pinned(message: _Message) -> _Message:
    """A stand-in that encodes to what the message encodes to now, for parts that many messages share.

    It has no fields of its own: it is small, it counts as false, and it is good for nothing but to be encoded within
    others.
    """
    stand_in = type(message)()
    vars(stand_in)[_PINNED] = bytes(message)
    return stand_in


def _bytes(message: betterproto2.Message) -> bytes:
    """The encoding of a message, or the one that it is a stand-in for."""
    found: bytes | None = vars(message).get(_PINNED)
    return _encode(message) if found is None else found


def _trust(_: betterproto2.Message) -> None:
    """A message was validated when it was made."""


def _default(message: betterproto2.Message, field_name: str) -> Any:
    """The default of a field; it is only ever compared with, so one value serves all messages."""
    key = type(message), field_name
    try:
        return _defaults[key]
    except KeyError:
        return _defaults.setdefault(key, _compute_default(message, field_name))
