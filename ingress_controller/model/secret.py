"""What Envoy gets as a secret: delivered apart from what refers to it, by name.

In: Secrets that annotations name, found valid. Out: values that change on their own when a Secret is rotated, and that
neither a textual form nor Envoy's own dump of its configuration shows.
"""

from dataclasses import dataclass
from typing import TypeAlias

from ingress_controller.model.certificate import Certificate
from ingress_controller.model.private import PrivateBytes


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates that the certificates of others are verified with.

    Attributes:
        certificates: PEM, one or more.
        revoked: PEM of certificate revocation lists; empty for none.
    """

    certificates: bytes
    revoked: bytes = b""


Material: TypeAlias = Certificate | Authorities | PrivateBytes
"""A chain with its key, authorities, or the value of a header."""
