"""Names, as Kubernetes allows them.

In: text. Out: whether it is a name of an object, of a namespace or of a host. The API server has checked the names of
its objects; those in manifests, and those that a field merely mentions, nobody has.
"""

import re
from typing import Final

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL: Final = re.compile(_LABEL, re.ASCII)
_DNS_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def is_label(text: str) -> bool:
    """One label of a DNS name in lower case, of at most 63 characters (RFC 1123): the name of a namespace."""
    return bool(_DNS_LABEL.fullmatch(text))


def is_dns_name(text: str) -> bool:
    """A DNS name in lower case, of at most 253 characters (RFC 1123, a "DNS subdomain" to Kubernetes)."""
    return len(text) <= 253 and bool(_DNS_NAME.fullmatch(text))
