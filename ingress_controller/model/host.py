"""A host: everything that is served under one name.

In: the routes that Ingresses claim for it. Out: the unit of change; Envoy gets one resource for each.
"""

from msgspec import Struct

from ingress_controller.model.certificate import Certificate
from ingress_controller.model.route import Route

CATCH_ALL = "*"
"""The name of the host that serves what no other host claims."""

OWN_PATHS = "/.pomerium/"
"""Paths that every host answers by itself, for sign-in."""

SIGN_IN_PATH = f"{OWN_PATHS}sign_in"
"""Where a browser is sent that is not signed in."""


class Host(Struct, frozen=True, gc=False):
    """What is served under a name.

    Attributes:
        name: lower case; ``*.example.com`` for a wildcard, ``*`` for every name that no other host claims.
        routes: in serving order.
        certificate: what it shows; ``None`` for the self-signed bootstrap certificate.
        client_ca: the name of the secret with the authorities of clients' certificates; ``None`` where clients are not
            asked for one.
    """

    name: str
    routes: tuple[Route, ...]
    certificate: Certificate | None
    client_ca: str | None = None


def is_wildcard(name: str) -> bool:
    """Whether a host's name stands for more than one name."""
    return name.startswith("*")


def suffixes(name: str) -> tuple[str, ...]:
    """The wildcard names that a TLS server name is under, however many labels they stand for.

    Envoy chooses filter chains so: ``a.b.test`` is under ``*.b.test``, ``*.test`` and ``*``.
    """
    labels = name.split(".")
    return (*(f"*.{'.'.join(labels[n:])}" for n in range(1, len(labels))), CATCH_ALL)


def covering(name: str) -> tuple[str, ...]:
    """The wildcard names that would answer for a host if it had no entry of its own, nearest first.

    A wildcard stands for one label: ``a.example.com`` is covered by ``*.example.com`` and by ``*``.
    """
    if name == CATCH_ALL:
        return ()
    _, dot, rest = name.partition(".")
    return (f"*.{rest}", CATCH_ALL) if dot and not is_wildcard(name) else (CATCH_ALL,)
