"""The webhook over HTTPS.

In: the function that checks an object, and the files of a certificate. Out: an aiohttp application, and a TLS context
that follows the files. Requests are bounded in size, time and number, since anybody who reaches the port can send them.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from ingress_controller.admission.review import Check, InvalidReviewError, answer
from ingress_controller.errors import StartError

log = structlog.get_logger(__name__)

PATH: Final = "/validate-ingress"

LONGEST_BODY: Final = 8 << 20
"""Bytes of a review: it holds an object twice, which the API server takes up to 3 MiB of, and more around it."""

AT_ONCE: Final = 16
"""How many reviews are read or answered at a time; what comes beyond is told to try again."""

_BODY_SECONDS: Final = 10.0


def webhook_app(check: Check, ready: Callable[[], bool]) -> web.Application:
    """Make the application of the webhook.

    Args:
        check: what is wrong with an object.
        ready: whether the classes are known, without which no Ingress can be told from another controller's.
    """
    under_way = 0
    # One after the other, away from the event loop: a large object must not hold up everything else.
    turn = asyncio.Lock()

    async def validate(request: web.Request) -> web.Response:
        nonlocal under_way
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="the body must be application/json\n")
        if not ready():
            raise web.HTTPServiceUnavailable(text="the objects have not been read yet\n")
        if under_way >= AT_ONCE:
            raise web.HTTPServiceUnavailable(text=f"{AT_ONCE} reviews are under way\n", headers={"Retry-After": "1"})
        under_way += 1
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
            async with turn:
                return web.Response(body=await asyncio.to_thread(answer, body, check), content_type="application/json")
        except TimeoutError:
            raise web.HTTPRequestTimeout(text=f"the body did not come within {_BODY_SECONDS:g} seconds\n") from None
        except InvalidReviewError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        finally:
            under_way -= 1

    app = web.Application(client_max_size=LONGEST_BODY)
    app.add_routes([web.post(PATH, validate)])
    return app


class ServerCertificate:
    """A certificate and its key in files that may be replaced, as cert-manager does with a mounted Secret.

    Each handshake looks whether they have changed; what cannot be used leaves the last good pair in place.

    Attributes:
        context: for the server; TLS 1.2 or later.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files.

        Raises:
            StartError: they are no certificate and its key.
        """
        self._files = (certificate, key)
        try:
            self._seen = self._state()
            self.context = self._newest = self._load()
        except OSError as error:  # An SSLError is one.
            raise StartError(
                f"--webhook-tls-cert-file and --webhook-tls-key-file: {certificate} and {key} are no PEM certificate "
                f"chain and its unencrypted key: {_reason(error)}"
            ) from None
        self.context.sni_callback = self._choose

    def _choose(self, tls: ssl.SSLObject, _server_name: str | None, _context: ssl.SSLContext) -> None:
        """Take the newest pair for a handshake; called whether the client sends a server name or not."""
        try:
            if (state := self._state()) != self._seen:
                self._seen = state
                self._newest = self._load()
                log.info("the webhook's certificate was read anew", file=str(self._files[0]))
        except OSError as error:
            log.warning("the webhook's new certificate cannot be used, the old one stays", reason=_reason(error))
        tls.context = self._newest

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        """What differs when a file was written or replaced."""
        return tuple((found.st_ino, found.st_size, found.st_mtime_ns) for found in (f.stat() for f in self._files))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # An empty password rather than a prompt, which would wait for somebody at the terminal.
        context.load_cert_chain(*self._files, password="")
        return context


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
