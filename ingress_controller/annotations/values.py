"""The types of annotation values, each one parser.

In: the text of an annotation, which is YAML, as in Pomerium. Out: a typed value, or ``ValueError`` that says what was
wrong and what is allowed; the caller knows which annotation it was. Empty text never comes here: it means unset.
"""

import re
import socket
from contextlib import suppress
from datetime import timedelta
from typing import get_args

import yaml

from ingress_controller import strict_yaml
from ingress_controller.model import load_balancing
from ingress_controller.objects.names import is_dns_name

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", re.ASCII)
_MIN_SECONDS = 0.001
_MAX_SECONDS = 8760 * 3600
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_UNSAFE_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer",
                             "keep-alive", "proxy-connection", "cookie", "x-host-scope"})  # fmt: skip
_OWN_HEADER_PREFIXES = ("x-pomerium-", "x-envoy-", "impersonate-", "x-ingress-")
# Envoy refuses more than 1000 headers, and values of more than 16384 bytes, in which each % counts twice.
_MAX_HEADERS = 1000
_MAX_HEADER_BYTES = 8192
_NULL = "tag:yaml.org,2002:null"


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


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """A map of header names to literal values. Numbers and booleans are taken as they are written."""
    node = strict_yaml.compose(text)
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("must map header names to values, such as {X-Name: value}")
    pairs = tuple((header_name(_scalar(name, "a header's name")), _header_value(name.value, value))
                  for name, value in node.value)  # fmt: skip
    if len(pairs) > _MAX_HEADERS:
        raise ValueError(f"must set at most {_MAX_HEADERS} headers, got {len(pairs)}")
    folded = [name.lower() for name, _ in pairs]
    for name in folded:
        if folded.count(name) > 1:
            raise ValueError(f"{name}: named twice; header names are compared without case")
    return pairs


def header_names(text: str) -> tuple[str, ...]:
    """A list of header names."""
    return tuple(header_name(name) for name in strings(text))


def header_name(name: str) -> str:
    """A header that may be set or removed.

    Refused are names that HTTP does not allow, those that frame a message or route it, and those that carry identity
    between Envoy and this controller.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name: use letters, digits and -")
    if len(name) > _MAX_HEADER_BYTES:
        raise ValueError(f"{name[:80]}...: a header's name must have at most {_MAX_HEADER_BYTES} bytes")
    folded = re.sub(r"[^a-z0-9]", "-", name.lower())
    if folded in _UNSAFE_HEADERS or folded.startswith(_OWN_HEADER_PREFIXES):
        raise ValueError(f"{name}: this header cannot be set or removed by an annotation")
    return name


def header_text(name: str, value: str) -> str:
    """The value of the header ``name``, as it is."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError(f"{name}: a header's value must be one line without control characters")
    if len(value.encode()) > _MAX_HEADER_BYTES:
        raise ValueError(f"{name}: a header's value must have at most {_MAX_HEADER_BYTES} bytes")
    return value


def secret_name(text: str) -> str:
    """The name of a Secret, without its namespace: it is always the namespace of the Ingress."""
    value = text.strip()
    if "/" in value:
        raise ValueError(f"must be a Secret in the namespace of the Ingress, named without it, got {value[:80]!r}")
    if len(value) > 253 or not _OBJECT_NAME.fullmatch(value):
        raise ValueError(f"must be the name of a Secret, got {value[:80]!r}")
    return value


def _header_value(name: str, node: yaml.Node) -> str:
    value = header_text(name, _scalar(node, f"{name}: a header's value"))
    if "${pomerium." in value or value.startswith("$pomerium."):
        raise ValueError(f"{name}: ${{pomerium.*}} variables are not available")
    return value


def _scalar(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
        raise ValueError(f"{what} must be text, a number or a boolean, not a list, a map or null")
    return str(node.value)


_KINDS: tuple[tuple[type, str], ...] = (
    (type(None), "nothing"),
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a map"),
)


def kind_of(value: object) -> str:
    """What people wrote, for a message."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return next(name for kind, name in _KINDS if isinstance(value, kind))
