"""Makes the message library fit for what is still made as messages, and for a quick start.

In: betterproto2 as installed. Out: the same library, whose messages are plain dataclasses and whose ``bytes(message)``
does not compute each field's default anew. As it comes, each of 700 classes of messages gets a validator when it is
imported, which is most of the program's start, and each message goes through one. What messages are made of was
checked when it was read, and mypy checks the rest; a test makes the messages of all golden cases with the validators.
``benchmarks/encode.py`` measures the difference, and a test holds the encodings equal.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import betterproto2
import pydantic.dataclasses

_defaults: dict[tuple[type, str], Any] = {}
_compute_default = betterproto2.Message._get_field_default  # noqa: SLF001 (there is no public way)
_validating = pydantic.dataclasses.dataclass


def install() -> None:
    """Replace the slow method, and the decorator of messages that are imported from then on."""
    pydantic.dataclasses.dataclass = _dataclass  # type: ignore[assignment]
    betterproto2.Message._get_field_default = _default  # type: ignore[assignment]  # noqa: SLF001


def _dataclass(**options: Any) -> Callable[[Any], Any]:
    """Pydantic's decorator, but for messages, which Python's makes: betterproto2 takes either."""

    def decorate(kind: Any) -> Any:
        if not issubclass(kind, betterproto2.Message):
            return _validating(**options)(kind)
        return dataclasses.dataclass(**{name: value for name, value in options.items() if name != "config"})(kind)

    return decorate


def _default(message: betterproto2.Message, field_name: str) -> Any:
    """The default of a field; it is only ever compared with, so one value serves all messages."""
    key = type(message), field_name
    try:
        return _defaults[key]
    except KeyError:
        return _defaults.setdefault(key, _compute_default(message, field_name))
