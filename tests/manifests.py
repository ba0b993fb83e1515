"""Manifests for feature tests, as text.

In: the few fields that a test cares about. Out: YAML documents (JSON is YAML) with everything else that is needed.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PREFIX = "ingress.pomerium.io"
PUBLIC = {"allow_public_unauthenticated_access": "true"}
SIGNED_IN = {"allow_any_authenticated_user": "true"}

Path = tuple[str, str, str]
"""A path, its pathType, and ``service:port`` where it leads."""

CLASS = json.dumps(
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {
            "name": "pomerium",
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
        },
        "spec": {"controller": "pomerium.io/ingress-controller"},
    }
)


def documents(*texts: str) -> str:
    """One file of several documents."""
    return "\n---\n".join(texts)


def make_ingress(
    name: str,
    host: str | Sequence[str],
    annotations: Mapping[str, str] = PUBLIC,
    *,
    paths: Sequence[Path] = (("/", "Prefix", "web:80"),),
    tls: Mapping[str, Sequence[str]] | None = None,
    namespace: str = "default",
    created: str | None = None,
    **spec: Any,
) -> str:
    """An Ingress whose hosts all have the same paths; ``tls`` is hosts by the name of their Secret."""
    hosts = [host] if isinstance(host, str) else host
    http = {"paths": [{"path": path, "pathType": kind, "backend": make_backend(to)} for path, kind, to in paths]}
    metadata = {
        "name": name,
        "namespace": namespace,
        "annotations": {f"{PREFIX}/{key}": value for key, value in annotations.items()},
    }
    return json.dumps(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata | ({"creationTimestamp": created} if created else {}),
            "spec": {
                "rules": [({"host": each} if each else {}) | {"http": http} for each in hosts],
                "tls": [{"secretName": secret, "hosts": list(names)} for secret, names in (tls or {}).items()],
                **spec,
            },
        }
    )


def make_backend(to: str) -> dict[str, Any]:
    """A backend from ``service:port``, the port by number or name."""
    service, _, port = to.partition(":")
    return {"service": {"name": service, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}


def make_service(name: str = "web", port: int = 80, namespace: str = "default", **spec: Any) -> str:
    metadata = {"name": name, "namespace": namespace}
    ports = [{"name": "http", "port": port}]
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports, **spec}})


def make_slice(port: int, service: str = "web", namespace: str = "default", *, ready: bool = True) -> str:
    """The EndpointSlice of a Service whose one pod is 127.0.0.1 at ``port``."""
    return json.dumps(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service}-1",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
            "ports": [{"name": "http", "port": port}],
        }
    )


def make_web(port: int, name: str = "web", namespace: str = "default") -> str:
    """A Service on port 80, and its one endpoint."""
    return documents(make_service(name, namespace=namespace), make_slice(port, name, namespace))


def make_secret(name: str, certificate: bytes, key: bytes, namespace: str = "default") -> str:
    return make_secret_of({"tls.crt": certificate, "tls.key": key}, name, "kubernetes.io/tls", namespace)


def make_secret_of(data: Mapping[str, bytes], name: str, kind: str = "Opaque", namespace: str = "default") -> str:
    """A Secret of any type."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": kind,
            "data": {field: base64.b64encode(value).decode() for field, value in data.items()},
        }
    )


def make_opaque(name: str, values: Mapping[str, str], namespace: str = "default") -> str:
    """A Secret of type Opaque."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }
    )


def make_policy(*allow: Mapping[str, Any], deny: Iterable[Mapping[str, Any]] = ()) -> dict[str, str]:
    """The annotations of a policy that admits who meets one of these criteria."""
    rules: dict[str, Any] = {"allow": {"or": list(allow)}}
    if denied := list(deny):
        rules["deny"] = {"or": denied}
    return {"policy": json.dumps([rules])}


def make_certificate(*names: str) -> tuple[bytes, bytes]:
    """A self-signed certificate, an authority of its own, and its key; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=1),
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
