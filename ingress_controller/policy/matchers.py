"""The values of criteria: what may be written after ``email:`` and its siblings.

In: plain YAML values with their path. Out: matches of ``model.policy``, or ``PolicyError``. The operators are those of
the public implementation, where several operators of one matcher have to hold together.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from ingress_controller.model.policy import (
    Contains,
    EndsWith,
    HasAny,
    HasLike,
    HasNone,
    IsOnly,
    ListMatch,
    NoneOf,
    OneOf,
    StartsWith,
    StringMatch,
)
from ingress_controller.policy.error import describe, invalid, shown

Element = Callable[[object, str], str]
"""Reads one value of a criterion: the YAML value and its path in, the text to compare with out."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_METHOD = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


def nearest(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one if there is one, and all of them."""
    names = tuple(known)
    close = difflib.get_close_matches(str(name)[:100], names, n=2)
    guess = f", did you mean {' or '.join(close)}?" if close else ","
    return f"{guess} only {', '.join(names)} are allowed"


def boolean(value: object, path: str) -> bool:
    """``true`` or ``false`` and nothing that looks like it."""
    if not isinstance(value, bool):
        raise invalid(f"expected true or false, got {describe(value)}", path)
    return value


def text(value: object, path: str) -> str:
    """Any text that is not empty and has no control characters."""
    if not isinstance(value, str):
        raise invalid(f"expected a string, got {describe(value)}", path)
    if not value:
        raise invalid("expected a string that is not empty", path)
    if _CONTROL.search(value):
        raise invalid(f"expected a string without control characters, got {describe(value)}", path)
    return value


def claim_text(value: object, path: str) -> str:
    """Text; whole numbers and booleans count as they are written in JSON, because sessions carry claims as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return text(str(value) if isinstance(value, int) else value, path)


def address(value: object, path: str) -> str:
    """An e-mail address or a part of one, in lower case."""
    lower = text(value, path).lower()
    if re.search(r"\s", lower):
        raise invalid(f"expected an e-mail address without spaces, got {describe(value)}", path)
    return lower


def domain(value: object, path: str) -> str:
    """A domain or a part of one, in lower case."""
    lower = address(value, path)
    if "@" in lower:
        raise invalid(f"expected what follows the @ of an e-mail address, got {describe(value)}", path)
    return lower


def method(value: object, path: str) -> str:
    """An HTTP method, which is written in upper case: anything else would never match."""
    token = text(value, path)
    if not _METHOD.fullmatch(token):
        raise invalid(f"expected an HTTP method in upper case such as GET, got {describe(value)}", path)
    return token


def url_path(value: object, path: str) -> str:
    """A path or a part of one; no query, because the criterion does not see it."""
    part = text(value, path)
    if re.search(r"[?#\s]", part):
        raise invalid(f"expected a path without query, fragment or spaces, got {describe(value)}", path)
    return part


def rooted_path(value: object, path: str) -> str:
    """A path that begins with ``/``."""
    whole = url_path(value, path)
    if not whole.startswith("/"):
        raise invalid(f"expected a path that begins with /, got {describe(value)}", path)
    return whole


def string_matches(value: object, path: str, element: Element, beginning: Element | None = None) -> list[StringMatch]:
    """A string, which is short for ``is``, or a map from operators to what they compare with.

    Args:
        value: what was written.
        path: where.
        element: reads one value.
        beginning: reads one value that has to be the whole string or its beginning; ``None`` for ``element``.
    """
    whole = beginning or element
    readers: dict[str, Callable[[object, str], StringMatch]] = {
        "is": lambda it, at: OneOf((whole(it, at),)),
        "not": lambda it, at: NoneOf((whole(it, at),)),
        "in": lambda it, at: OneOf(_values(it, at, whole)),
        "not_in": lambda it, at: NoneOf(_values(it, at, whole)),
        "contains": lambda it, at: Contains(element(it, at)),
        "starts_with": lambda it, at: StartsWith(whole(it, at)),
        "ends_with": lambda it, at: EndsWith(element(it, at)),
    }
    if isinstance(value, str):
        return [readers["is"](value, path)]
    return [readers[operator](it, f"{path}.{operator}") for operator, it in _operators(value, path, readers)]


def list_matches(value: object, path: str, element: Element, known: Iterable[str]) -> list[ListMatch]:
    """A value, which is short for ``has``, or a map from operators to what they compare with.

    Args:
        value: what was written.
        path: where.
        element: reads one value.
        known: the operators of the criterion.
    """
    readers: dict[str, Callable[[object, str], ListMatch]] = {
        "has": lambda it, at: HasAny((element(it, at),)),
        "is": lambda it, at: IsOnly(element(it, at)),
        "not": lambda it, at: HasNone((element(it, at),)),
        "in": lambda it, at: HasAny(_values(it, at, element)),
        "not_in": lambda it, at: HasNone(_values(it, at, element)),
        "contains": lambda it, at: HasLike(Contains(element(it, at))),
        "starts_with": lambda it, at: HasLike(StartsWith(element(it, at))),
        "ends_with": lambda it, at: HasLike(EndsWith(element(it, at))),
    }
    if isinstance(value, str | int):
        return [readers["has"](value, path)]
    return [readers[operator](it, f"{path}.{operator}") for operator, it in _operators(value, path, known)]


def networks(value: object, path: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """An address, a network in CIDR notation, or a list of either."""
    items = value if isinstance(value, list) else [value]
    places = [f"{path}[{index}]" for index in range(len(items))] if isinstance(value, list) else [path]
    found = {_network(item, place) for item, place in zip(items, places, strict=True)}
    return tuple(sorted(found, key=lambda network: (network.version, network)))


def _network(value: object, path: str) -> IPv4Network | IPv6Network:
    written = text(value, path)
    try:
        network = ip_network(written, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in written:
        raise invalid(f'expected IP or CIDR range, got: "{shown(written)}"', path)
    if "/" in written and ip_network(written.partition("/")[0]).network_address != network.network_address:
        raise invalid(f"expected a CIDR range, got {written!r}, which has host bits set: write {network}", path)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise invalid(f"expected an IPv4 range for IPv4 addresses, got {written!r}", path)
    return network


def _operators(value: object, path: str, known: Iterable[str]) -> list[tuple[str, object]]:
    names = ", ".join(known)
    if not isinstance(value, dict) or not value:
        raise invalid(f"expected a string or a map of operators ({names}), got {describe(value)}", path)
    for operator in value:
        if operator not in known:
            raise invalid(f'unknown operator "{shown(operator)}"{nearest(operator, known)}', path)
    return list(value.items())


def _values(value: object, path: str, element: Element) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise invalid(f"expected a list of strings, got {describe(value)}", path)
    return tuple(sorted({element(item, f"{path}[{index}]") for index, item in enumerate(value)}))
