"""A certificate that a host serves.

In: a TLS Secret that was found valid. Out: what Envoy's secret for the host is made of.
"""

from dataclasses import dataclass

from ingress_controller.model.private import PrivateBytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain and its key, both PEM, leaf first.

    ``fingerprint`` is the SHA-256 of the leaf, in hexadecimal: it stands for the certificate where the key must not.
    """

    fingerprint: str
    chain: bytes
    private_key: PrivateBytes
