"""What is delivered apart: certificates, authorities and the values of headers, as secrets.

In: a name and what stands under it. Out: a ``Secret`` in two encoded parts: the name, and the content, which hosts that
show the same certificate share.
"""

from functools import lru_cache

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    GenericSecret,
    Secret,
    TlsCertificate,
)

from ingress_controller.model.certificate import Certificate
from ingress_controller.model.private import PrivateBytes
from ingress_controller.model.secret import Authorities, Material


def encode(name: str, material: Material) -> tuple[bytes, ...]:
    """The encoding of the secret ``name``, which joined is one message."""
    return bytes(Secret(name=name)), _encode(material)


@lru_cache(maxsize=8)
def _encode(material: Material) -> bytes:
    match material:
        case Certificate():
            certificate = TlsCertificate(
                certificate_chain=DataSource(inline_bytes=material.chain),
                private_key=DataSource(inline_bytes=material.private_key.reveal()),
            )
            return bytes(Secret(tls_certificate=certificate))
        case Authorities():
            return bytes(Secret(validation_context=_validation(material)))
        case PrivateBytes():
            return bytes(Secret(generic_secret=GenericSecret(secret=DataSource(inline_bytes=material.reveal()))))


def _validation(authorities: Authorities) -> CertificateValidationContext:
    made = CertificateValidationContext(trusted_ca=DataSource(inline_bytes=authorities.certificates))
    if authorities.revoked:
        made.crl = DataSource(inline_bytes=authorities.revoked)
    return made
