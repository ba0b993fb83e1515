"""Requests that cost little and are timed well: raw HTTP/1.1 over a connection that is kept.

In: a port of the loopback, and the server name for TLS. Out: statuses and bodies. Nothing here is for real use: it
expects what Envoy's own answers and `benchmarks.scale.upstream` look like, and fails on anything else.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

_CONNECTIONS = 8
_SECONDS = 10.0

NO_ANSWER = (OSError, EOFError)
"""What is raised where no whole answer came."""


class Target(NamedTuple):
    """A host and a path of it."""

    host: str
    path: str


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes


def _tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


_TLS = _tls_context()


class Connection:
    """One connection. With a server name it is TLS."""

    def __init__(self, port: int, server_name: str = "") -> None:
        """Connect.

        Raises:
            OSError: that is refused, or the handshake is.
        """
        plain = socket.create_connection(("127.0.0.1", port), _SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = _TLS.wrap_socket(plain, server_hostname=server_name) if server_name else plain
        except BaseException:
            plain.close()
            raise
        self._reader = self._socket.makefile("rb")
        self.is_open = True

    @property
    def certificate(self) -> bytes:
        """The server's certificate, DER."""
        assert isinstance(self._socket, ssl.SSLSocket)  # noqa: S101 (the caller gave a server name)
        return self._socket.getpeercert(binary_form=True) or b""

    def ask(self, target: Target) -> Answer:
        """Send a request and read its answer.

        Raises:
            OSError, EOFError: there was none.
        """
        self.send(target)
        return self.read()

    def send(self, target: Target) -> None:
        """Send a request."""
        self._socket.sendall(f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode())

    def read(self) -> Answer:
        """Read the answer to a request that was sent."""
        status = int(self._line().split(b" ", 2)[1])
        length = 0
        while line := self._line():
            name, _, value = line.partition(b": ")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"connection" and value == b"close":
                self.is_open = False
            elif name.lower() == b"transfer-encoding":
                raise ValueError("an answer without a length is not expected")
        body = self._reader.read(length)
        if len(body) < length:
            raise EOFError("the connection was closed within an answer")
        return Answer(status, body)

    def _line(self) -> bytes:
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection was closed instead of an answer")
        return line[:-2]

    def close(self) -> None:
        """Close it."""
        self.is_open = False
        with contextlib.suppress(OSError):
            self._reader.close()
            self._socket.close()


class Client:
    """Asks over one connection, and makes a new one when that was closed."""

    def __init__(self, port: int, server_name: str = "") -> None:
        """Choose where; nothing is connected yet."""
        self._port = port
        self._server_name = server_name
        self._connection: Connection | None = None

    def ask(self, target: Target) -> Answer | None:
        """Ask; ``None`` where that is not possible (yet)."""
        return self.receive() if self.send(target) else None

    def status(self, target: Target) -> int:
        """The status of an answer; 0 without one."""
        answer = self.ask(target)
        return answer.status if answer else 0

    def send(self, target: Target) -> bool:
        """Send a request. Returns whether that was possible."""
        try:
            if self._connection is None or not self._connection.is_open:
                self.close()
                self._connection = Connection(self._port, self._server_name)
            self._connection.send(target)
        except NO_ANSWER:
            self.close()
        return self._connection is not None

    def receive(self) -> Answer | None:
        """Read the answer to the request that was sent; ``None`` if there is none."""
        try:
            return self._connection.read() if self._connection else None
        except NO_ANSWER:
            self.close()
            return None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection:
            self._connection.close()
            self._connection = None


class Sweep:
    """Asks for many targets, over some connections in turn.

    Not over one with requests ahead of their answers: Envoy gives up on such a connection after two answers of its own.
    """

    def __init__(self, port: int, server_name: str = "") -> None:
        """Choose where."""
        self._clients = [Client(port, server_name) for _ in range(_CONNECTIONS)]

    def missing(self, targets: Iterable[Target]) -> list[Target]:
        """Those that are not routed."""
        found: list[Target] = []
        remaining = iter(targets)
        while some := list(islice(remaining, _CONNECTIONS)):
            sent = [client.send(target) for client, target in zip(self._clients, some, strict=False)]
            answers = [client.receive() for client, _ in zip(self._clients, sent, strict=False)]
            found += [t for t, answer in zip(some, answers, strict=True) if not (answer and is_routed(answer.status))]
        return found

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()


def is_routed(status: int) -> bool:
    """Whether there is a route: that it leads nowhere (503), or not without a session, does not matter.

    421 would mean that the host must not be asked for over this connection.
    """
    return status not in {0, 404, 421}
