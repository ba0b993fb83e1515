"""Hosts that ask clients for a certificate; on a real Envoy.

Tests with a number are about one kind of attack: a certificate shown for one host, a request for another.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.envoy.client_certificates import Client, Signed, make_authority, make_certificate, make_client
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_authorities, make_ingress, make_policy, make_web
from tests.running import Running, running
from tests.upstream import tcp_upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST, SECOND = make_authority("first"), make_authority("second")
ANN = make_certificate(FIRST)
CLIENTS = {
    "valid": make_client(ANN, valid=True),
    "none": make_client(),
    "of another authority": make_client(make_certificate(SECOND)),
    "of an authority of the same name": make_client(make_certificate(make_authority("first"))),
    "of nobody": make_client(make_authority("ann")),
    "expired": make_client(make_certificate(FIRST, expired=True)),
}
INVALID = [name for name in CLIENTS if name != "valid"]
CA, OTHER_CA = ({"tls_downstream_client_ca_secret": name} for name in ("first", "second"))
SHOWN, OTHER, OPEN, WILD, MIXED = "shown.test", "other.test", "open.test", "a.wild.test", "mixed.test"
TUNNEL = [("", "ImplementationSpecific", "web:80")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    async with upstream() as web:
        objects = documents(
            CLASS,
            make_web(web.port),
            make_authorities("first", FIRST.pem),
            make_authorities("second", SECOND.pem),
            make_ingress("shown", SHOWN, PUBLIC | CA),
            make_ingress("other", OTHER, PUBLIC | OTHER_CA),
            make_ingress("open", OPEN),
            make_ingress("wild", "*.wild.test", PUBLIC | CA),
            make_ingress("exact", "exact.wild.test", PUBLIC | OTHER_CA),
            make_ingress("free", "free.wild.test"),
            make_ingress("strict", MIXED, SIGNED_IN | CA, paths=[("/strict", "Prefix", "web:80")]),
            make_ingress("loose", MIXED, PUBLIC, paths=[("/loose", "Prefix", "web:80")]),
        )
        async with running({"all.yaml": objects}) as c:
            yield c


async def status(c: Running, host: str, client: Client, server_name: str = "", target: str = "/") -> int:
    async with c.connect(server_name or host, client.context) as connection:
        return (await connection.get(host, target)).status


@pytest.mark.parametrize("host", [SHOWN, WILD])
async def test_valid_certificate_is_let_through(c: Running, host: str) -> None:
    async with c.connect(host, CLIENTS["valid"].context) as connection:
        for form in (host, host.upper(), f"{host}:99", f"{host}."):
            assert (await connection.get(form)).status == 200
    async with c.connect_http2(host.title(), CLIENTS["valid"].context) as connection2:
        assert (await connection2.get(host)).status == 200


@pytest.mark.parametrize("client", INVALID)
@pytest.mark.parametrize("host", [SHOWN, WILD])
async def test_attack_14_no_valid_certificate_is_denied(c: Running, host: str, client: str) -> None:
    async with c.connect(host, CLIENTS[client].context) as connection:
        answer = await connection.get(host)
        assert answer.status == 403
        assert "invalid_client_certificate" in answer.json["reason"]
        for form in (host.upper(), f"{host}:99"):
            assert (await connection.get(form)).status == 403
    async with c.connect_http2(host, CLIENTS[client].context) as connection2:
        assert (await connection2.get(host)).status == 403


async def test_attack_14_certificate_does_not_stand_for_a_session(c: Running) -> None:
    async with c.connect(MIXED, CLIENTS["valid"].context) as connection:
        assert (await connection.get(MIXED, "/strict")).status == 401
        token = [("authorization", f"Bearer Pomerium-{c.mint(MIXED)}")]
        assert (await connection.get(MIXED, "/strict", token)).status == 200
    async with c.connect(MIXED) as connection:
        assert (await connection.get(MIXED, "/strict", token)).status == 403


ASKED = [SHOWN, OTHER, WILD, "b.wild.test", "exact.wild.test", MIXED]
NAMES = [*ASKED, OPEN, "free.wild.test", "x.y.wild.test", "127.0.0.1"]


@pytest.mark.parametrize("host", ASKED)
@pytest.mark.parametrize("server_name", NAMES)
@pytest.mark.parametrize("client", ["valid", "of another authority", "none"])
async def test_attack_14_connection_of_another_host_is_misdirected(
    c: Running, host: str, server_name: str, client: str
) -> None:
    if host == server_name:
        return
    target = "/loose" if host == MIXED else "/"
    async with c.connect(server_name, CLIENTS[client].context) as connection:
        for form in (host, host.upper(), f"{host}:99", f"{host}."):
            answer = await connection.get(form, target)
            assert (answer.status, answer.json["reason"]) == (421, "misdirected request")
        assert (await connection.get(host, "/.pomerium/")).status == 421
        assert (await connection.get(OPEN)).status == 200


async def test_attack_14_shared_http2_connection(c: Running) -> None:
    """Browsers share a connection among hosts of one certificate and address: the other hosts try again elsewhere."""
    async with c.connect_http2(OPEN, CLIENTS["valid"].context) as connection:
        for host, wanted in ((OPEN, 200), (SHOWN, 421), (OPEN, 200), (WILD, 421), ("free.wild.test", 200)):
            assert (await connection.get(host)).status == wanted
    async with c.connect_http2(SHOWN, CLIENTS["valid"].context) as connection:
        for host, wanted in ((SHOWN, 200), (OTHER, 421), (SHOWN, 200), (OPEN, 200)):
            assert (await connection.get(host)).status == wanted


async def test_attack_14_session_of_tls_is_not_resumed(c: Running) -> None:
    """A resumed one would show no certificate, so none is: neither to go round the check nor to fail it."""
    context = make_client(ANN).context

    def visit(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", c.settings.https_address.port)) as plain,
            context.wrap_socket(plain, server_hostname=SHOWN, session=session) as tls,
        ):
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {SHOWN}\r\nConnection: close\r\n\r\n".encode())
            assert tls.recv(12) == b"HTTP/1.1 200"
            assert not tls.session_reused
            return tls.session

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = context.maximum_version = version
        session = await asyncio.to_thread(visit, None)
        assert session is None or not session.has_ticket
        await asyncio.to_thread(visit, session)


async def test_ingress_without_authorities_is_served_on_the_same_host(c: Running) -> None:
    for client in CLIENTS.values():
        assert await status(c, MIXED, client, target="/loose") == 200


async def test_certificate_in_a_policy(c: Running) -> None:
    ann, bob = make_client(ANN), make_client(make_certificate(FIRST))
    assert CLIENTS["valid"].shown
    mine = make_policy({"client_certificate": {"fingerprint": CLIENTS["valid"].shown.fingerprint}})
    await c.write("mine.yaml", make_ingress("mine", "mine.test", mine | CA))
    assert [await status(c, "mine.test", client) for client in (ann, bob, make_client())] == [200, 403, 403]
    # Where nobody is asked for a certificate, nobody has one.
    await c.write("mine.yaml", make_ingress("mine", "mine.test", mine))
    assert [await status(c, "mine.test", client) for client in (ann, bob, make_client())] == [403, 403, 403]
    await c.remove("mine.yaml")


async def test_rotation_is_one_secret_and_no_listener(c: Running) -> None:
    rotated, host = {"tls_downstream_client_ca_secret": "rotated"}, "rotated.test"
    old, new = CLIENTS["valid"], CLIENTS["of another authority"]
    await c.write("ca.yaml", make_authorities("rotated", FIRST.pem))
    await c.write("rotated.yaml", make_ingress("rotated", host, PUBLIC | rotated))
    assert [await status(c, host, client) for client in (old, new)] == [200, 403]
    async with c.connect(OPEN) as connection:
        for authorities, wanted in (((FIRST, SECOND), [200, 200]), ((SECOND,), [403, 200])):
            before = c.sent
            await c.write("ca.yaml", make_authorities("rotated", *(each.pem for each in authorities)))
            assert c.sent - before == {"Secret": 1}
            assert [await status(c, host, client) for client in (old, new)] == wanted
        assert (await connection.get(OPEN)).status == 200
    await c.remove("rotated.yaml", "ca.yaml")


async def test_secret_that_is_missing(c: Running) -> None:
    missing, host = {"tls_downstream_client_ca_secret": "missing"}, "missing.test"
    beside = make_ingress("beside", host, PUBLIC, paths=[("/beside", "Prefix", "web:80")])
    await c.write("missing.yaml", documents(make_ingress("missing", host, PUBLIC | missing), beside))
    assert "Secret default/missing not found" in c.said_of("missing")[-1]
    for client in CLIENTS.values():
        assert [await status(c, host, client, target=path) for path in ("/", "/beside")] == [503, 200]
        assert await status(c, OPEN, client) == 200
    for _ in range(2):
        await c.write("ca.yaml", make_authorities("missing", FIRST.pem))
        assert [await status(c, host, CLIENTS[client]) for client in ("valid", "none")] == [200, 403]
        await c.remove("ca.yaml")
        assert [await status(c, host, CLIENTS[client]) for client in ("valid", "none")] == [503, 503]
    await c.remove("missing.yaml")


async def test_two_ingresses_agree_on_the_authorities_of_a_host(c: Running) -> None:
    host = "agree.test"
    both = [make_ingress(f"agree-{name}", host, PUBLIC | {"tls_downstream_client_ca_secret": name},
                         paths=[(f"/{name}", "Prefix", "web:80")]) for name in ("first", "third")]  # fmt: skip
    for third, wanted in ((FIRST, [200, 200]), (SECOND, [200, 503]), (FIRST, [200, 200])):
        await c.write("agree.yaml", documents(*both, make_authorities("third", third.pem)))
        answers = [await status(c, host, CLIENTS["valid"], target=path) for path in ("/first", "/third")]
        assert answers == wanted
    await c.write("agree.yaml", documents(*both, make_authorities("third", SECOND.pem)))
    assert "Ingress default/agree-first, which comes first, names others" in c.said_of("agree-third")[-1]
    # Another authority opens nothing.
    assert await status(c, host, CLIENTS["of another authority"], target="/first") == 403
    await c.remove("agree.yaml")


def make_revocations(authority: Signed, *revoked: Signed) -> str:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(authority.certificate.subject, now, now + timedelta(days=1))
    for each in revoked:
        entry = x509.RevokedCertificateBuilder(each.certificate.serial_number, now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def test_revoked_certificate(c: Running) -> None:
    bob = make_client(make_certificate(FIRST))
    await c.write("crl.yaml", make_authorities("crl", FIRST.pem, revoked=make_revocations(FIRST)))
    await c.write(
        "listed.yaml", make_ingress("listed", "crl.test", PUBLIC | {"tls_downstream_client_ca_secret": "crl"})
    )
    assert [await status(c, "crl.test", client) for client in (CLIENTS["valid"], bob)] == [200, 200]
    before = c.sent
    await c.write("crl.yaml", make_authorities("crl", FIRST.pem, revoked=make_revocations(FIRST, ANN)))
    assert c.sent - before == {"Secret": 1}
    assert [await status(c, "crl.test", client) for client in (CLIENTS["valid"], bob)] == [403, 200]
    await c.remove("listed.yaml", "crl.yaml")


@pytest.mark.parametrize("host", ["tcp.test", "a.tcp.test"])
async def test_attack_14_tunnel_needs_the_certificate_too(c: Running, host: str) -> None:
    async with tcp_upstream() as port:
        tcp = PUBLIC | CA | {"tcp_upstream": "true"}
        web = make_web(port, "bytes")
        paths = [("", "ImplementationSpecific", "bytes:80")]
        await c.write("tcp.yaml", documents(web, make_ingress("tcp", ["tcp.test", "*.tcp.test"], tcp, paths=paths)))
        target = f"{host}:80"
        for server_name, client, wanted in (
            (host, "valid", 200), (host, "none", 403), (host, "of another authority", 403),
            (SHOWN, "valid", 421), ("b.tcp.test", "valid", 421), (OPEN, "none", 421),
        ):  # fmt: skip
            for form in (target, target.title()):
                async with c.connect(server_name, CLIENTS[client].context) as connection:
                    answer = await connection.get(form, form, method="CONNECT")
                    assert answer.status == wanted
        await c.remove("tcp.yaml")
