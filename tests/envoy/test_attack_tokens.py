"""Attacks by forged tokens, and by sessions of other hosts; on a real Envoy.

Tests of one kind of attack have one number.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ingress_controller import session
from tests.manifests import CLASS, SIGNED_IN, documents, make_ingress, make_web
from tests.running import Running, running
from tests.upstream import upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "app.example.test"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        hosts = (APP, "example.test", "other.test", "*.wild.test")
        ingresses = (make_ingress(f"i{number}", host, SIGNED_IN) for number, host in enumerate(hosts))
        every = make_ingress("every", "", SIGNED_IN | {"subtle_allow_empty_host": "true"})
        async with running({"all.yaml": documents(CLASS, make_web(web.port), *ingresses, every)}) as c:
            yield c


def payload(**changed: object) -> dict[str, object]:
    whole = {"iss": "https://authenticate.localhost", "aud": [APP], "sub": "ann", "email": "ann@example.com",
             "groups": [], "sid": "s", "iat": int(time.time()), "exp": int(time.time()) + 600}  # fmt: skip
    return whole | changed


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def own_key(c: Running) -> session.SigningKey:
    return session.signing_key(c.settings.data_dir)


async def status(c: Running, token: str, host: str = APP) -> int:
    in_cookie = (await c.get(host, session=token)).status
    in_header = (await c.get(host, headers=[("authorization", f"Bearer Pomerium-{token}")])).status
    assert in_cookie == in_header
    return in_cookie


async def test_genuine_token_made_the_same_way_is_accepted(c: Running) -> None:
    key = own_key(c)
    assert await status(c, jwt.encode(payload(), key.private, "ES256", {"kid": key.kid})) == 200


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "ES256"])
async def test_attack_06_no_signature(c: Running, algorithm: str) -> None:
    head = {"alg": algorithm, "typ": "JWT", "kid": own_key(c).kid}
    for signature in ("", "AA", base64.urlsafe_b64encode(bytes(64)).decode().rstrip("=")):
        assert await status(c, f"{encoded(head)}.{encoded(payload())}.{signature}") == 401


async def test_attack_06_public_key_as_a_shared_secret(c: Running) -> None:
    key = own_key(c)
    public = key.private.public_key()
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwks = session.jwks([key]).encode()
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        signed = f"{encoded({'alg': algorithm, 'typ': 'JWT', 'kid': key.kid})}.{encoded(payload())}"
        for secret in (pem, der, point, jwks, b"", key.kid.encode()):
            mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), digest)).decode().rstrip("=")
            assert await status(c, f"{signed}.{mac}") == 401


async def test_attack_06_key_named_by_the_token(c: Running) -> None:
    own, stranger = own_key(c), ec.generate_private_key(ec.SECP256R1())
    jwk = session.public_jwk(stranger)
    heads: tuple[dict[str, Any], ...] = (
        {"jwk": jwk},
        {"jwk": jwk, "kid": own.kid},
        {"jku": "https://evil.test/jwks.json"},
        {"jku": "https://evil.test/jwks.json", "kid": own.kid},
        {"x5u": "https://evil.test/c.pem", "kid": own.kid},
        {"x5c": ["AAAA"], "kid": own.kid},
        {"kid": own.kid},
        {"kid": "../../etc/passwd"},
        {"kid": ""},
        {},
    )
    for head in heads:
        assert await status(c, jwt.encode(payload(), stranger, "ES256", head)) == 401


async def test_attack_06_other_algorithms(c: Running) -> None:
    kid = {"kid": own_key(c).kid}
    for key, algorithm in (
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
    ):
        assert await status(c, jwt.encode(payload(), key, algorithm, kid)) == 401


async def test_attack_06_unknown_key_id_and_critical_extension(c: Running) -> None:
    key = own_key(c)
    assert await status(c, jwt.encode(payload(), key.private, "ES256", {"kid": "another"})) == 401
    other_extensions = {"kid": key.kid, "crit": ["x"], "x": True}
    # The signature is genuine: nobody but the controller can write such a token.
    assert await status(c, jwt.encode(payload(), key.private, "ES256", other_extensions)) in {200, 401}


async def test_attack_06_changed_token(c: Running) -> None:
    key = own_key(c)
    head, body, signature = jwt.encode(payload(), key.private, "ES256", {"kid": key.kid}).split(".")
    root = encoded(payload(email="root@example.com", groups=["admin"]))
    raw = base64.urlsafe_b64decode(f"{signature}==")
    malleable = raw[:32] + (ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    for token in (
        f"{head}.{root}.{signature}",
        f"{head}.{body}.{signature}.{signature}",
        f"{head}.{body}",
        f"{head}..{signature}",
        f".{body}.{signature}",
        f"{head}.{body}.{base64.urlsafe_b64encode(raw[:63]).decode()}",
        f"{head}.{body}.{base64.urlsafe_b64encode(bytes(64)).decode().rstrip('=')}",
        f"{head}.{body}.{base64.urlsafe_b64encode(raw[::-1]).decode().rstrip('=')}",
        f"{head}.{root}.{base64.urlsafe_b64encode(malleable).decode().rstrip('=')}",
        "." * 10,
        "a" * 20_000,
    ):
        assert (await c.get(APP, session=token)).status == 401


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256: ``(r, n - s)`` is a signature as good as ``(r, s)``, so only the content counts."""


AUDIENCES: tuple[object, ...] = (
    ["other.test"],
    ["example.test"],
    [f".{APP}"],
    [f"*.{APP.partition('.')[2]}"],
    ["*"],
    [APP.upper()],
    [f"{APP}."],
    [f"{APP}:443"],
    [f"https://{APP}"],
    [f"x{APP}"],
    [f"{APP}x"],
    [[APP]],
    [{"host": APP}],
    {"0": APP},
    APP,
    [],
    None,
    True,
    [None],
    [""],
)


@pytest.mark.parametrize("audience", AUDIENCES, ids=repr)
async def test_attack_09_session_is_for_its_host_alone(c: Running, audience: object) -> None:
    key = own_key(c)
    token = jwt.encode(payload(aud=audience), key.private, "ES256", {"kid": key.kid})
    assert (await c.get(APP, session=token)).status == 401


@pytest.mark.parametrize("host", ["a.wild.test", "unclaimed.test"])
async def test_attack_09_session_for_a_wildcard_is_for_one_host_too(c: Running, host: str) -> None:
    key = own_key(c)
    wrong: tuple[object, ...] = (
        ["*.wild.test"],
        ["*"],
        ["wild.test"],
        ["b.wild.test"],
        [host.upper()],
        host,
        f"x{host}x",
        {host: 1},
        [[host]],
        [],
    )
    for audience in wrong:
        token = jwt.encode(payload(aud=audience), key.private, "ES256", {"kid": key.kid})
        async with c.connect(host) as connection:
            for written in (host, host.upper(), f"{host}:99"):
                answer = await connection.get(written, "/", [("cookie", f"__Host-pomerium={token}")])
                assert answer.status == 401, (audience, written)
    assert (await c.get(host, session=c.mint(host))).status == 200


async def test_attack_09_session_of_a_parent_or_sibling(c: Running) -> None:
    for minted, asked in (
        (APP, "example.test"),
        ("example.test", APP),
        ("other.test", APP),
        ("a.wild.test", "b.wild.test"),
    ):
        assert await status(c, c.mint(minted), asked) == 401
