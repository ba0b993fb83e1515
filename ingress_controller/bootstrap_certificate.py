"""The certificate of hosts that have none yet.

In: the data directory. Out: a self-signed certificate, made once and kept there, so that a browser that was told to
accept it need not be told again after a restart. It proves nothing; it lets TLS begin before cert-manager is done.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from ingress_controller.model.certificate import Certificate
from ingress_controller.model.private import PrivateBytes
from ingress_controller.private_file import write_private

FILE = "bootstrap-certificate.pem"
_VALID = timedelta(days=3650)
_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self-signed bootstrap certificate")])


def load(directory: Path) -> Certificate:
    """The certificate in the directory; it is made there if it is absent or cannot be read."""
    path = directory / FILE
    try:
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
        leaf = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = make(key, datetime.now(UTC))
        write_private(path, (_private_pem(key) + _pem(leaf)).decode())
    return Certificate(leaf.fingerprint(hashes.SHA256()).hex(), _pem(leaf), PrivateBytes(_private_pem(key)))


def make(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """Sign a certificate for the key with itself."""
    builder = x509.CertificateBuilder().subject_name(_NAME).issuer_name(_NAME).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + _VALID)
    return builder.sign(key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
