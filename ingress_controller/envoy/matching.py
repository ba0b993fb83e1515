"""Envoy's matching API (``xds.type.matcher.v3``), in the few forms that are needed here.

In: plain values. Out: encoded predicates, which ask one thing of a request, and matchers, which choose an action by
predicates in order or by looking a value up. A nested matcher that finds nothing and has no ``on_no_match`` of its own
counts as "does not match", and the next entry of the list around it is tried: that is how a look-up stands among
predicates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal, NewType

import re2
from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import CidrRange
from envoy_data_plane.envoy.extensions.matching.common_inputs.network.v3 import (
    DynamicMetadataInput,
    DynamicMetadataInputPathSegment,
    FilterStateInput,
    ServerNameInput,
    SourceIpInput,
)
from envoy_data_plane.envoy.extensions.matching.input_matchers.ip.v3 import Ip
from envoy_data_plane.envoy.extensions.matching.input_matchers.metadata.v3 import Metadata
from envoy_data_plane.envoy.type.matcher import v3 as envoy_matcher
from envoy_data_plane.envoy.type.matcher.v3 import HttpRequestHeaderMatchInput, ListMatcher, OrMatcher, ValueMatcher
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig
from envoy_data_plane.xds.type.matcher import v3 as xds_matcher
from envoy_data_plane.xds.type.matcher.v3 import Matcher, MatcherMatcherList, MatcherMatcherListFieldMatcher
from envoy_data_plane.xds.type.matcher.v3 import MatcherMatcherListPredicate as _Predicate
from envoy_data_plane.xds.type.matcher.v3 import MatcherMatcherListPredicatePredicateList as _PredicateList
from envoy_data_plane.xds.type.matcher.v3 import MatcherMatcherListPredicateSinglePredicate as _SinglePredicate

from ingress_controller.envoy import cel
from ingress_controller.envoy.encoding import Encoded, encoded, packed

Predicate = NewType("Predicate", tuple[bytes, ...])
"""``Matcher.MatcherList.Predicate``."""

Value = NewType("Value", tuple[bytes, ...])
"""``ValueMatcher``."""

OnMatch = NewType("OnMatch", tuple[bytes, ...])
"""``Matcher.OnMatch``."""

Lines = NewType("Lines", tuple[bytes, ...])
"""``Matcher.MatcherList``: lines, each a predicate and what becomes of a request for which it is true."""

NO_LINES = Lines(())


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a string has to be; a ``regex`` is RE2 and matches the whole string."""

    kind: Literal["exact", "prefix", "suffix", "contains", "regex"]
    text: str


def quoted(text: str) -> str:
    """The pattern that matches a text and nothing else, as RE2 itself quotes it."""
    return str(re2.escape(text))


# --- Predicates.


def all_of(predicates: Sequence[Predicate]) -> Predicate:
    """Every one of one or more; asked in order, up to the first that does not match."""
    return predicates[0] if len(predicates) == 1 else _predicate(and_matcher=_list(predicates))


def any_of(predicates: Sequence[Predicate]) -> Predicate:
    """At least one of one or more."""
    return predicates[0] if len(predicates) == 1 else _predicate(or_matcher=_list(predicates))


def negated(predicate: Predicate) -> Predicate:
    """The complement; also true where the value that was asked for is not there."""
    return _predicate(not_matcher=predicate)


def header(name: str, patterns: Sequence[Pattern]) -> Predicate:
    """A request header is there and matches one of the patterns."""
    return _text(_extension(HttpRequestHeaderMatchInput, header_name=name), patterns)


def filter_state(key: str, patterns: Sequence[Pattern]) -> Predicate:
    """A string kept in the filter state is there and matches one of the patterns."""
    return _text(_extension(FilterStateInput, key=key), patterns)


def metadata(filter_name: str, path: Sequence[str], value: Value) -> Predicate:
    """A value in the request's dynamic metadata is there and matches."""
    return _single(input=_metadata_input(filter_name, tuple(path)), custom_match=_extension(Metadata, value=value))


def source_ip(networks: Iterable[IPv4Network | IPv6Network]) -> Predicate:
    """The client's address, as the connection manager trusts it, is in one of one or more networks."""
    ranges = [CidrRange(address_prefix=str(net.network_address), prefix_len=net.prefixlen) for net in networks]
    matcher = _extension(Ip, cidr_ranges=ranges, stat_prefix="source_ip")
    return _single(input=_extension(SourceIpInput), custom_match=matcher)


def server_name(name: str) -> Predicate:
    """The client asked for this name in its TLS handshake."""
    return _text(_extension(ServerNameInput), [Pattern("exact", name)])


