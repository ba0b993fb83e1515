"""One criterion of a policy as a predicate of Envoy's matchers.

In: a criterion of ``model.policy``. Out: a predicate that matches exactly when the criterion holds, by
``policy.evaluate``.

What only an expression can ask may fail when a request comes: Envoy may not have the time zones of this program, for
one. A failing expression matches nothing, and so does its opposite; which of the two is asked decides what a failure
counts as. The caller says which is safe: ``in_doubt``.

Where values come from: the session is what ``session_jwt`` verified, in dynamic metadata, and the filter state that
``session_state`` made of it; certificates are what the TLS handshake verified. A client can write none of these.
"""

from datetime import datetime, time
from itertools import groupby, takewhile

from envoy_data_plane.cel.expr import Expr
from msgspec.structs import replace

from ingress_controller.envoy import cel, matching
from ingress_controller.envoy.filters import session_jwt, session_state
from ingress_controller.envoy.matching import Pattern, Predicate, Value
from ingress_controller.model.policy import (
    AuthenticatedUser,
    Claim,
    ClientCertificate,
    Constant,
    Contains,
    CorsPreflight,
    Criterion,
    Date,
    DayOfWeek,
    Domain,
    Email,
    EndsWith,
    Groups,
    HasAny,
    HasLike,
    HasNone,
    HttpMethod,
    HttpPath,
    InvalidClientCertificate,
    IsOnly,
    ListMatch,
    NoneOf,
    OneOf,
    SourceIp,
    StartsWith,
    StringMatch,
    TimeOfDay,
    User,
)
from ingress_controller.policy.simplify import simplify

_COMPARED = 32
"""Users of a list that are compared one by one where no look-up can stand; longer lists are split."""

_MOST_SPLITS = 5
"""Each is one more level of the message, and Envoy reads only so many."""

_ANYTHING = Pattern("regex", "(?s).*")
_SOMETHING = Pattern("regex", "(?s).+")


def predicate(criterion: Criterion, *, in_doubt: bool) -> Predicate:
    """Matches when the criterion holds.

    Args:
        criterion: what is asked.
        in_doubt: what it counts as if Envoy cannot decide it.
    """
    match criterion:
        case AuthenticatedUser():
            return signed_in()
        case User() | Email():
            return _user(criterion)
        case Domain(match):
            return _domain(match)
        case Groups(match):
            return _session_list(["groups"], match)
        case Claim():
            return _claim(criterion)
        case HttpMethod() | HttpPath() | SourceIp() | CorsPreflight():
            return _request(criterion)
        case _:
            expression = _expression(criterion)
            asked = matching.expression(cel.matcher(cel.negated(expression) if in_doubt else expression))
            return matching.negated(asked) if in_doubt else asked


def signed_in() -> Predicate:
    """There is a session."""
    return _session(["sub"], matching.present())


def has_user_key(criterion: User | Email) -> Predicate:
    """The session has the value that the criterion compares."""
    return _session([_user_key(criterion)], matching.present())


def session_for(host: str) -> Predicate:
    """The session is for this host. A string for an audience is not a list of one: such a session is for no host."""
    if "*" not in host:
        return _session(["aud"], matching.list_with(matching.string([Pattern("exact", host)])))
    listed = _session(["aud"], matching.list_with(matching.present()))
    named = cel.contains(cel.attribute("request", "host"), _payload("aud"))
    return matching.all_of([listed, matching.expression(cel.matcher(named))])


def handshake_for(host: str) -> Predicate:
    """The client asked for this host in its TLS handshake too; for a wildcard, for the host of the request.

    A port is no part of the name: it follows the host of a CONNECT alone, which has a route of its own and no wildcard.
    """
    if "*" not in host:
        return matching.server_name(host.partition(":")[0])
    same = cel.call("_==_", cel.attribute("request", "host"), cel.attribute("connection", "requested_server_name"))
    return matching.expression(cel.matcher(same))


