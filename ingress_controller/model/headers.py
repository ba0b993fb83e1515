"""What is done to headers on the way to the upstream and back.

In: what annotations say of headers, and the names under which Secrets hold values. Out: values that ``envoy`` encodes
and ``translate`` prints. Text is literal: nothing in it is a command to anybody.
"""

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

NamedSecrets: TypeAlias = tuple[tuple[str, str], ...]
"""Headers, each with the name under which Envoy asks for its value."""


class RequestHeader(Struct, frozen=True, gc=False):
    """The value that a header of the request has when it comes in; empty if it is not there."""

    name: str


class Variable(Enum):
    """What Envoy knows of who asks. Each is empty where there is none."""

    ASSERTION = "pomerium.jwt"
    """The signed statement of who the user is, for this host."""
    CLIENT_CERTIFICATE = "pomerium.client_cert_fingerprint"
    """SHA-256 of the certificate that the client has shown, in hex."""


Part: TypeAlias = str | RequestHeader | Variable
Template: TypeAlias = tuple[Part, ...]
"""A header's value: its parts one after the other."""


class RequestHeaders(Struct, frozen=True, gc=False):
    """Changes to a request's headers.

    Attributes:
        set: headers with their values. One that others read stands after them.
        secret: headers whose values are secrets.
        remove: headers that are not sent on.
        identity: whether the upstream is told who the user is.
    """

    set: tuple[tuple[str, Template], ...] = ()
    secret: NamedSecrets = ()
    remove: tuple[str, ...] = ()
    identity: bool = False


class PrefixRewrite(Struct, frozen=True, gc=False):
    """Values of ``header`` that begin with ``prefix`` get ``value`` in its place."""

    header: str
    prefix: str
    value: str


class ResponseHeaders(Struct, frozen=True, gc=False):
    """Changes to the headers of the upstream's responses.

    Attributes:
        set: headers with their values.
        secret: headers whose values are secrets.
        rewrite: tried in order; the first that fits a value is the only one for it.
        defaults: whether the headers that protect browsers are added where they are absent.
    """

    set: tuple[tuple[str, str], ...] = ()
    secret: NamedSecrets = ()
    rewrite: tuple[PrefixRewrite, ...] = ()
    defaults: bool = True
