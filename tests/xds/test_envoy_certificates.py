"""Certificates that a real Envoy asks for when a handshake needs them."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import xds
from tests.envoy_process import DEADLINE, eventually
from tests.xds.gateway import HTTP, gateway, settled
from tests.xds.parts import ADS, LISTENER, PREFIX, SECRET, make_listener, make_secret
from tests.xds.serving import Record, serving


async def test_certificates_on_demand(cache: xds.Cache, directory: Path, socket: Path, record: Record) -> None:
    certificates = {name: make_certificate(name) for name in ("known.test", "later.test")}
    secrets = {name: make_secret(name, certificate, key) for name, (certificate, key) in certificates.items()}
    cache.update(
        {
            LISTENER: {"https": make_listener("https", HTTP, transport_socket=on_demand_tls())},
            SECRET: {"known.test": secrets["known.test"]},
        }
    )
    async with serving(cache, socket, record) as server, gateway(directory) as proxy:
        await settled(server, cache.transaction)
        await proxy.envoy.ready()

        async def shown(name: str) -> bytes | None:
            return await certificate_of(directory / "envoy" / HTTP, name)

        async def forgotten() -> bool:
            [state] = server.proxies()
            return state.types[SECRET] == xds.Progress(names=1, accepted=1, pending=0, refused=0)

        assert await shown("known.test") == certificates["known.test"][0]
        for _ in range(3):
            assert await shown("later.test") is None, "answered at once: there is none"
        await eventually(forgotten, "nothing is kept for a name that there is not")
        record.responses.clear()
        await settled(server, cache.update({SECRET: {"later.test": secrets["later.test"]}}))
        assert not record.responses, "Envoy asks again when it needs it"
        assert await shown("later.test") == certificates["later.test"][0]
        renewed = make_certificate("known.test")
        await settled(server, cache.update({SECRET: {"known.test": make_secret("known.test", *renewed)}}))
        assert await shown("known.test") == renewed[0]
        assert [response.resources for response in record.responses] == [1, 1]


def on_demand_tls() -> dict[str, object]:
    """Give the transport socket of a listener that asks for the secret named by the SNI."""
    tls = PREFIX + "envoy.extensions.transport_sockets.tls"
    mapper = {"name": "sni", "typed_config": {"@type": f"{tls}.cert_mappers.sni.v3.SNI", "default_value": "default"}}
    selector = {
        "@type": f"{tls}.cert_selectors.on_demand_secret.v3.Config",
        "config_source": ADS,
        "certificate_mapper": mapper,
    }
    context = {"custom_tls_certificate_selector": {"name": "on-demand", "typed_config": selector}}
    downstream = {
        "@type": f"{tls}.v3.DownstreamTlsContext",
        "common_tls_context": context,
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
    }
    return {"name": "tls", "typed_config": downstream}


def make_certificate(name: str) -> tuple[bytes, bytes]:
    """Give a self-signed certificate and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


async def certificate_of(socket: Path, name: str) -> bytes | None:
    """Give the certificate that a listener shows for a name; None when the handshake fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(DEADLINE):
            _, writer = await asyncio.open_unix_connection(socket, ssl=context, server_hostname=name)
    except (ssl.SSLError, ConnectionError):
        return None
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(shown).encode()
