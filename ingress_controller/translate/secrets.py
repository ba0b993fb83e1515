"""Secrets that annotations name.

In: the names that an Ingress gives, and the store. Out: ``Named``: what each Secret holds, under the name by which
Envoy asks for it, or problems that name the annotation, the Secret and its key. A Secret is looked for in the namespace
of the Ingress and nowhere else.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

from cryptography import x509

from ingress_controller.annotations.headers import header_name, header_text, response_header_name
from ingress_controller.annotations.settings import Headers, SecretNames
from ingress_controller.annotations.table import TABLE
from ingress_controller.model.private import PrivateBytes
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.secret import Authorities, Material
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, Secret
from ingress_controller.translate import certificates

_OPAQUE = "Opaque"
_SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 (the name of a type)
# What cryptography takes for a certificate, but is none that others can be verified with.
_NO_AUTHORITY = "ca.crt has a certificate that is no authority (its basic constraints do not say CA)"


@dataclass(frozen=True, slots=True)
class Named:
    """What the annotations of one Ingress name.

    Attributes:
        materials: by the name under which Envoy asks for it.
        names: for each field of ``SecretNames`` that is set, those names by what they are: headers by the header's
            name, everything else under the empty text.
        problems: if there is any, nothing of the Ingress may be served.
    """

    materials: Mapping[str, Material]
    names: Mapping[str, Mapping[str, str]]
    problems: tuple[Problem, ...]

    def the(self, field: str) -> str | None:
        """The one name of a field that is no set of headers; ``None`` if the annotation is absent."""
        return self.names.get(field, {}).get("")

    def headers(self, field: str) -> tuple[tuple[str, str], ...]:
        """The headers of a field, each with the name of its value."""
        return tuple(self.names.get(field, {}).items())


def references(names: SecretNames, namespace: str) -> Iterator[ObjectRef]:
    """The Secrets that are named."""
    for field in fields(names):
        if name := getattr(names, field.name):
            yield ObjectRef(Secret.KIND, namespace, name)


def resolve(ingress: Ingress, names: SecretNames, headers: Headers, store: Store, prefix: str) -> Named:
    """Read every Secret that is named."""
    materials: dict[str, Material] = {}
    found: dict[str, dict[str, str]] = {}
    problems: list[Problem] = []
    taken = _taken(headers, names)
    for field, read in _READERS.items():
        name = getattr(names, field)
        if not name:
            continue
        ref = ObjectRef(Secret.KIND, ingress.metadata.namespace, name)
        secret = store.get(Secret, ref.namespace, ref.name)
        key = f"{prefix}/{_ANNOTATIONS[field]}"
        if secret is None:
            problems.append(_problem(ingress, key, "secret-not-found", f"{ref} not found"))
            continue
        try:
            parts = read(secret)
            _refuse_overlap(parts, taken.get(field, frozenset()))
        except ValueError as error:
            problems.append(_problem(ingress, key, "invalid-secret", f"{ref}: {error}"))
            continue
        found[field] = {part: _name(field, ref, part) for part in parts}
        materials |= {_name(field, ref, part): material for part, material in parts.items()}
    return Named(materials, found, tuple(problems))


def _request_headers(secret: Secret) -> Mapping[str, Material]:
    return _headers(secret, header_name)


def _response_headers(secret: Secret) -> Mapping[str, Material]:
    return _headers(secret, response_header_name)


def _headers(secret: Secret, check: Callable[[str], str]) -> Mapping[str, Material]:
    """Each key is a header, each value is sent as it is."""
    _expect_type(secret, _OPAQUE)
    if not secret.values:
        raise ValueError("has no keys, expected one for each header")
    return {check(name): _header_value(name, value) for name, value in secret.values.items()}


def _header_value(name: str, value: bytes) -> PrivateBytes:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name}: a header's value must be UTF-8 text") from None
    if not text.strip():
        raise ValueError(f"{name}: the value is empty")
    if text.endswith("\n"):
        raise ValueError(f"{name}: the value ends with a line break, which a header cannot have")
    header_text(name, text)
    return PrivateBytes(value)


def _client_certificate(secret: Secret) -> Mapping[str, Material]:
    return {"": certificates.from_secret(secret)}


def _authorities(secret: Secret) -> Mapping[str, Material]:
    """``ca.crt`` and, if there is one, ``ca.crl``; the type of the Secret does not matter."""
    pem = secret.values.get("ca.crt")
    if not pem:
        raise ValueError("has no ca.crt")
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError("ca.crt is not PEM certificates") from None
    if not all(_is_authority(certificate) for certificate in found):
        raise ValueError(_NO_AUTHORITY)
    return {"": Authorities(pem, _revocations(secret))}


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _revocations(secret: Secret) -> bytes:
    pem = secret.values.get("ca.crl", b"")
    try:
        if pem:
            x509.load_pem_x509_crl(pem)
    except ValueError:
        raise ValueError("ca.crl is not a PEM certificate revocation list") from None
    return pem


def _service_account_token(secret: Secret) -> Mapping[str, Material]:
    _expect_type(secret, _SERVICE_ACCOUNT_TOKEN)
    token = secret.values.get("token")
    if not token:
        raise ValueError("has no token")
    if not token.isascii() or not token.decode().isprintable() or b" " in token:
        raise ValueError("token is not a token: it has characters that no token has")
    return {"": PrivateBytes(b"Bearer " + token)}


def _expect_type(secret: Secret, expected: str) -> None:
    if secret.type != expected:
        raise ValueError(f"must be of type {expected}, got {secret.type}")


_READERS: Mapping[str, Callable[[Secret], Mapping[str, Material]]] = {
    "set_request_headers": _request_headers,
    "set_response_headers": _response_headers,
    "tls_client": _client_certificate,
    "tls_custom_ca": _authorities,
    "tls_downstream_client_ca": _authorities,
    "service_account_token": _service_account_token,
}
"""How the Secret of each field of ``SecretNames`` is read."""

_ANNOTATIONS = {field: row.name for row in TABLE for group, field in (row.lands,) if group == "secrets"}


def _taken(headers: Headers, names: SecretNames) -> Mapping[str, frozenset[str]]:
    """The headers, in lower case, that annotations beside a Secret set, rewrite or remove already."""
    requests = [*(name for name, _ in headers.set_request), *headers.remove_request]
    if names.service_account_token:
        requests.append("authorization")
    responses = [name for name, _ in headers.set_response.values]
    responses += [rewrite.header for rewrite in headers.rewrite_response]
    return {
        "set_request_headers": frozenset(map(str.lower, requests)),
        "set_response_headers": frozenset(map(str.lower, responses)),
    }


def _refuse_overlap(headers: Mapping[str, Material], taken: frozenset[str]) -> None:
    """Refuse a header that is set twice, compared without case."""
    seen = set(taken)
    for name in headers:
        if name.lower() in seen:
            raise ValueError(f"{name}: another key or annotation sets, rewrites or removes this header too")
        seen.add(name.lower())


def _name(field: str, ref: ObjectRef, part: str) -> str:
    """The name under which Envoy asks for a value.

    A client's server name is a name that Envoy asks for too, on demand. It has at most 255 bytes, and this has more.
    """
    return f"{field}/{ref.namespace}/{ref.name}/{part}".ljust(_LONGER_THAN_A_SERVER_NAME, "/")


_LONGER_THAN_A_SERVER_NAME = 256


def _problem(ingress: Ingress, key: str, reason: Reason, message: str) -> Problem:
    text = f"parsing ingress: annotations: {key}: {message}"
    return Problem(ingress.ref, f"metadata.annotations[{key}]", reason, text)
