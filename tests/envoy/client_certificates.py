"""Certificates of clients, for tests: one that the authority vouches for, one that copies it, one that is over.

In: nothing. Out: an authority, and clients with their fingerprint and the TLS context of a client that shows it.
"""

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ingress_controller.policy.evaluate import ShownCertificate

_NAMES = (x509.DNSName("ann.example.com"), x509.UniformResourceIdentifier("spiffe://example.com/ann"))
_NOW = datetime.now(UTC)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Client:
    """A client and what it shows; ``shown`` is what a policy sees of it."""

    context: ssl.SSLContext
    shown: ShownCertificate | None


@dataclass(frozen=True)
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def make_authority(name: str = "authority") -> Signed:
    """An authority that signs itself."""
    return _make(name, None, (), _NOW + 2 * _DAY)


def make_certificate(authority: Signed, names: Sequence[x509.GeneralName] = _NAMES, *, expired: bool = False) -> Signed:
    """A certificate with the same names, whoever signs it."""
    return _make("ann", authority, names, _NOW - _DAY if expired else _NOW + _DAY)


def make_client(signed: Signed | None = None, *, valid: bool = False) -> Client:
    """A client that shows a certificate, or none, and trusts every server."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if signed is None:
        return Client(context, None)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "client.pem")
        file.write_text(signed.pem + signed.key_pem)
        context.load_cert_chain(file)
    return Client(context, ShownCertificate(signed.certificate.fingerprint(hashes.SHA256()).hex(), valid))


def _make(name: str, issuer: Signed | None, names: Sequence[x509.GeneralName], end: datetime) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - 3 * _DAY)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
