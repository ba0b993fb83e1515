"""Certificates as secrets.

In: a host's name and its certificate. Out: a ``Secret`` in two encoded parts: the name, and the certificate, which
hosts that show the same one share.
"""

from functools import lru_cache

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret, TlsCertificate

from ingress_controller.model.certificate import Certificate


def encode(name: str, certificate: Certificate) -> tuple[bytes, ...]:
    """The encoding of the secret ``name``, which joined is one message."""
    return bytes(Secret(name=name)), _encode(certificate)


@lru_cache(maxsize=8)
def _encode(certificate: Certificate) -> bytes:
    made = TlsCertificate(
        certificate_chain=DataSource(inline_bytes=certificate.chain),
        private_key=DataSource(inline_bytes=certificate.private_key.reveal()),
    )
    return bytes(Secret(tls_certificate=made))
