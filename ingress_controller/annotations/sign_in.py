"""Annotations that need the identity provider of sign-in, which there is not yet.

In: their text. Out: the value that can be honoured; ``ValueError`` for what is wrong, and for what is right and cannot
be honoured, with that reason.
"""

from ingress_controller.annotations.values import strings
from ingress_controller.objects.names import is_dns_name

_FORMATS = ("default", "idp_access_token", "idp_identity_token")
_MAX_HOSTS = 5
_NO_PROVIDER = "is not available yet: it needs sign-in with an identity provider"


def bearer_token_format(text: str) -> str:
    """What a bearer token is; sessions are the default, and all that is known."""
    value = text.strip()
    if value not in _FORMATS:
        raise ValueError(f"must be one of {', '.join(_FORMATS)}, got {value[:80]!r}")
    if value != _FORMATS[0]:
        raise ValueError(f"{value} {_NO_PROVIDER}")
    return value


def audiences(text: str) -> tuple[str, ...]:
    """Audiences of access tokens: none."""
    return _none_of(strings(text))


def depends_on(text: str) -> tuple[str, ...]:
    """Other hosts to sign in to: none."""
    hosts = strings(text)
    if len(hosts) > _MAX_HOSTS:
        raise ValueError(f"must name at most {_MAX_HOSTS} hosts, got {len(hosts)}")
    for index, host in enumerate(hosts):
        if not is_dns_name(host):
            raise ValueError(f"[{index}] must be a host name in lower case, got {host[:80]!r}")
    return _none_of(hosts)


def _none_of(values: tuple[str, ...]) -> tuple[str, ...]:
    if values:
        raise ValueError(f"{', '.join(values)[:80]}: {_NO_PROVIDER}")
    return values