def expression(matcher: cel.CelMatcher) -> Predicate:
    """A CEL expression is true."""
    matches = _extension(cel.CelMatcher, expr_match=matcher.expr_match)
    return _single(input=_extension(cel.HttpAttributesCelMatchInput), custom_match=matches)


# --- Values in metadata.


def present() -> Value:
    """There is a value."""
    return _value(present_match=True)


def string(patterns: Sequence[Pattern]) -> Value:
    """A string that matches one of one or more patterns, none of which is a regex.

    Envoy refuses a regex with a program of more than 100 instructions here, and not for headers and filter state.
    """
    return any_value([_value(string_match=_envoy_string(pattern)) for pattern in patterns])


def list_with(element: Value) -> Value:
    """A list with such an element. A string is not a list."""
    return _value(list_match=encoded(ListMatcher, one_of=element))


def any_value(values: Sequence[Value]) -> Value:
    """At least one of one or more."""
    return values[0] if len(values) == 1 else _value(or_match=encoded(OrMatcher, value_matchers=values))


# --- Matchers.


def line(predicate: Predicate, on_match: OnMatch) -> Lines:
    """One line; several are put one behind the other."""
    entry = encoded(MatcherMatcherListFieldMatcher, predicate=predicate, on_match=on_match)
    return Lines(encoded(MatcherMatcherList, matchers=[entry]))


def first_match(lines: Lines, on_no_match: OnMatch | None = None) -> Encoded:
    """A ``Matcher``: the first line that matches; with no lines, always ``on_no_match``."""
    return encoded(Matcher, matcher_list=lines or None, on_no_match=on_no_match)


def look_up(filter_state: str, keys: Iterable[str], on_match: OnMatch) -> Encoded:
    """A ``Matcher``: the string kept in the filter state is one of the keys; one look-up, however many there are.

    The same map over dynamic metadata loads, and never matches.
    """
    found = encoded(xds_matcher.MatcherMatcherTreeMatchMap, map=dict.fromkeys(keys, on_match))
    source = _extension(FilterStateInput, key=filter_state)
    tree = encoded(xds_matcher.MatcherMatcherTree, input=source, exact_match_map=found)
    return encoded(Matcher, matcher_tree=tree)


def action(message: Message) -> OnMatch:
    """Take an action."""
    config = encoded(
        TypedExtensionConfig, name=type(message).__name__, typed_config=packed(type(message), (bytes(message),))
    )
    return OnMatch(encoded(xds_matcher.MatcherOnMatch, action=config))


def go_on(matcher: Encoded) -> OnMatch:
    """Ask another matcher."""
    return OnMatch(encoded(xds_matcher.MatcherOnMatch, matcher=matcher))


def _text(source: Encoded, patterns: Sequence[Pattern]) -> Predicate:
    return any_of([_single(input=source, value_match=_xds_string(pattern)) for pattern in patterns])


def _single(**fields: Encoded) -> Predicate:
    return _predicate(single_predicate=encoded(_SinglePredicate, **fields))


def _predicate(**fields: Encoded) -> Predicate:
    return Predicate(encoded(_Predicate, **fields))


def _list(predicates: Sequence[Predicate]) -> Encoded:
    return encoded(_PredicateList, predicate=predicates)


def _value(**fields: Encoded | bool) -> Value:
    return Value(encoded(ValueMatcher, **fields))


# Policies ask for few things.
@lru_cache(maxsize=256)
def _metadata_input(filter_name: str, path: tuple[str, ...]) -> Encoded:
    segments = [encoded(DynamicMetadataInputPathSegment, key=key) for key in path]
    return _extension(DynamicMetadataInput, filter=filter_name, path=segments)


def _extension(message: type[Message], **fields: Any) -> Encoded:
    """Envoy finds an extension by the type of its configuration; the name is for people, but may not be empty."""
    config = packed(message, encoded(message, **fields))
    return encoded(TypedExtensionConfig, name=message.__name__, typed_config=config)


def _xds_string(pattern: Pattern) -> Encoded:
    if pattern.kind == "regex":
        engine = xds_matcher.RegexMatcherGoogleRe2()  # without it the message is refused
        regex = encoded(xds_matcher.RegexMatcher, google_re2=engine, regex=pattern.text)
        return encoded(xds_matcher.StringMatcher, safe_regex=regex)
    return encoded(xds_matcher.StringMatcher, **{pattern.kind: pattern.text})


def _envoy_string(pattern: Pattern) -> Encoded:
    if pattern.kind == "regex":
        raise AssertionError("see string()")
    return encoded(envoy_matcher.StringMatcher, **{pattern.kind: pattern.text})
