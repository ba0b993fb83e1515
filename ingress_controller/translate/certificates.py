"""TLS Secrets to certificates.

In: a Secret that ``spec.tls`` names. Out: a ``Certificate`` whose key belongs to its leaf and is one that Envoy takes;
``ValueError`` says which key of the Secret is wrong, and how; the caller names the Secret.
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from ingress_controller.model.certificate import Certificate
from ingress_controller.model.host import CATCH_ALL
from ingress_controller.model.private import PrivateBytes
from ingress_controller.objects.views import Secret

TYPE = "kubernetes.io/tls"
_SUPPORTED = "RSA of 2048 bits or more, P-256, P-384, P-521 and Ed25519"


def from_secret(secret: Secret) -> Certificate:
    """Read ``tls.crt`` and ``tls.key`` of a Secret of type kubernetes.io/tls."""
    if secret.type != TYPE:
        raise ValueError(f"must be of type {TYPE}, got {secret.type}")
    values = secret.values
    for key in ("tls.crt", "tls.key"):
        if not values.get(key):
            raise ValueError(f"has no {key}")
    return _certificate(values["tls.crt"], PrivateBytes(values["tls.key"]))


def _certificate(chain: bytes, key: PrivateBytes) -> Certificate:
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise ValueError("tls.crt is not a PEM certificate chain") from None
    try:
        private = serialization.load_pem_private_key(key.reveal(), password=None)
    except (ValueError, TypeError):
        raise ValueError("tls.key is not an unencrypted PEM private key") from None
    if _encoded(leaf.public_key()) != _encoded(private.public_key()):  # type: ignore[arg-type]
        raise ValueError("tls.key does not belong to the first certificate of tls.crt")
    if not _is_supported(leaf.public_key()):
        raise ValueError(f"tls.crt has a key that Envoy does not take, only {_SUPPORTED} are allowed")
    return Certificate(leaf.fingerprint(hashes.SHA256()).hex(), chain, key)


def dns_names(certificate: Certificate) -> frozenset[str]:
    """The names of a certificate that clients compare with a host's; the common name is none (RFC 9525, 2)."""
    try:
        extensions = x509.load_pem_x509_certificate(certificate.chain).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))


def covers(names: frozenset[str], host: str) -> bool:
    """Whether a certificate with these names is for a host; a wildcard stands for one label (RFC 9525, 6.3)."""
    return host in {CATCH_ALL, *names} or f"*.{host.partition('.')[2]}" in names


def _is_supported(key: CertificatePublicKeyTypes) -> bool:
    """Whether Envoy takes a certificate with this key."""
    match key:
        case rsa.RSAPublicKey():
            return key.key_size >= 2048
        case ec.EllipticCurvePublicKey():
            return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
        case _:
            return isinstance(key, ed25519.Ed25519PublicKey)


def _encoded(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
