"""Keys and tokens, read again by another party's library."""

import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.errors import StartError
from ingress_controller.session import InvalidSessionError, Session, SigningKey, jwks, mint, signing_key, thumbprint

NOW = datetime(2026, 2, 3, 4, 5, 6, 700_000, tzinfo=UTC)
ISSUER = "https://authenticate.localhost"


def make_key(number: int = 1) -> SigningKey:
    return SigningKey.from_private(ec.derive_private_key(number, ec.SECP256R1()))


def make_session(**fields: Any) -> Session:
    return Session(**{"issuer": ISSUER, "host": "app.example.com", "email": "ann@example.com", **fields})


def verified(token: str, *keys: SigningKey) -> dict[str, Any]:
    """The claims, as PyJWT reads them with the published keys."""
    header = jwt.get_unverified_header(token)
    public = jwt.PyJWKSet.from_json(jwks(keys))[header["kid"]]
    return jwt.decode(token, public, algorithms=["ES256"], options={"verify_exp": False, "verify_aud": False})


def test_a_token_verifies_with_the_published_keys() -> None:
    key = make_key()
    session = make_session(
        host="App.Example.com.",
        email="Ann@Example.com",
        sub="user-1",
        groups=("admins", "staff"),
        claims={"team": "blue", "roles": ("a", "b")},
        sid="s1",
        ttl=timedelta(minutes=90, milliseconds=400),
    )
    token = mint(key, session, NOW)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": key.kid}
    claims = verified(token, make_key(2), key)
    told = verified(claims.pop("assertion"), key)
    assert len(told.pop("jti")) >= 22
    assert told == {
        "iss": "app.example.com",
        "aud": "app.example.com",
        "sub": "user-1",
        "email": "ann@example.com",
        "groups": ["admins", "staff"],
        "iat": 1770091506,
        "exp": 1770091506 + 5400,
    }
    assert claims == {
        "iss": ISSUER,
        "aud": ["app.example.com"],
        "sub": "user-1",
        "email": "ann@example.com",
        "groups": ["admins", "staff"],
        "sid": "s1",
        "iat": 1770091506,
        "exp": 1770091506 + 5400,
        "claims": {"team": "blue", "roles": ["a", "b"]},
    }


def test_claims_of_the_provider_replace_none_of_the_session() -> None:
    claims = verified(mint(make_key(), make_session(claims={"iss": "https://evil", "aud": "x"}), NOW), make_key())
    assert (claims["iss"], claims["claims"]) == (ISSUER, {"iss": "https://evil", "aud": "x"})


def test_the_user_id_is_the_address_where_there_is_none() -> None:
    assert verified(mint(make_key(), make_session(email="Ann@x.org"), NOW), make_key())["sub"] == "ann@x.org"


def test_every_session_has_an_id_of_its_own() -> None:
    first, second = (verified(mint(make_key(), make_session(), NOW), make_key())["sid"] for _ in range(2))
    assert first != second
    assert len(first) >= 22  # 128 bits


def test_another_key_does_not_verify() -> None:
    token = mint(make_key(), make_session(), NOW)
    other = jwt.PyJWKSet.from_json(jwks([make_key(2)])).keys[0]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, other, algorithms=["ES256"], audience="app.example.com")


