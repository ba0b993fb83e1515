"""One decision, and why.

In: a policy, a request and the session it carries. Out: what the proxy would answer, under the name it would report,
and a tree of every criterion with what it looked at. It is the reference of the compiled form: both follow ``plan``,
and a property test holds their criteria equal on a real Envoy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias, Union

from ingress_controller.model.policy import (
    All,
    Any,
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
    Expression,
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
    Not,
    OneOf,
    Policy,
    RequestCriterion,
    Rule,
    SessionCriterion,
    SourceIp,
    StartsWith,
    StringMatch,
    TimeOfDay,
    User,
)
from ingress_controller.policy.plan import Outcome, Standing, make_plan
from ingress_controller.policy.times import DAYS, zone_of

ClaimValue: TypeAlias = Union[str, Sequence[str], "Mapping[str, ClaimValue]"]


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """The certificate that a client showed.

    Attributes:
        fingerprint: SHA-256, lower-case hex without colons.
        valid: whether the authorities of the host that was asked for vouch for it now.
    """

    fingerprint: str
    valid: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy sees of a request.

    Attributes:
        host: lower case, as the host of the route.
        method: as sent.
        path: normalized; a query is ignored. ``None`` for CONNECT.
        source_ip: the client's address, as the proxy trusts it.
        time: when it comes; with a time zone.
        headers: by lower-case name; only those that a criterion looks at are needed.
        certificate: of the client, where the host asks for one and the client showed one.
    """

    host: str
    method: str
    path: str | None
    source_ip: IPv4Address | IPv6Address
    time: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: ShownCertificate | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What a policy sees of a valid session.

    Attributes:
        subject: the identity provider's id of the user (``sub``).
        audience: the hosts it is for (``aud``).
        email: in lower case, as sessions are minted.
        groups: ids.
        claims: of the identity provider, as text, lists of text or nested (the session's ``claims``).
    """

    subject: str
    audience: tuple[str, ...]
    email: str | None = None
    groups: tuple[str, ...] | None = None
    claims: Mapping[str, ClaimValue] = field(default_factory=dict)


Actual: TypeAlias = str | tuple[str, ...]
"""What a criterion looks at: a string, or the list that ``groups``, ``claim`` and ``cors_preflight`` look at."""

_PREFLIGHT = ("OPTIONS", "origin", "access-control-request-method")


@dataclass(frozen=True, slots=True)
class Trace:
    """One node of a rule's condition: what it looked at (``None``: nothing there), whether it held, and its terms."""

    expression: Expression
    actual: Actual | None
    holds: bool
    terms: tuple["Trace", ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a request.

    Attributes:
        outcome: ``sign_in`` is a redirect for browsers and 401 for programs.
        name: the policy id that Envoy reports.
        trace: every rule in the order of trial, denials first, as it is for this request.
    """

    outcome: Outcome
    name: str
    trace: tuple[tuple[Rule, Trace], ...]


def evaluate(policy: Policy, request: Request, session: Session | None) -> Decision:
    """Decide one request."""
    standing = _standing(request, session)
    known = session if standing is Standing.SIGNED_IN else None
    steps = make_plan(policy, standing)
    decisive = next(step for step in steps if _trace(step.condition, request, known).holds)
    rules = tuple((rule, _trace(rule.condition, request, known)) for rule in (*policy.deny, *policy.allow))
    return Decision(decisive.outcome, decisive.name, rules)


def _standing(request: Request, session: Session | None) -> Standing:
    if session is None:
        return Standing.ANONYMOUS
    return Standing.SIGNED_IN if request.host in session.audience else Standing.WRONG_AUDIENCE


def _trace(expression: Expression, request: Request, session: Session | None) -> Trace:
    match expression:
        case Constant(value):
            return Trace(expression, None, value)
        case Not(term):
            inner = _trace(term, request, session)
            return Trace(expression, None, not inner.holds, (inner,))
        case All(terms) | Any(terms):
            inners = tuple(_trace(term, request, session) for term in terms)
            held = (inner.holds for inner in inners)
            return Trace(expression, None, all(held) if isinstance(expression, All) else any(held), inners)
        case _:
            actual = _look_at(expression, request, session)
            return Trace(expression, actual, actual is not None and _satisfies(expression, actual))


def _look_at(criterion: Criterion, request: Request, session: Session | None) -> Actual | None:
    if isinstance(criterion, SessionCriterion):
        return None if session is None else _look_at_session(criterion, session)
    return _look_at_request(criterion, request)


def _look_at_request(criterion: RequestCriterion, request: Request) -> Actual | None:
    match criterion:
        case HttpMethod():
            return request.method
        case HttpPath():
            return None if request.path is None else request.path.partition("?")[0]
        case SourceIp():
            mapped = request.source_ip.ipv4_mapped if isinstance(request.source_ip, IPv6Address) else None
            return str(mapped or request.source_ip)
        case CorsPreflight():
            return (request.method, *(name for name in _PREFLIGHT[1:] if request.headers.get(name)))
        case ClientCertificate():
            shown = request.certificate
            return shown.fingerprint if shown is not None and shown.valid else None
        case InvalidClientCertificate():
            return _validity(request.certificate)
        case Date() | DayOfWeek() | TimeOfDay():
            return _look_at_clock(criterion, request.time)


def _validity(certificate: ShownCertificate | None) -> str:
    if certificate is None:
        return "no certificate"
    return "a valid certificate" if certificate.valid else "an invalid certificate"


def _look_at_clock(criterion: Date | DayOfWeek | TimeOfDay, now: datetime) -> str:
    """What the criterion's clock shows, to the second: ISO 8601, and for a day its name."""
    zone = UTC if isinstance(criterion, Date) else zone_of(criterion.zone)
    there = now.astimezone(zone).replace(microsecond=0)
    match criterion:
        case Date():
            return there.isoformat()
        case DayOfWeek():
            return DAYS[there.weekday()]
        case TimeOfDay():
            return there.time().isoformat()


def _look_at_session(
    criterion: AuthenticatedUser | User | Email | Domain | Groups | Claim, session: Session
) -> Actual | None:
    match criterion:
        case AuthenticatedUser() | User():
            return session.subject
        case Email():
            return session.email
        case Domain():
            _, at, domain = (session.email or "").rpartition("@")
            return domain if at else None
        case Groups():
            return session.groups
        case Claim(name):
            return _claim(session.claims, (name,) if name in session.claims else criterion.nested)


def _satisfies(criterion: Criterion, actual: Actual) -> bool:
    match criterion:
        case AuthenticatedUser():
            return True
        case SourceIp(networks):
            return any(ip_address(str(actual)) in network for network in networks)
        case Groups(match) | Claim(_, match):
            return _list_holds(match, tuple(actual))
        case User(match) | Email(match) | Domain(match) | HttpMethod(match) | HttpPath(match):
            return _string_holds(match, str(actual))
        case CorsPreflight():
            return actual == _PREFLIGHT
        case ClientCertificate(fingerprints):
            return actual in fingerprints
        case InvalidClientCertificate():
            return actual != "a valid certificate"
        case Date() | DayOfWeek() | TimeOfDay():
            return _clock_holds(criterion, str(actual))


def _clock_holds(criterion: Date | DayOfWeek | TimeOfDay, shown: str) -> bool:
    match criterion:
        case Date(after, before):
            now = datetime.fromisoformat(shown)
            return (after is None or now >= after) and (before is None or now < before)
        case DayOfWeek(_, days):
            return DAYS.index(shown) in days
        case TimeOfDay(_, after, before):
            clock = time.fromisoformat(shown)
            begun, unfinished = after is None or clock >= after, before is None or clock < before
            return (begun or unfinished) if criterion.over_midnight else (begun and unfinished)


def _string_holds(match: StringMatch, actual: str) -> bool:
    match match:
        case OneOf(values):
            return actual in values
        case NoneOf(values):
            return actual not in values
        case StartsWith(value):
            return actual.startswith(value)
        case EndsWith(value):
            return actual.endswith(value)
        case Contains(value):
            return value in actual


def _list_holds(match: ListMatch, actual: tuple[str, ...]) -> bool:
    match match:
        case HasAny(values):
            return any(value in values for value in actual)
        case HasNone(values):
            return not any(value in values for value in actual)
        case HasLike(element):
            return any(_string_holds(element, value) for value in actual)
        case IsOnly(value):
            return actual == (value,)


def _claim(claims: Mapping[str, ClaimValue], path: tuple[str, ...]) -> tuple[str, ...] | None:
    value: ClaimValue | None = claims
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    match value:
        case None | Mapping():
            return None
        case str():
            return (value,)
        case _:
            return tuple(value)
