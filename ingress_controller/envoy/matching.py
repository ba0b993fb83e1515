"""Envoy's matching API (``xds.type.matcher.v3``), in the few forms that are needed here.

In: plain values. Out: predicates, which ask one thing of a request, and matchers, which choose an action by predicates
in order or by looking a value up. A nested matcher that finds nothing and has no ``on_no_match`` of its own counts as
"does not match", and the next entry of the list around it is tried: that is how a look-up stands among predicates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, TypeAlias

import betterproto2
import re2
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
from envoy_data_plane.envoy.type.matcher.v3 import HttpRequestHeaderMatchInput, ValueMatcher
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig
from envoy_data_plane.xds.type.matcher import v3 as xds_matcher
from envoy_data_plane.xds.type.matcher.v3 import Matcher

from ingress_controller.envoy import cel
from ingress_controller.envoy.messages import pack

Predicate: TypeAlias = xds_matcher.MatcherMatcherListPredicate
OnMatch: TypeAlias = xds_matcher.MatcherOnMatch
Entry: TypeAlias = xds_matcher.MatcherMatcherListFieldMatcher
_PredicateList: TypeAlias = xds_matcher.MatcherMatcherListPredicatePredicateList
_Single: TypeAlias = xds_matcher.MatcherMatcherListPredicateSinglePredicate


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
    return predicates[0] if len(predicates) == 1 else Predicate(and_matcher=_PredicateList(predicate=list(predicates)))


def any_of(predicates: Sequence[Predicate]) -> Predicate:
    """At least one of one or more."""
    return predicates[0] if len(predicates) == 1 else Predicate(or_matcher=_PredicateList(predicate=list(predicates)))


def negated(predicate: Predicate) -> Predicate:
    """The complement; also true where the value that was asked for is not there."""
    return Predicate(not_matcher=predicate)


def header(name: str, patterns: Sequence[Pattern]) -> Predicate:
    """A request header is there and matches one of the patterns."""
    return _text(HttpRequestHeaderMatchInput(header_name=name), patterns)


def filter_state(key: str, patterns: Sequence[Pattern]) -> Predicate:
    """A string kept in the filter state is there and matches one of the patterns."""
    return _text(FilterStateInput(key=key), patterns)


def metadata(filter_name: str, path: Sequence[str], value: ValueMatcher) -> Predicate:
    """A value in the request's dynamic metadata is there and matches."""
    segments = [DynamicMetadataInputPathSegment(key=key) for key in path]
    source = _extension(DynamicMetadataInput(filter=filter_name, path=segments))
    return _single(_Single(input=source, custom_match=_extension(Metadata(value=value))))


def source_ip(networks: Iterable[IPv4Network | IPv6Network]) -> Predicate:
    """The client's address, as the connection manager trusts it, is in one of one or more networks."""
    ranges = [CidrRange(address_prefix=str(net.network_address), prefix_len=net.prefixlen) for net in networks]
    matcher = Ip(cidr_ranges=ranges, stat_prefix="source_ip")
    return _single(_Single(input=_extension(SourceIpInput()), custom_match=_extension(matcher)))


def server_name(name: str) -> Predicate:
    """The client asked for this name in its TLS handshake."""
    return _text(ServerNameInput(), [Pattern("exact", name)])


def expression(matcher: cel.CelMatcher) -> Predicate:
    """A CEL expression is true."""
    source = _extension(cel.HttpAttributesCelMatchInput())
    return _single(_Single(input=source, custom_match=_extension(matcher)))


# --- Values in metadata.


def present() -> ValueMatcher:
    """There is a value."""
    return ValueMatcher(present_match=True)


def string(patterns: Sequence[Pattern]) -> ValueMatcher:
    """A string that matches one of one or more patterns, none of which is a regex.

    Envoy refuses a regex with a program of more than 100 instructions here, and not for headers and filter state.
    """
    return any_value([ValueMatcher(string_match=_envoy_string(pattern)) for pattern in patterns])


def list_with(element: ValueMatcher) -> ValueMatcher:
    """A list with such an element. A string is not a list."""
    return ValueMatcher(list_match=envoy_matcher.ListMatcher(one_of=element))


def any_value(values: Sequence[ValueMatcher]) -> ValueMatcher:
    """At least one of one or more."""
    if len(values) == 1:
        return values[0]
    return ValueMatcher(or_match=envoy_matcher.OrMatcher(value_matchers=list(values)))


# --- Matchers.


def entry(predicate: Predicate, on_match: OnMatch) -> Entry:
    """One line of ``first_match``."""
    return Entry(predicate=predicate, on_match=on_match)


def first_match(entries: Sequence[Entry], on_no_match: OnMatch | None = None) -> Matcher:
    """The first entry that matches; with no entries, always ``on_no_match``."""
    matchers = xds_matcher.MatcherMatcherList(matchers=list(entries)) if entries else None
    return Matcher(matcher_list=matchers, on_no_match=on_no_match)


def look_up(filter_state: str, keys: Iterable[str], on_match: OnMatch) -> Matcher:
    """The string kept in the filter state is one of the keys: one look-up, however many there are.

    The same map over dynamic metadata loads, and never matches.
    """
    found = xds_matcher.MatcherMatcherTreeMatchMap(map=dict.fromkeys(keys, on_match))
    source = _extension(FilterStateInput(key=filter_state))
    return Matcher(matcher_tree=xds_matcher.MatcherMatcherTree(input=source, exact_match_map=found))


def action(message: betterproto2.Message) -> OnMatch:
    """Take an action."""
    return OnMatch(action=_extension(message))


def _text(source: betterproto2.Message, patterns: Sequence[Pattern]) -> Predicate:
    text = _extension(source)
    return any_of([_single(_Single(input=text, value_match=_xds_string(pattern))) for pattern in patterns])


def _single(predicate: _Single) -> Predicate:
    return Predicate(single_predicate=predicate)


def _extension(message: betterproto2.Message) -> TypedExtensionConfig:
    """Envoy finds an extension by the type of its configuration; the name is for people, but may not be empty."""
    return TypedExtensionConfig(name=type(message).__name__, typed_config=pack(message))


def _xds_string(pattern: Pattern) -> xds_matcher.StringMatcher:
    engine = xds_matcher.RegexMatcherGoogleRe2()  # without it the message is refused
    regex = _text_of(pattern, "regex")
    return xds_matcher.StringMatcher(
        exact=_text_of(pattern, "exact"),
        prefix=_text_of(pattern, "prefix"),
        suffix=_text_of(pattern, "suffix"),
        contains=_text_of(pattern, "contains"),
        safe_regex=None if regex is None else xds_matcher.RegexMatcher(google_re2=engine, regex=regex),
    )


def _envoy_string(pattern: Pattern) -> envoy_matcher.StringMatcher:
    if pattern.kind == "regex":
        raise AssertionError("see string()")
    return envoy_matcher.StringMatcher(
        exact=_text_of(pattern, "exact"),
        prefix=_text_of(pattern, "prefix"),
        suffix=_text_of(pattern, "suffix"),
        contains=_text_of(pattern, "contains"),
    )


def _text_of(pattern: Pattern, kind: str) -> str | None:
    return pattern.text if pattern.kind == kind else None