def _request(criterion: HttpMethod | HttpPath | SourceIp | CorsPreflight) -> Predicate:
    match criterion:
        case HttpMethod(NoneOf(values)):
            return _there_but_not(matching.header(":method", [_ANYTHING]), HttpMethod(OneOf(values)))
        case HttpMethod(match):
            return matching.header(":method", _patterns(match))
        case HttpPath(NoneOf(values)):
            return _there_but_not(matching.header(":path", [_ANYTHING]), HttpPath(OneOf(values)))
        case HttpPath(match):
            return matching.header(":path", _path_patterns(match))
        case SourceIp(networks):
            return matching.source_ip(networks)
        case CorsPreflight():
            given = (matching.header(name, [_SOMETHING]) for name in ("origin", "access-control-request-method"))
            return matching.all_of([matching.header(":method", [Pattern("exact", "OPTIONS")]), *given])


def _user(criterion: User | Email) -> Predicate:
    path = [_user_key(criterion)]
    match criterion.match:
        case NoneOf(values):
            return _there_but_not(_session(path, matching.present()), replace(criterion, match=OneOf(values)))
        case OneOf(values):
            return _one_of(path, values, _MOST_SPLITS)
        case _:
            return _session(path, matching.string(_patterns(criterion.match)))


def _one_of(path: list[str], values: tuple[str, ...], splits: int) -> Predicate:
    """The value is one of a sorted list. A long one is split by how its values begin, as often as that helps."""
    if len(values) <= _COMPARED or not splits:
        return _session(path, matching.string([Pattern("exact", value) for value in values]))
    # What the first and the last of a sorted list begin with, all others do too.
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(values[0], values[-1], strict=False)))
    groups = [(start, tuple(group)) for start, group in groupby(values, lambda value: value[: shared + 1])]
    return matching.any_of(
        [
            matching.all_of(
                [_session(path, matching.string([Pattern("prefix", start)])), _one_of(path, group, splits - 1)]
            )
            for start, group in groups
        ]
    )


def _there_but_not(there: Predicate, equal: Criterion) -> Predicate:
    """The value is there and is none of a list, which may be empty."""
    if isinstance(simplify(equal), Constant):
        return there
    return matching.all_of([there, matching.negated(predicate(equal, in_doubt=False))])


def _claim(claim: Claim) -> Predicate:
    exact = ["claims", claim.name]
    named = _session_list(exact, claim.match)
    if not claim.nested:
        return named
    absent = matching.negated(_session(exact, matching.present()))
    nested = _session_list(["claims", *claim.nested], claim.match)
    return matching.any_of([named, matching.all_of([absent, nested])])


def _session_list(path: list[str], match: ListMatch) -> Predicate:
    """A list, or one string, which is a list of one."""
    match match:
        case HasAny(values):
            return _some(path, [Pattern("exact", value) for value in values])
        case HasLike(like):
            return _some(path, _patterns(like))
        case HasNone(values):
            there = _session(path, matching.present())
            return matching.all_of([there, matching.negated(_session_list(path, HasAny(values)))]) if values else there
        case IsOnly(value):
            element = matching.string([Pattern("exact", value)])
            only = matching.expression(cel.matcher(cel.has_size(_payload(*path), 1)))
            listed = matching.all_of([_session(path, matching.list_with(element)), only])
            return matching.any_of([_session(path, element), listed])


def _some(path: list[str], patterns: list[Pattern]) -> Predicate:
    element = matching.string(patterns)
    return _session(path, matching.any_value([element, matching.list_with(element)]))


def _domain(match: StringMatch) -> Predicate:
    """The part of the e-mail after its last ``@``; no value to compare with has one in it."""
    there = _session(["email"], matching.string([Pattern("contains", "@")]))
    match match:
        case OneOf(values):
            return _session(["email"], matching.string([Pattern("suffix", f"@{value}") for value in values]))
        case NoneOf(values):
            return _there_but_not(there, Domain(OneOf(values)))
        case StartsWith(value):
            regex = rf"(?s).*@{matching.quoted(value)}[^@]*"
        case EndsWith(value):
            regex = rf"(?s).*@[^@]*{matching.quoted(value)}"
        case Contains(value):
            regex = rf"(?s).*@[^@]*{matching.quoted(value)}[^@]*"
    return matching.filter_state(session_state.EMAIL, [Pattern("regex", regex)])


