"""Values of settings: each is read from text by one ``parse_*`` function.

In: the text of a flag, an environment variable or a YAML scalar. Out: frozen values. Every ``parse_*`` raises
:class:`ValueError` whose message says what is allowed and what was found, without the name of the flag (the
caller knows where the text came from) and without the text itself where it may be secret.
"""

import base64
import binascii
import ipaddress
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretBytes, SecretStr

from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.upstream import Address

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label as Kubernetes names use it (RFC 1123)."""


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket in the file system."""

    path: Path

    def __str__(self) -> str:
        """As it is written in a flag: ``unix:/path``."""
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """Sessions are kept in this file."""

    file: Path


@dataclass(frozen=True, slots=True)
class RedisStore:
    """Sessions are kept in the Redis of this URL, which may hold a password."""

    url: SecretStr


def shown(text: str) -> str:
    """Text as an error quotes it: control characters escaped, long text cut."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def parse_port(text: str) -> int:
    """A TCP port other than 0."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(f"must be a port from 1 to 65535, got {shown(text)}")
    return int(text)


def parse_address(text: str) -> Address:
    """``:8080``, ``1.2.3.4:80``, ``[::1]:80`` or ``localhost:80``.

    An empty host stands for every interface, IPv4 and IPv6; port 0 lets the system choose.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})", text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"must be HOST:PORT with a port up to 65535, such as :8080 or [::1]:8080, got {shown(text)}")
    try:
        if match["v6"] is not None:
            host = str(ipaddress.IPv6Address(match["v6"]))
        else:
            named = {"": "", "localhost": "127.0.0.1"}
            host = named[match["host"]] if match["host"] in named else str(ipaddress.IPv4Address(match["host"]))
    except ValueError:
        raise ValueError(
            f"must name an IP address (IPv6 in brackets), localhost or no host at all, got {shown(text)}"
        ) from None
    return Address(host, int(match["port"]))


def parse_listener_address(text: str) -> Address:
    """An address for Envoy, which wants an IP address and a known port: ``:8080`` is ``0.0.0.0:8080``."""
    address = parse_address(text)
    if address.port == 0:
        raise ValueError(f"must have a port from 1 to 65535, got {shown(text)}")
    return Address(address.host or "0.0.0.0", address.port)  # noqa: S104 - it is what ":8080" means


def parse_optional_address(text: str) -> Address | None:
    """An address, or ``0`` for none."""
    return None if text == "0" else parse_address(text)


def parse_xds_address(text: str) -> UnixSocket | Address:
    """``unix:PATH``, or a TCP address of this machine's loopback."""
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise ValueError("must be unix:PATH, got no path")
        return UnixSocket(parse_path(text.removeprefix("unix:")))
    address = parse_address(text)
    if not address.host or not ipaddress.ip_address(address.host).is_loopback:
        # The stream carries private keys of certificates and has no encryption of its own.
        raise ValueError(f"must be unix:PATH or a loopback address such as 127.0.0.1:18000, got {shown(text)}")
    return address


def parse_path(text: str) -> Path:
    """An absolute path; ``~`` is the home folder, a relative path starts at the working directory."""
    if not text or "\0" in text:
        raise ValueError(f"must be a path, got {shown(text)}")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"must be a full path where the home folder is not known, got {shown(text)}") from None


def parse_directory(text: str) -> Path:
    """The path of a folder that exists."""
    path = parse_path(text)
    if not path.is_dir():
        raise ValueError(f"must be a folder that exists, got {shown(text)}")
    return path


def parse_file(text: str) -> Path:
    """The path of a file that exists and can be read."""
    path = parse_path(text)
    if not path.is_file():
        raise ValueError(f"must be a file that exists, got {shown(text)}")
    if not os.access(path, os.R_OK):
        raise ValueError(f"must be a file that can be read, got {shown(text)}")
    return path


def parse_certificates_file(text: str) -> Path:
    """The path of a file of PEM certificates."""
    path = parse_file(text)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError:  # an SSLError is one
        raise ValueError(f"must be a file of PEM certificates, got {shown(text)}") from None
    return path


def parse_certificates(text: str) -> bytes:
    """Base64 of PEM certificates, to the PEM."""
    try:
        pem = base64.b64decode("".join(text.split()), validate=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError):
        raise ValueError("must be base64 of PEM certificates") from None
    return pem