def test_the_published_keys_hold_no_private_part_and_are_the_same_text_each_time() -> None:
    text = jwks([make_key(1), make_key(2)])
    assert text == jwks([make_key(1), make_key(2)])
    for key in json.loads(text)["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_the_key_is_named_by_its_thumbprint() -> None:
    # The key and its thumbprint in RFC 9449, 4.2 and 6.1.
    example = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    }
    assert thumbprint(example) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert make_key().kid == thumbprint(json.loads(jwks([make_key()]))["keys"][0])
    assert "private" not in repr(make_key())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": ""}, "host: must be a host name"),
        ({"host": "a.example.com:443"}, "host: must be a host name"),
        ({"host": "*.example.com"}, "host: must be a host name"),
        ({"host": "a..b"}, "host: must be a host name"),
        ({"host": "a.example.com\n"}, "host: must be a host name"),
        ({"host": "münchen.example"}, "host: must be a host name"),
        ({"host": "a" * 64}, "host: must be a host name"),
        ({"email": ""}, "email: must be one e-mail address"),
        ({"email": "ann"}, "email: must be one e-mail address"),
        ({"email": "a@b c@d"}, "email: must be one e-mail address"),
        ({"email": "a\0@b"}, "email: must not be empty, hold control characters"),
        ({"sub": "a\r\nx: y"}, "sub: must not be empty"),
        ({"groups": ("a", "")}, "group: must not be empty"),
        ({"groups": ("a\0b",)}, "group: must not be empty"),
        ({"groups": (" a",)}, "group: must not be empty"),
        ({"groups": ("a\udcff",)}, "group: must not be empty"),
        ({"claims": {"": "x"}}, "claim: must not be empty"),
        ({"claims": {"team": "x\ty"}}, "claim team: must not be empty"),
        ({"claims": {"team": ("x", "y\u2028")}}, "claim team: must not be empty"),
        ({"ttl": timedelta(0)}, "ttl: must be from one second"),
        ({"ttl": timedelta(milliseconds=999)}, "ttl: must be from one second"),
        ({"ttl": timedelta(days=-1)}, "ttl: must be from one second"),
        ({"ttl": timedelta(days=366)}, "ttl: must be from one second to 365 days"),
    ],
)
def test_a_session_that_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSessionError) as caught:
        mint(make_key(), make_session(**fields), NOW)
    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable()


@given(host=st.text(), email=st.text(), group=st.text(), claim=st.text(), value=st.text())
def test_any_text_is_signed_as_it_is_or_refused(host: str, email: str, group: str, claim: str, value: str) -> None:
    session = make_session(host=host, email=email, groups=(group,), claims={claim: value})
    try:
        token = mint(make_key(), session, NOW)
    except InvalidSessionError:
        return
    claims = verified(token, make_key())
    assert (claims["groups"], claims["claims"][claim], claims["iss"]) == ([group], value, ISSUER)


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    first = signing_key(tmp_path)
    assert signing_key(tmp_path).kid == first.kid
    assert [file.name for file in tmp_path.iterdir()] == ["signing-key.pem"]
    assert (tmp_path / "signing-key.pem").stat().st_mode & 0o777 == 0o600


def race(folder: Path, barrier: Barrier, kids: SimpleQueue[str]) -> None:
    barrier.wait(30)
    kids.put(signing_key(folder).kid)


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, kids = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=race, args=(tmp_path, barrier, kids)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = {kids.get() for _ in processes}
    assert found == {signing_key(tmp_path).kid}
    assert [file.name for file in tmp_path.iterdir()] == ["signing-key.pem"]


def make_pem(private: PrivateKeyTypes, form: PrivateFormat, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, form, encryption)


EC = ec.derive_private_key(7, ec.SECP256R1())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_of_ones_own(tmp_path: Path, form: PrivateFormat) -> None:
    (file := tmp_path / "key.pem").write_bytes(make_pem(EC, form))
    assert signing_key(tmp_path / "none", file) == SigningKey.from_private(EC)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (make_pem(rsa.generate_private_key(65537, 2048), PrivateFormat.PKCS8), "it holds a key of another kind"),
        (make_pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8), "it holds a key of another kind"),
        (make_pem(ec.generate_private_key(ec.SECP384R1()), PrivateFormat.PKCS8), "its curve is secp384r1"),
        (make_pem(ec.generate_private_key(ec.SECP256K1()), PrivateFormat.PKCS8), "its curve is secp256k1"),
        (make_pem(EC, PrivateFormat.PKCS8, b"x"), "must be an unencrypted EC P-256"),
        (EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "must be an unencrypted EC"),
        (EC.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), "must be an unencrypted EC P-256"),
        (make_pem(EC, PrivateFormat.PKCS8)[:100], "must be an unencrypted EC P-256"),
        (b"", "must be an unencrypted EC P-256"),
    ],
)
def test_a_key_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    (file := tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(StartError) as caught:
        signing_key(tmp_path, file)
    assert str(caught.value).startswith(f"--signing-key-file: {file} must be")
    assert message in str(caught.value)
    (tmp_path / "signing-key.pem").write_bytes(content)
    with pytest.raises(StartError, match=r"^--data-dir: .*signing-key.pem must be"):
        signing_key(tmp_path)


def test_a_key_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^--signing-key-file: .*none cannot be read: No such file"):
        signing_key(tmp_path, tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_a_data_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^--data-dir: .* cannot be made: No such file"):
        signing_key(tmp_path / "none")
