"""The webhook over real sockets, with TLS."""

import asyncio
import io
import ssl
import threading
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from ingress_controller.admission.server import AT_ONCE, LONGEST_BODY, PATH, ServerCertificate, webhook_app
from ingress_controller.errors import StartError
from ingress_controller.health import serve
from ingress_controller.model.problem import Problem
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.upstream import Address
from ingress_controller.objects.views import Ingress
from tests.clients import connect
from tests.manifests import make_certificate
from tests.unit.admission.reviews import make_review

REVIEW = make_review({"metadata": {"name": "web"}})


def make_files(folder: Path, name: str = "one.test") -> tuple[Path, Path]:
    files = folder / "tls.crt", folder / "tls.key"
    for file, pem in zip(files, make_certificate(name), strict=True):
        file.write_bytes(pem)
    return files


def nothing_wrong(_: Ingress) -> tuple[Problem, ...]:
    return ()


def serving(
    certificate: ServerCertificate, check: Any = nothing_wrong, *, ready: bool = True
) -> AbstractAsyncContextManager[Address | None]:
    app = webhook_app(check, lambda: ready)
    return serve(Address("127.0.0.1", 0), app, "--webhook-bind-address", certificate.context)


async def post(address: Address | None, body: bytes = REVIEW, kind: str = "application/json") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(
            f"https://{address}{PATH}", data=io.BytesIO(body), headers={"content-type": kind}, ssl=False
        ) as response,
    ):
        return response.status, await response.text()


async def test_a_review_is_answered(tmp_path: Path) -> None:
    problem = Problem(ObjectRef("Ingress", "default", "web"), "spec", "invalid-host", "parsing ingress: spec: bad")
    async with serving(ServerCertificate(*make_files(tmp_path)), lambda _: (problem,)) as address:
        status, text = await post(address)
    assert status == 200
    assert '"allowed":false' in text
    assert "upsert routes: parsing ingress: spec: bad" in text


@pytest.mark.parametrize(
    ("request_fields", "status", "says"),
    [
        ({"body": b"{}"}, 400, "not an AdmissionReview: "),
        ({"body": b"x" * (LONGEST_BODY + 1)}, 413, "Maximum request body size"),
        ({"kind": "application/yaml"}, 415, "must be application/json"),
    ],
    ids=("no review", "too long", "no JSON"),
)
async def test_what_is_no_review(request_fields: Mapping[str, Any], status: int, says: str, tmp_path: Path) -> None:
    async with serving(ServerCertificate(*make_files(tmp_path))) as address:
        given, text = await post(address, **request_fields)
    assert (given, says in text) == (status, True)


async def test_before_the_objects_have_been_read_the_failure_policy_decides(tmp_path: Path) -> None:
    async with serving(ServerCertificate(*make_files(tmp_path)), ready=False) as address:
        assert await post(address) == (503, "the objects have not been read yet\n")


async def test_an_object_that_takes_long_holds_up_only_other_reviews(tmp_path: Path) -> None:
    release = threading.Event()

    def wait(_: Ingress) -> tuple[Problem, ...]:
        release.wait(20)
        return ()

    async with serving(ServerCertificate(*make_files(tmp_path)), wait) as address:
        waiting = [asyncio.create_task(post(address)) for _ in range(AT_ONCE + 1)]
        (first,), _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert first.result() == (503, f"{AT_ONCE} reviews are under way\n")
        release.set()
        assert sorted([(await task)[0] for task in waiting]) == [200] * AT_ONCE + [503]


async def shown(address: Address | None, server_name: str) -> bytes:
    assert address is not None
    async with connect(address.port, server_name) as connection:
        return connection.certificate


def der(pem: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.read_text())


@pytest.mark.parametrize("server_name", ["webhook.pomerium.svc", "127.0.0.1"])
async def test_a_renewed_certificate_is_shown(server_name: str, tmp_path: Path) -> None:
    """As a Secret volume renews it: the files are reached by a link that is replaced."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        make_files(tmp_path / version, f"{version}.test")
    (link := tmp_path / "data").symlink_to("one")
    certificate = ServerCertificate(link / "tls.crt", link / "tls.key")
    async with serving(certificate) as address:
        assert await shown(address, server_name) == der(tmp_path / "one" / "tls.crt")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(link)
        assert await shown(address, server_name) == der(tmp_path / "two" / "tls.crt")


@pytest.mark.parametrize("broken", ["key of another", "empty", "gone"])
async def test_files_that_cannot_be_used_leave_the_last_pair(broken: str, tmp_path: Path) -> None:
    certificate, key = make_files(tmp_path)
    before, old_key = der(certificate), key.read_bytes()
    async with serving(ServerCertificate(certificate, key)) as address:
        match broken:
            case "key of another":
                key.write_bytes(make_certificate("other.test")[1])
            case "empty":
                certificate.write_bytes(b"")
            case "gone":
                key.unlink()
        with capture_logs() as logs:
            assert await shown(address, "one.test") == before
        assert [line["log_level"] for line in logs] == ["warning"]
        assert old_key.decode() not in str(logs)
        make_files(tmp_path, "two.test")
        assert await shown(address, "one.test") == der(certificate) != before


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(ServerCertificate(*make_files(tmp_path))) as address:
        assert address is not None
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", address.port, ssl=client, server_hostname="one.test")


def test_files_that_cannot_be_used_at_the_start(tmp_path: Path) -> None:
    certificate, key = make_files(tmp_path)
    encrypted = tmp_path / "encrypted.key"
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    encrypted.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for pair in ((certificate, certificate), (key, key), (certificate, encrypted), (certificate, tmp_path / "gone")):
        with pytest.raises(StartError, match=r"^--webhook-tls-cert-file and --webhook-tls-key-file: "):
            ServerCertificate(*pair)
