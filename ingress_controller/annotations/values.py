"""The types of annotation values, each one parser.

In: the text of an annotation, which is YAML, as in Pomerium. Out: a typed value, or ``ValueError`` that says what was
wrong and what is allowed; the caller knows which annotation it was. Empty text never comes here: it means unset.
"""

import re
import socket
from contextlib import suppress
from datetime import timedelta
from typing import get_args
from urllib.parse import urlsplit

from ingress_controller import strict_yaml
from ingress_controller.model import load_balancing
from ingress_controller.objects.names import is_dns_name

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", re.ASCII)
_MIN_SECONDS = 0.001
_MAX_SECONDS = 8760 * 3600
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_MAX_TEXT = 1024


def boolean(text: str) -> bool:
    """``true`` or ``false``, in the capitalisations that YAML knows."""
    match text.strip():
        case "true" | "True" | "TRUE":
            return True
        case "false" | "False" | "FALSE":
            return False
    raise ValueError(f"must be true or false, got {text.strip()!r}")


def duration(text: str) -> timedelta:
    """A duration as Go writes it: ``30s``, ``1m30s``, ``1500ms``; ``0s`` for none."""
    if not _DURATION.fullmatch(text.strip()):
        raise ValueError(f"must be a duration such as 30s, 1m30s or 1500ms, got {text.strip()!r}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > _MAX_SECONDS:
        raise ValueError(f"must be at most 8760h, got {text.strip()[:80]!r}")
    if 0 < seconds < _MIN_SECONDS:
        # Envoy counts in milliseconds, and would take none of them for no limit.
        raise ValueError(f"must be 0s or at least 1ms, got {text.strip()[:80]!r}")
    return timedelta(seconds=seconds)


def strings(text: str) -> tuple[str, ...]:
    """A list of strings, ``["a", "b"]`` or one ``- a`` a line."""
    value = strict_yaml.load(text)
    if not isinstance(value, list):
        raise ValueError(f'must be a list of strings such as ["a", "b"], got {kind_of(value)}')
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item:
            raise ValueError(f"[{index}] must be a string that is not empty, got {kind_of(item)}")
    return tuple(value)


def claims(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A map from claim names to lists of values, ``groups: ["a"]``; numbers and booleans count as their text."""
    value = strict_yaml.load(text)
    if not isinstance(value, dict):
        raise ValueError(f'must map claim names to lists, such as {{groups: ["a"]}}, got {kind_of(value)}')
    return tuple((_claim_name(name), _claim_values(name, items)) for name, items in value.items())


def _claim_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"a claim's name must be a string that is not empty, got {kind_of(name)}")
    return name


def _claim_values(name: str, items: object) -> tuple[str, ...]:
    if not isinstance(items, list):
        raise ValueError(f"{name}: must be a list of values, got {kind_of(items)}")
    for index, item in enumerate(items):
        if not isinstance(item, str | int | bool):
            raise ValueError(f"{name}[{index}]: must be a string, a whole number or a boolean, got {kind_of(item)}")
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in items)


def server_name(text: str) -> str:
    """A DNS name, or an IP address in the form in which it is compared with that of a certificate."""
    value = text.strip().rstrip(".").lower()
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            return socket.inet_ntop(family, socket.inet_pton(family, value))
    if not is_dns_name(value) or value.rpartition(".")[2].isdigit():
        raise ValueError(f"must be a DNS name or an IP address, got {text.strip()[:80]!r}")
    return value


def load_balancing_policy(text: str) -> load_balancing.Policy:
    """The name of a policy, in capitals or not."""
    known: tuple[load_balancing.Policy, ...] = get_args(load_balancing.Policy)
    for policy in known:
        if text.strip().lower() == policy:
            return policy
    raise ValueError(f"must be {', '.join(known[:-1])} or {known[-1]}, got {text.strip()[:80]!r}")


def path(text: str) -> str:
    """An absolute path without query or fragment, as it is put in place of the matched one."""
    value = text.strip()
    if not value.startswith("/") or re.search(r"[^!-~]|[?#]|//|/\.\.?(?:/|$)", value, re.ASCII):
        raise ValueError(
            "must be a path that begins with / and has no query, fragment, space, empty or dotted element, "
            f"and no character that a URL has only percent-encoded, got {value[:80]!r}"
        )
    return value


def authority(text: str) -> str:
    """A host name or address, with a port or without, as in a Host header."""
    value = text.strip()
    if not _AUTHORITY.fullmatch(value):
        raise ValueError(f"must be a host name or address, with a port or without, got {value[:80]!r}")
    return value


def line(text: str) -> str:
    """Text of one line, for people."""
    value = text.strip()
    if len(value) > _MAX_TEXT or not value.isprintable():
        raise ValueError(f"must be one line of at most {_MAX_TEXT} characters, got {value[:80]!r}")
    return value


def prose(text: str) -> str:
    """Text of one or more lines, for people."""
    value = text.strip()
    if len(value) > _MAX_TEXT or not value.replace("\n", "").isprintable():
        raise ValueError(f"must be text of at most {_MAX_TEXT} characters, got {value[:80]!r}")
    return value


def https_url(text: str) -> str:
    """An ``https://`` URL."""
    value = text.strip()
    wrong = f"must be a URL that begins with https://, got {value[:80]!r}"
    if len(value) > _MAX_TEXT or not re.fullmatch(r"[!-~]+", value, re.ASCII):
        raise ValueError(wrong)
    try:
        parsed = urlsplit(value)
    except ValueError:
        raise ValueError(wrong) from None
    if parsed.scheme != "https" or not parsed.hostname:
        raise ValueError(wrong)
    return value


def secret_name(text: str) -> str:
    """The name of a Secret, without its namespace: it is always the namespace of the Ingress."""
    value = text.strip()
    if "/" in value:
        raise ValueError(f"must be a Secret in the namespace of the Ingress, named without it, got {value[:80]!r}")
    if len(value) > 253 or not _OBJECT_NAME.fullmatch(value):
        raise ValueError(f"must be the name of a Secret, got {value[:80]!r}")
    return value


_KINDS: tuple[tuple[type, str], ...] = (
    (type(None), "nothing"),
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a map"),
)


def kind_of(value: object) -> str:
    """What a YAML value is, for people."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return next(name for kind, name in _KINDS if isinstance(value, kind))
