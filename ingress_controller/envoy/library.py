"""Makes the message library fit for what is still made as messages: listeners, secrets and unusual settings.

In: betterproto2 as installed. Out: the same library, whose ``bytes(message)`` neither builds a validator for each
message that it encodes nor computes each field's default anew. Messages are still validated when they are made.
``benchmarks/encode.py`` measures the difference, and a test holds the encodings equal.
"""

from typing import Any

import betterproto2

_defaults: dict[tuple[type, str], Any] = {}
_compute_default = betterproto2.Message._get_field_default  # noqa: SLF001 (there is no public way)


def install() -> None:
    """Replace the slow methods. From then on, do not give a finished message a value of a wrong type."""
    betterproto2.Message._validate = _trust  # type: ignore[assignment]  # noqa: SLF001
    betterproto2.Message._get_field_default = _default  # type: ignore[assignment]  # noqa: SLF001


def _trust(_: betterproto2.Message) -> None:
    """A message was validated when it was made."""


def _default(message: betterproto2.Message, field_name: str) -> Any:
    """The default of a field; it is only ever compared with, so one value serves all messages."""
    key = type(message), field_name
    try:
        return _defaults[key]
    except KeyError:
        return _defaults.setdefault(key, _compute_default(message, field_name))