def parse_shared_secret(text: str) -> SecretBytes:
    """Base64 of exactly 32 bytes."""
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64 of exactly 32 bytes, got text that is not base64") from None
    if len(secret) != 32:
        raise ValueError(f"must be base64 of exactly 32 bytes, got {len(secret)} bytes")
    return SecretBytes(secret)


def parse_controller_name(text: str) -> str:
    """What an IngressClass names in ``spec.controller``: a domain and a path, at most 250 characters."""
    domain, slash, path = text.partition("/")
    if len(text) > 250 or not is_domain(domain) or not slash or not re.fullmatch(r"[A-Za-z0-9/._:%~-]+", path):
        raise ValueError(f"must be DOMAIN/NAME as in an IngressClass's spec.controller, got {shown(text)}")
    return text


def parse_prefix(text: str) -> str:
    """The part of an annotation's key before the slash: a DNS subdomain."""
    if not is_domain(text):
        raise ValueError(f"must be a domain such as ingress.pomerium.io, without a slash, got {shown(text)}")
    return text


def parse_namespace(text: str) -> str:
    """The name of a Namespace."""
    if not LABEL.fullmatch(text):
        raise ValueError(f"must be names of Namespaces (letters a to z, digits, dashes), got {shown(text)}")
    return text


def parse_service(text: str) -> ObjectRef:
    """``NAMESPACE/NAME`` of a Service."""
    namespace, _, name = text.partition("/")
    if not LABEL.fullmatch(namespace) or not LABEL.fullmatch(name):
        raise ValueError(f"must be NAMESPACE/NAME of a Service, got {shown(text)}")
    return ObjectRef("Service", namespace, name)


def parse_databroker_url(text: str) -> SqliteStore | RedisStore:
    """``sqlite:///NAME``, ``sqlite:////PATH``, ``redis://HOST...`` or ``rediss://HOST...``.

    A name without a slash stays relative: the caller puts it into the data directory.
    """
    wrong = ValueError(
        "must be sqlite:///NAME (a file in the data directory), sqlite:////ABSOLUTE/PATH, "
        "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS"
    )
    url = split_url(text, wrong)
    if url.scheme == "sqlite":
        file = url.path.removeprefix("/")
        if url.netloc or url.query or url.fragment or file in {"", ".", ".."} or not re.fullmatch(r"[^/]+|/.+", file):
            raise wrong
        return SqliteStore(Path(file))
    if url.scheme not in {"redis", "rediss"} or not url.hostname or not re.fullmatch(r"(/[0-9]*)?", url.path):
        raise wrong
    return RedisStore(SecretStr(text))


def parse_issuer(text: str) -> str:
    """An https URL of a host alone, without a trailing slash, as sessions name their issuer."""
    wrong = ValueError("must be https://HOST[:PORT], without path, query or user")
    url = split_url(text, wrong)
    host = url.hostname or ""
    extra = url.path not in {"", "/"} or url.query or url.fragment or "@" in url.netloc
    if url.scheme != "https" or not is_domain(host) or extra:
        raise wrong
    return f"https://{host}" if url.port in {None, 443} else f"https://{host}:{url.port}"


def parse_envoy(text: str) -> str | Path:
    """``auto``, ``none`` or the path of an Envoy program."""
    if text in {"auto", "none"}:
        return text
    path = parse_path(text)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ValueError(f"must be auto, none or the path of a program that can be run, got {shown(text)}")
    return path


def parse_access_log(text: str) -> str | Path:
    """``stdout``, ``off`` or the path of a file, which may not exist yet."""
    return text if text in {"stdout", "off"} else parse_path(text)


def parse_switch(text: str) -> bool:
    """``true`` or ``false``."""
    if text not in {"true", "false"}:
        raise ValueError(f"must be true or false, got {shown(text)}")
    return text == "true"


def parse_choice(*choices: str) -> Callable[[str], str]:
    """Make the parser of one of several words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}, got {shown(text)}")
        return text

    return parse


def is_domain(text: str) -> bool:
    """Whether the text is a DNS name in lower case, of at most 253 characters."""
    return len(text) <= 253 and all(LABEL.fullmatch(label) for label in text.split("."))


def split_url(text: str, wrong: ValueError) -> SplitResult:
    """The parts of a URL; ``wrong`` is raised where it is none, its port is none, or it has odd characters."""
    try:
        url = urlsplit(text)
        valid = text.isascii() and text.isprintable() and " " not in text and url.port != 0
    except ValueError:
        raise wrong from None
    if not valid:
        raise wrong
    return url
