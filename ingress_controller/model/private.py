"""Bytes that must not be seen.

In: keys and secret values. Out: a value that compares and hashes by content, but whose every textual form is
``[redacted]``, so that printing or logging a model value never leaks one.
"""

from dataclasses import dataclass
from typing import Final

REDACTED: Final = "[redacted]"
"""What is shown in place of private bytes."""


@dataclass(frozen=True, slots=True, repr=False)
class PrivateBytes:
    """Secret bytes. Read ``reveal()`` only where they are encoded for Envoy."""

    _value: bytes

    def __repr__(self) -> str:
        """Never the value."""
        return REDACTED

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._value
