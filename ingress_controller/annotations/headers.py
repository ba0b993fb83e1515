"""The annotations about headers.

In: their text, a YAML map or list. Out: typed values. Header values are literal text, except for the documented
``${pomerium.*}`` variables on requests; ``%`` means nothing to anybody.
"""

import re
from collections.abc import Iterable, Iterator

import yaml

from ingress_controller import strict_yaml
from ingress_controller.annotations.settings import SetResponseHeaders
from ingress_controller.annotations.values import kind_of, strings
from ingress_controller.model.headers import Part, PrefixRewrite, RequestHeader, Template, Variable

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_UNSAFE = frozenset({"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer",
                     "keep-alive", "proxy-connection", "cookie", "x-host-scope"})  # fmt: skip
_OWN_PREFIXES = ("x-pomerium-", "x-envoy-", "impersonate-", "x-ingress-")
# One value for all responses would take the place of the upstream's cookies, and Envoy writes its own name last.
_UNSAFE_IN_RESPONSES = frozenset({"set-cookie", "server"})
# Envoy refuses more than 1000 headers, and values of more than 16384 bytes, in which each % counts twice.
_MAX_HEADERS = 1000
_MAX_HEADER_BYTES = 8192
_MAX_REWRITES = 100
_NULL = "tag:yaml.org,2002:null"
_REWRITE_KEYS = ("header", "prefix", "value")

_DOLLAR = re.compile(r"\$\$|\$\{(?P<braced>\s*pomerium\b[^}]*)\}|\$(?P<bare>pomerium\b(?:\.[A-Za-z0-9_-]+)*)", re.ASCII)
_HEADER_REFERENCE = re.compile(
    r'pomerium\s*\.\s*request\s*\.\s*headers\s*(?:\[\s*"(?P<quoted>[^"]*)"\s*\]|\.\s*(?P<plain>[A-Za-z0-9_-]+))',
    re.ASCII,
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_VARIABLES = {variable.value: variable for variable in Variable}
_PROVIDER_TOKENS = frozenset({"pomerium.access_token", "pomerium.id_token"})
_KNOWN = ", ".join(f"${{{name}}}" for name in sorted(_VARIABLES)) + ' and ${pomerium.request.headers["NAME"]}'


def request_headers(text: str) -> tuple[tuple[str, Template], ...]:
    """A map of header names to values, in which variables stand for what Envoy knows of the request."""
    return tuple((header_name(name), _template(name, value)) for name, value in _pairs(text))


def response_headers(text: str) -> SetResponseHeaders:
    """A map of header names to literal values, or ``{disable: true}`` for none, not even the default ones."""
    pairs = _pairs(text)
    if ("disable", "true") in pairs and len(pairs) == 1:
        return SetResponseHeaders(defaults=False)
    if any(name.lower() == "disable" for name, _ in pairs):
        raise ValueError("disable: is no header; {disable: true}, alone, drops the default headers")
    return SetResponseHeaders(tuple((response_header_name(name), value) for name, value in pairs))


def rewrites(text: str) -> tuple[PrefixRewrite, ...]:
    """A list of maps of ``header``, ``prefix`` and ``value``."""
    value = strict_yaml.load(text)
    if not isinstance(value, list):
        raise ValueError(f"must be a list such as [{{header: Location, prefix: a, value: b}}], got {kind_of(value)}")
    if len(value) > _MAX_REWRITES:
        raise ValueError(f"must have at most {_MAX_REWRITES} entries, got {len(value)}")
    return tuple(_rewrite(index, entry) for index, entry in enumerate(value))


def header_names(text: str) -> tuple[str, ...]:
    """A list of header names."""
    return tuple(header_name(name) for name in strings(text))


def source_header(text: str) -> str:
    """A header of the request whose value is used."""
    return _readable(text.strip())


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
    if folded in _UNSAFE or folded.startswith(_OWN_PREFIXES):
        raise ValueError(f"{name}: this header cannot be set or removed by an annotation")
    return name


def response_header_name(name: str) -> str:
    """A header of responses that may be set, with one value for all."""
    if name.lower() in _UNSAFE_IN_RESPONSES:
        raise ValueError(f"{name}: this header cannot be set by an annotation")
    return header_name(name)


def header_text(name: str, value: str) -> str:
    """The value of the header ``name``, as it is."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError(f"{name}: a header's value must be one line without control characters")
    if len(value.encode()) > _MAX_HEADER_BYTES:
        raise ValueError(f"{name}: a header's value must have at most {_MAX_HEADER_BYTES} bytes")
    return value


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """A map of texts. Numbers and booleans are taken as they are written."""
    node = strict_yaml.compose(text)
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("must map header names to values, such as {X-Name: value}")
    pairs = tuple((_scalar(name, "a header's name"), _value(name.value, value)) for name, value in node.value)
    if len(pairs) > _MAX_HEADERS:
        raise ValueError(f"must set at most {_MAX_HEADERS} headers, got {len(pairs)}")
    folded = [name.lower() for name, _ in pairs]
    for name in folded:
        if folded.count(name) > 1:
            raise ValueError(f"{name}: named twice; header names are compared without case")
    return pairs


def _value(name: str, node: yaml.Node) -> str:
    return header_text(name, _scalar(node, f"{name}: a header's value"))


def _scalar(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
        raise ValueError(f"{what} must be text, a number or a boolean, not a list, a map or null")
    return str(node.value)


def _template(name: str, value: str) -> Template:
    try:
        return tuple(_joined(_parts(value)))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _parts(value: str) -> Iterator[Part]:
    end = 0
    for found in _DOLLAR.finditer(value):
        yield value[end : found.start()]
        end = found.end()
        reference = found["braced"] or found["bare"]
        yield _reference(reference) if reference else "$"
    yield value[end:]


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """The same without empty texts, and with one text where several stand side by side."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        yield part
        text = ""
    if text:
        yield text


def _reference(text: str) -> Part:
    if header := _HEADER_REFERENCE.fullmatch(text.strip()):
        return RequestHeader(_readable(header["quoted"] or header["plain"] or ""))
    name = re.sub(r"\s", "", text)
    if name in _PROVIDER_TOKENS:
        raise ValueError(f"${{{name}}} is not available: a session does not hold the identity provider's tokens")
    if name not in _VARIABLES:
        raise ValueError(f"${{{name[:80]}}} is unknown; known are {_KNOWN}, and $$ is a dollar sign")
    return _VARIABLES[name]


def _readable(name: str) -> str:
    """A header whose value may be used elsewhere: one that a client sends to the upstream anyway."""
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not a header name: use letters, digits and -")
    try:
        return header_name(name)
    except ValueError:
        raise ValueError(f"{name}: the value of this header cannot be used") from None


def _rewrite(index: int, entry: object) -> PrefixRewrite:
    if not isinstance(entry, dict) or set(entry) != set(_REWRITE_KEYS):
        raise ValueError(f"[{index}] must be a map of {', '.join(_REWRITE_KEYS)}, each once and nothing else")
    for key in _REWRITE_KEYS:
        if not isinstance(entry[key], str):
            raise ValueError(f"[{index}].{key} must be a string, got {kind_of(entry[key])}")
        header_text(f"[{index}].{key}", entry[key])
    if not entry["prefix"]:
        raise ValueError(f"[{index}].prefix must not be empty")
    if entry["header"].lower() == "server":
        raise ValueError(f"[{index}].header: Server is Envoy's own")
    return PrefixRewrite(header_name(entry["header"]), entry["prefix"], entry["value"])
