"""For every setting: a text that is right and its value, a text that is wrong and what the error says."""

import base64
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretBytes, SecretStr

from ingress_controller.model.reference import ObjectRef
from ingress_controller.settings import Address, RedisStore, UnixSocket

EVERY_IPV4 = "0.0.0.0"  # noqa: S104 - nothing is bound here
SECRET = bytes(range(32))
SECRET_TEXT = base64.b64encode(SECRET).decode()


@dataclass(frozen=True)
class Case:
    right: str
    value: Any
    wrong: str
    message: str


def make_certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begins, begins + timedelta(days=9999))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_cases(folder: Path) -> dict[str, Case]:
    pem = make_certificate()
    (certificates := folder / "ca.pem").write_bytes(pem)
    (manifests := folder / "manifests").mkdir()
    (kubeconfig := folder / "kubeconfig").touch()
    (program := folder / "envoy").touch()
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    missing = str(folder / "missing")
    redis = "rediss://ann:hunter2@redis.example.com:6380/1"
    return {
        "name": Case("example.com/x", "example.com/x", "example.com", "must be DOMAIN/NAME"),
        "prefix": Case("in.example.com", "in.example.com", "in.example.com/", "must be a domain"),
        "namespaces": Case("a,b", ("a", "b"), "a,B", "must be names of Namespaces (letters a to z, digits, dashes)"),
        "kubeconfig": Case(str(kubeconfig), kubeconfig, missing, "must be a file that exists"),
        "update_status_from_service": Case("a/b", ObjectRef("Service", "a", "b"), "b", "must be NAMESPACE/NAME"),
        "allow_external_name_local": Case("true", True, "perhaps", "must be true or false, got 'perhaps'"),
        "manifests": Case(str(manifests), (manifests,), missing, "must be a folder that exists"),
        "http_address": Case(":81", Address(EVERY_IPV4, 81), "81", "must be HOST:PORT"),
        "https_address": Case("[::1]:444", Address("::1", 444), "[::1]:0", "must have a port from 1 to 65535"),
        "external_https_port": Case("8443", 8443, "0", "must be a port from 1 to 65535, got '0'"),
        "health_probe_bind_address": Case(
            "localhost:82", Address("127.0.0.1", 82), "web:82", "must name an IP address"
        ),
        "metrics_bind_address": Case("0", None, "127.0.0.1:65536", "must be HOST:PORT with a port up to 65535"),
        "webhook_bind_address": Case("0", None, "9443", "must be HOST:PORT"),
        "webhook_tls_cert_file": Case(str(certificates), certificates, missing, "must be a file that exists"),
        "webhook_tls_key_file": Case(str(certificates), certificates, missing, "must be a file that exists"),
        "envoy": Case(str(program), program, missing, "must be auto, none or the path of a program"),
        "upstream_ca_file": Case(
            str(certificates), certificates, str(kubeconfig), "must be a file of PEM certificates"
        ),
        "data_dir": Case(str(folder / "new"), folder / "new", "\0", "must be a path"),
        "xds_address": Case(
            "unix:/x.sock", UnixSocket(Path("/x.sock")), "10.0.0.1:80", "must be unix:PATH or a loopback"
        ),
        "shared_secret": Case(
            SECRET_TEXT, SecretBytes(SECRET), "aGVsbG8=", "must be base64 of exactly 32 bytes, got 5 bytes"
        ),
        "databroker_service_url": Case(redis, RedisStore(SecretStr(redis)), "redis:///0", "must be sqlite:///NAME"),
        "databroker_tls_ca": Case(
            base64.b64encode(pem).decode(), pem, "aGVsbG8=", "must be base64 of PEM certificates"
        ),
        "databroker_tls_ca_file": Case(str(certificates), certificates, os.devnull, "must be a file that exists"),
        "signing_key_file": Case(str(certificates), certificates, missing, "must be a file that exists"),
        "authenticate_service_url": Case(
            "https://Auth.example.com:444/",
            "https://auth.example.com:444",
            "http://auth.example.com",
            "must be https://HOST",
        ),
        "log_format": Case("json", "json", "xml", "must be text or json, got 'xml'"),
        "log_level": Case("debug", "debug", "loud", "must be debug, info, warning or error, got 'loud'"),
        "access_log": Case("off", "off", "\0", "must be a path"),
    }