def _patterns(match: OneOf | StartsWith | EndsWith | Contains | NoneOf) -> list[Pattern]:
    match match:
        case OneOf(values):
            return [Pattern("exact", value) for value in values]
        case StartsWith(value):
            return [Pattern("prefix", value)]
        case EndsWith(value):
            return [Pattern("suffix", value)]
        case Contains(value):
            return [Pattern("contains", value)]
        case NoneOf():
            raise AssertionError("compiled as the complement of OneOf")


def _path_patterns(match: StringMatch) -> list[Pattern]:
    """The same on ``:path``, where a query may follow; no value to compare with has a ``?`` in it."""
    match match:
        case OneOf(values):
            return [Pattern(*pattern) for value in values for pattern in (("exact", value), ("prefix", f"{value}?"))]
        case EndsWith(value):
            return [Pattern("regex", rf"(?s)[^?]*{matching.quoted(value)}(?:\?.*)?")]
        case Contains(value):
            return [Pattern("regex", rf"(?s)[^?]*{matching.quoted(value)}.*")]
        case _:
            return _patterns(match)


def _user_key(criterion: User | Email) -> str:
    return "email" if isinstance(criterion, Email) else "sub"


def _session(path: list[str], value: Value) -> Predicate:
    return matching.metadata(session_jwt.METADATA, [session_jwt.PAYLOAD, *path], value)


def _payload(*path: str) -> Expr:
    return cel.index(cel.attribute("metadata", "filter_metadata"), session_jwt.METADATA, session_jwt.PAYLOAD, *path)


# --- Expressions.


def _expression(
    criterion: Date | DayOfWeek | TimeOfDay | ClientCertificate | InvalidClientCertificate,
) -> Expr:
    match criterion:
        case Date(after, before):
            return _from_to(cel.call("int", _NOW), _seconds(after), _seconds(before))
        case DayOfWeek(zone, days):
            # There, the week begins on Sunday.
            return cel.one_of(_clock("getDayOfWeek", zone), [(day + 1) % 7 for day in days])
        case TimeOfDay():
            return _time_of_day(criterion)
        case ClientCertificate(fingerprints):
            shown = cel.attribute("connection", "sha256_peer_certificate_digest")
            # The fingerprint of a certificate that nobody vouches for is there too.
            return cel.both(_VALID, cel.one_of(shown, fingerprints))
        case InvalidClientCertificate():
            return cel.negated(_VALID)


_NOW = cel.attribute("request", "time")
_VALID = cel.attribute("connection", "peer_certificate_valid")


def _clock(part: str, zone: str) -> Expr:
    """A part of what the zone's clock shows. For UTC Envoy needs no database."""
    return cel.method(_NOW, part, *([] if zone == "UTC" else [cel.constant(zone)]))


def _time_of_day(criterion: TimeOfDay) -> Expr:
    hours, minutes, seconds = (_clock(part, criterion.zone) for part in ("getHours", "getMinutes", "getSeconds"))
    whole = cel.call("_+_", cel.call("_*_", hours, cel.constant(60)), minutes)
    clock = cel.call("_+_", cel.call("_*_", whole, cel.constant(60)), seconds)
    after, before = _second(criterion.after), _second(criterion.before)
    if criterion.over_midnight and after is not None and before is not None:
        return cel.negated(_from_to(clock, before, after))
    return _from_to(clock, after, before)


def _from_to(value: Expr, first: int | None, end: int | None) -> Expr:
    """``value`` is at least ``first`` and less than ``end``; one of them may be missing."""
    begun = cel.call("_>=_", value, cel.constant(first)) if first is not None else None
    unfinished = cel.call("_<_", value, cel.constant(end)) if end is not None else None
    terms = [term for term in (begun, unfinished) if term is not None]
    return cel.both(*terms) if len(terms) == 2 else terms[0]


def _seconds(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp())


def _second(clock: time | None) -> int | None:
    return None if clock is None else (clock.hour * 60 + clock.minute) * 60 + clock.second
