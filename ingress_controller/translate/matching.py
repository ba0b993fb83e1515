"""Hosts and paths of an Ingress, as what is matched.

In: the text of a host, or of a path with its type. Out: a host name or a ``PathMatch``; ``ValueError`` says what was
wrong and what is allowed. The API server checks most of this too; manifests come here unchecked.
"""

import re

from ingress_controller.annotations.patterns import compile_pattern
from ingress_controller.model.host import CATCH_ALL, OWN_PATHS
from ingress_controller.model.route import Exact, PathMatch, Prefix, Regex
from ingress_controller.objects.names import is_dns_name

_RESERVED = OWN_PATHS.rstrip("/")
_ADDRESS = re.compile(r"[0-9.]+", re.ASCII)
_NOT_NORMAL = re.compile(
    r"//|/\.\.?(?:/|$)"  # empty and dotted elements
    r"|[^!-~]|[\\?#\"<>^`{|}]"  # what a request's path does not have as it is
    r"|%(?:00|2f|5c)"  # requests with these are refused
    r"|%(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)",  # letters, digits and -._~, which are decoded
    re.ASCII | re.IGNORECASE,
)


def parse_host(text: str, *, allow_empty: bool) -> str:
    """The host of a rule: exact, a wildcard for one label, or empty where that is allowed."""
    if not text and allow_empty:
        return CATCH_ALL
    if not text:
        raise ValueError(
            "the rule has no host and would serve every host; "
            'if that is intended, set the annotation subtle_allow_empty_host to "true"'
        )
    if len(text) > 253 or not is_dns_name(text.removeprefix("*.")) or _ADDRESS.fullmatch(text):
        raise ValueError(
            f"host {text[:253]!r} must be a lower-case DNS name, or one with *. in front, "
            "and neither an address nor a name with a port"
        )
    return text


def parse_path(text: str, path_type: str, *, path_regex: bool) -> PathMatch:
    """A path with its pathType; ImplementationSpecific is a prefix, or with ``path_regex`` a pattern."""
    if path_type == "ImplementationSpecific" and path_regex:
        return Regex(parse_pattern(text))
    path = text or ("/" if path_type == "ImplementationSpecific" else "")
    if not path.startswith("/"):
        raise ValueError(f"path {path[:80]!r} must begin with /")
    if found := _NOT_NORMAL.search(path):
        raise ValueError(
            f"path {path[:80]!r} contains {found[0]!r}, but requests are matched in their normal form: without empty "
            "or dotted elements, escaped slashes or a query, and percent-encoded just where a URL has to be"
        )
    if path == _RESERVED or path.startswith(OWN_PATHS):
        raise ValueError(f"path {path[:80]!r}: {_RESERVED} is reserved for sign-in, on every host")
    return Exact(path) if path_type == "Exact" else Prefix(path.rstrip("/") or "/")


def check_tunnel(path: str, path_type: str) -> None:
    """A tunnel has no path."""
    if path or path_type != "ImplementationSpecific":
        raise ValueError(
            "tcp services must not specify path and must have ImplementationSpecific path type, "
            f"got {path[:80]!r} and {path_type}"
        )


def parse_pattern(text: str) -> str:
    """An RE2 pattern for a whole path, from ``^/`` to ``$``."""
    if not text.startswith("^/") or not text.endswith("$"):
        raise ValueError(f"pattern {text[:80]!r} must begin with ^/ and end with $, since it matches the whole path")
    compile_pattern(text)
    return text
