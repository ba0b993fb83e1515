"""Sessions: who a user is, as a token that Envoy checks by itself.

In: a private key and what is known of a user. Out: a signed token for one host, and the public keys for Envoy's
``jwt_authn`` filter. A token's texts reach headers, policies and Lua in Envoy, so what could be read in two ways
there (control characters, surrounding spaces, empty groups) is refused here.
"""

import hashlib
import json
import os
import re
import secrets
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from ingress_controller.errors import StartError

KEY_FILE = "signing-key.pem"
"""The name of the key that is made in the data directory."""

HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")

LONGEST = timedelta(days=365)
"""How long a session may last at most."""

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An EC P-256 private key, and its name: the thumbprint of RFC 7638."""

    private: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)
    kid: str

    @classmethod
    def from_private(cls, private: ec.EllipticCurvePrivateKey) -> "SigningKey":
        """The key with its name, which is the same wherever the key is loaded."""
        return cls(private, thumbprint(public_jwk(private)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A user's session on one host.

    Attributes:
        issuer: the sign-in service, ``https://...``; Envoy accepts no other.
        host: where the session counts; made lower case, a final dot is dropped.
        email: made lower case, as policies compare it.
        sub: the user's id; the e-mail address where the identity provider gave none.
        groups: names of groups that policies use.
        claims: the identity provider's own claims by name, a text or several; kept apart from the session's.
        sid: names this session, for revocation; random.
        ttl: how long it lasts, from a second to a year.
    """

    issuer: str
    host: str
    email: str
    sub: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    sid: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    ttl: timedelta = timedelta(hours=1)


class InvalidSessionError(ValueError):
    """A session that must not be signed; the message names the field, what was wrong and what is allowed."""


def mint(key: SigningKey, session: Session, now: datetime) -> str:
    """Sign a session as a JWT (ES256) that begins ``now``, an aware time.

    Raises:
        InvalidSessionError: a field has a value that no session may have.
    """
    if mistake := next(mistakes(session), None):
        raise InvalidSessionError(mistake)
    return _sign(key, claims_of(session, now) | {"assertion": _sign(key, assertion_of(session, now))})


def assertion_of(session: Session, now: datetime) -> dict[str, object]:
    """What upstreams are told of the user, for them to verify and to no other use.

    Its issuer is the host itself, which Envoy accepts no session from: the owner of an upstream cannot use it as one.
    """
    claims = claims_of(session, now)
    host = session.host.lower().removesuffix(".")
    told = {name: claims[name] for name in ("sub", "email", "groups", "iat", "exp")}
    return {"iss": host, "aud": host, **told, "jti": secrets.token_urlsafe(16)}


def _sign(key: SigningKey, claims: dict[str, object]) -> str:
    return jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": key.kid})


def claims_of(session: Session, now: datetime) -> dict[str, object]:
    """The token's content, in the form that policies compare: lists where several are possible, else text."""
    email = session.email.lower()
    begins = int(now.timestamp())
    return {
        "iss": session.issuer,
        "aud": [session.host.lower().removesuffix(".")],
        "sub": session.sub or email,
        "email": email,
        "groups": list(session.groups),
        "sid": session.sid,
        "iat": begins,
        "exp": begins + int(session.ttl.total_seconds()),
        "claims": {name: value if isinstance(value, str) else list(value) for name, value in session.claims.items()},
    }


def mistakes(session: Session) -> Iterator[str]:
    """What keeps a session from being signed: field (``claim NAME`` for a claim), what is wrong, what is allowed."""
    if not HOST.fullmatch(host := session.host.lower().removesuffix(".")):
        yield f"host: must be a host name without port or wildcard, got {host!r}"
    if not EMAIL.fullmatch(session.email):
        yield f"email: must be one e-mail address, got {session.email!r}"
    if not timedelta(seconds=1) <= session.ttl <= LONGEST:
        yield f"ttl: must be from one second to {LONGEST.days} days, got {session.ttl}"
    for where, text in texts(session):
        if not clean(text):
            yield f"{where}: must not be empty, hold control characters, or begin or end with a space, got {text!r}"


def texts(session: Session) -> Iterator[tuple[str, str]]:
    """Every text that a session carries, with the field it is in."""
    yield "email", session.email
    yield "sub", session.sub or session.email
    yield "sid", session.sid
    yield from (("group", group) for group in session.groups)
    for name, value in session.claims.items():
        yield "claim", name
        yield from ((f"claim {name}", text) for text in ((value,) if isinstance(value, str) else value))


def clean(text: str) -> bool:
    """Whether everybody reads the text alike: not empty, no surrounding space, control or separator characters."""
    return (
        bool(text)
        and text == text.strip()
        and not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text)
    )


def public_jwk(private: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """The public key's members: kty, crv, x, y (RFC 7518, 6.2.1)."""
    return dict(ECAlgorithm.to_jwk(private.public_key(), as_dict=True))


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The thumbprint of an EC key (RFC 7638, 3.2): of the required members alone, in this order, without spaces."""
    members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return jwt.utils.base64url_encode(hashlib.sha256(members.encode()).digest()).decode()


def jwks(keys: Iterable[SigningKey]) -> str:
    """The public keys as a JSON Web Key Set: ``local_jwks.inline_string`` of Envoy; equal keys, equal text."""
    return json.dumps(
        {"keys": [{**public_jwk(key.private), "kid": key.kid, "alg": "ES256", "use": "sig"} for key in keys]},
        sort_keys=True,
        separators=(",", ":"),
    )


def signing_key(data_dir: Path, file: Path | None = None) -> SigningKey:
    """The key of ``--signing-key-file``, or else the one kept in the data directory, made on first use.

    Raises:
        StartError: the file cannot be read or made, or holds no EC P-256 private key.
    """
    if file is not None:
        return load_key(file, "--signing-key-file")
    kept = data_dir / KEY_FILE
    try:
        if not kept.exists():
            make_key_file(kept)
    except OSError as error:
        raise StartError(f"--data-dir: {kept} cannot be made: {error.strerror}") from error
    return load_key(kept, "--data-dir")


def make_key_file(path: Path) -> None:
    """Write a new key with mode 0600, unless another process has done so by then.

    A hard link appears whole or not at all and never replaces a file, so that of several processes that start
    together one makes the key and all use it.
    """
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as draft:
        draft.write(pem)
        draft.flush()
        os.fsync(draft.fileno())
        try:
            path.hardlink_to(draft.name)
        except FileExistsError:
            return


def load_key(path: Path, flag: str) -> SigningKey:
    """Read an unencrypted EC P-256 private key in PEM (PKCS #8 or SEC 1); ``flag`` is what an error names.

    Raises:
        StartError: the file cannot be read or holds something else.
    """
    wanted = "must be an unencrypted EC P-256 private key in PEM (`openssl ecparam -name prime256v1 -genkey -noout`)"
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StartError(f"{flag}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message may quote the file.
        raise StartError(f"{flag}: {path} {wanted}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise StartError(f"{flag}: {path} {wanted}, it holds a key of another kind")
    if not isinstance(private.curve, ec.SECP256R1):
        raise StartError(f"{flag}: {path} {wanted}, its curve is {private.curve.name}")
    return SigningKey.from_private(private)
