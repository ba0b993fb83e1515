"""A URL, as the proxy reads it.

In: the text of a URL. Out: ``Target``, the host and path that routes are chosen by; ``ValueError`` for what is no URL
of a web page or a tunnel. Paths are brought to the form that Envoy gives them (``normalize_path``, ``merge_slashes``),
byte for byte: that form is what routes and policies see.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

TUNNEL = "tcp+https"
"""The scheme of what CONNECT asks for: ``tcp+https://db.example.com:5432``."""

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_ESCAPED_SLASH = re.compile(r"%(?:2f|5c)", re.IGNORECASE)
_DOT_PARAMETERS = re.compile(r"(?<=/)(\.\.?);[^/]*")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{2}")
_UNESCAPED = frozenset("-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~")
_ESCAPED = frozenset(' "#<>?^`{|}\x7f').union(map(chr, range(1, 0x20)))
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class RefusedPathError(ValueError):
    """A path that the proxy answers with 400, whatever the routes are."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    Attributes:
        scheme: ``http``, ``https`` or ``tcp+https``.
        host: lower case, without port and trailing dots.
        port: the one that is written, or that of the scheme.
        written_path: the path as a client sends it.
        query: what follows the question mark; ``None`` without one.
    """

    scheme: str
    host: str
    port: int
    written_path: str
    query: str | None

    @property
    def path(self) -> str:
        """The path in its normal form. Raises :class:`RefusedPathError`."""
        return normal_path(self.written_path)

    def with_query(self, path: str) -> str:
        """A path with the query of the URL behind it."""
        return path if self.query is None else f"{path}?{self.query}"


def parse_url(text: str) -> Target:
    """Read a URL as clients do: the fragment stays behind, what is not ASCII is escaped; https where no scheme is."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in {*_PORTS, TUNNEL}:
        raise ValueError(f"must begin with https://, http:// or {TUNNEL}://, got {text[:80]!r}")
    if not parts.hostname:
        raise ValueError(f"must name a host, as https://app.example.com/path does, got {text[:80]!r}")
    try:
        name = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        port = parts.port or _PORTS.get(parts.scheme)  # raises for what is no port
    except ValueError as error:
        raise ValueError(f"{text[:80]!r}: {error}") from None
    if port is None:
        raise ValueError(f"must name a port, as {TUNNEL}://db.example.com:5432 does, got {text[:80]!r}")
    host = f"[{name}]" if ":" in name else name
    path, query = (quote(part, safe=_PRINTABLE) for part in (parts.path, parts.query))
    has_query = "?" in text.partition("#")[0]
    return Target(parts.scheme, normal_host(host), port, path or "/", query if has_query else None)


def normal_host(host: str) -> str:
    """A host without a port, in the form that hosts are named in."""
    return host.lower().removesuffix(".").removesuffix(".")


def normal_path(path: str) -> str:
    """The path, without a query, as routes and policies see it.

    Raises:
        RefusedPathError: the proxy answers 400.
    """
    if found := _ESCAPED_SLASH.search(path):
        raise RefusedPathError(f"the path has an escaped slash or backslash, {found[0]}")
    plain = "/".join(_without_dots(_canonical(_DOT_PARAMETERS.sub(r"\1", path)).split("/")))
    # Of a path of nothing but slashes, the first and the last one stay.
    return re.sub("/{2,}", "/", plain) if plain.strip("/") else plain[:2]


def _canonical(path: str) -> str:
    """Escape what has to be escaped and nothing else; a backslash becomes a slash."""
    done: list[str] = []
    for token in _TOKEN.finditer(path):
        text = token[0]
        plain = chr(int(text[1:], 16)) if len(text) == 3 else ""
        if plain == "\0":
            raise RefusedPathError("the path has an escaped NUL, %00")
        if plain in _UNESCAPED:
            done.append(plain)
            _keep_from_nesting(done, path[token.end() : token.end() + 1])
        elif text == "\\":
            done.append("/")
        else:
            done.append(f"%{ord(text):02X}" if text in _ESCAPED else text)
    return "".join(done)


def _keep_from_nesting(done: list[str], following: str) -> None:
    """Escape a stray ``%`` that what was just unescaped would make an escape of: ``%%310`` is no ``%10``."""
    for distance, digits in ((2, done[-1] + following), (3, "".join(done[-2:]))):
        if len(done) >= distance and done[-distance] == "%" and _HEXADECIMAL.fullmatch(digits):
            done[-distance] = "%25"


def _without_dots(segments: list[str]) -> list[str]:
    """Resolve ``.`` and ``..``; at the end they leave a slash."""
    done: list[str] = []
    for segment in segments:
        if segment == ".." and len(done) > 1:
            done.pop()
        elif segment not in {".", ".."}:
            done.append(segment)
    return [*done, ""] if segments[-1] in {".", ".."} else done
