"""Attack 12 on a real Envoy: reading a Secret that is another's, or that is for Envoy alone."""

import asyncio
import base64
import json
import secrets
import struct

import pytest

from tests.manifests import CLASS, PUBLIC, documents, make_certificate, make_ingress, make_secret, make_web
from tests.running import Running, running
from tests.upstream import upstream

APP = "app.test"
VALUE = "s3cret-of-the-owner"


def make_headers_secret(name: str, namespace: str = "default", value: str = VALUE) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": {"X-Token": base64.b64encode(value.encode()).decode()},
        }
    )


@pytest.mark.parametrize("name", ["default/headers", "../default/headers", "default%2Fheaders", "headers\x00", "*"])
async def test_attack_12_secret_of_another_namespace(name: str) -> None:
    thief = make_ingress("thief", APP, PUBLIC | {"set_request_headers_secret": name}, namespace="thief")
    async with upstream() as web:
        manifests = documents(CLASS, make_web(web.port), make_web(web.port, namespace="thief"), thief)
        async with running({"a.yaml": manifests, "secret.yaml": make_headers_secret("headers")}) as c:
            assert (await c.get(APP)).text == "503 invalid-annotation\n"
            assert web.seen == []
            assert VALUE not in "".join(c.said_of("thief"))


async def test_attack_12_secret_is_no_certificate_that_a_client_can_name() -> None:
    owner = make_ingress("owner", APP, PUBLIC | {"set_request_headers_secret": "headers"})
    tls = {"secure_upstream": "true", "tls_client_secret": "client"}
    secure = make_ingress("secure", "secure.test", PUBLIC | tls)
    client = make_secret("client", *make_certificate("client.test"))
    async with upstream() as web:
        manifests = documents(CLASS, make_web(web.port), owner, secure, client, make_headers_secret("headers"))
        async with running({"a.yaml": manifests}) as c:
            names = [n for n in c.controller.cache.resources(SECRETS) if "/default/" in n]
            assert len(names) == 2
            for name in names:
                for spelling in (name, name.rstrip("/"), name[:255]):
                    assert await handshake(c, spelling) in {CLOSED, ALERT}, spelling
            assert await handshake(c, APP) == HANDSHAKE
            assert (await c.get(APP)).status == 200
            assert c.metric("ingress_controller_xds_refused_resources_total", type="Secret") == 0


SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


CLOSED, ALERT, HANDSHAKE = b"", b"\x15", b"\x16"


async def handshake(c: Running, server_name: str) -> bytes:
    """Ask for the certificate of a name. Returns the kind of the first record of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", c.settings.https_address.port)
    writer.write(client_hello(server_name.encode()))
    kind = await reader.read(1)
    writer.close()
    return kind


def client_hello(server_name: bytes) -> bytes:
    """The first message of TLS 1.2 by hand: no library sends a name that is none."""
    name = struct.pack("!BH", 0, len(server_name)) + server_name
    groups = struct.pack("!HHH", 4, 0x001D, 0x0017)
    algorithms = struct.pack("!HHH", 4, 0x0403, 0x0804)
    extensions = b"".join(
        struct.pack("!HH", kind, len(body)) + body
        for kind, body in ((0, struct.pack("!H", len(name)) + name), (10, groups), (13, algorithms))
    )
    ciphers = struct.pack("!HHH", 4, 0xC02B, 0xC02F)
    body = b"\x03\x03" + secrets.token_bytes(32) + b"\x00" + ciphers + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message
