"""Who may: the typed tree of the Pomerium Policy Language.

In: what ``policy.parse`` read, or what annotations such as ``allowed_users`` mean. Out: values that two readers share,
``policy.evaluate`` (explains one decision) and ``envoy.policy`` (compiles it into the proxy). Everything is frozen,
hashable and compared by value, so that equal policies share one encoded message; lists of values whose order means
nothing are kept sorted for the same reason.

A criterion about the session is false for a request that is not signed in, and for a session that lacks the value:
``email: {not: x}`` asks for an e-mail other than x, not for the absence of x. The conditionals ``not`` and ``nor``
are the complement instead (``Not``).
"""

from dataclasses import dataclass
from datetime import datetime, time
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, TypeAlias

# --- What a string has to be. Every form is false when there is no string.


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of the values (``is``, ``in``). Sorted, without duplicates; empty is never."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """There, and equal to none of the values (``not``, ``not_in``). Sorted, without duplicates."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartsWith:
    """Begins with the value, which is not empty."""

    value: str


@dataclass(frozen=True, slots=True)
class EndsWith:
    """Ends with the value, which is not empty."""

    value: str


@dataclass(frozen=True, slots=True)
class Contains:
    """Has the value somewhere in it; the value is not empty."""

    value: str


StringMatch: TypeAlias = OneOf | NoneOf | StartsWith | EndsWith | Contains


# --- What a list of strings has to be. Every form is false when there is no list.


@dataclass(frozen=True, slots=True)
class HasAny:
    """At least one element is one of the values (``has``, ``in``). Sorted, without duplicates; empty is never."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasNone:
    """No element is one of the values (``not``, ``not_in``). Sorted, without duplicates."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasLike:
    """At least one element is like this (``starts_with``, ``ends_with``, ``contains``)."""

    element: StartsWith | EndsWith | Contains


@dataclass(frozen=True, slots=True)
class IsOnly:
    """The list has exactly one element, and it is the value (``is``)."""

    value: str


ListMatch: TypeAlias = HasAny | HasNone | HasLike | IsOnly


# --- Criteria.


class SessionCriterion:
    """A criterion about who asks: false for a request that is not signed in."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AuthenticatedUser(SessionCriterion):
    """Anybody who is signed in."""


@dataclass(frozen=True, slots=True)
class User(SessionCriterion):
    """The identity provider's id of the user (``sub``)."""

    match: StringMatch


@dataclass(frozen=True, slots=True)
class Email(SessionCriterion):
    """The user's e-mail address; sessions carry it, and matches are written, in lower case."""

    match: StringMatch


@dataclass(frozen=True, slots=True)
class Domain(SessionCriterion):
    """What follows the last ``@`` of the e-mail address, in lower case; there is none without an ``@``."""

    match: StringMatch


@dataclass(frozen=True, slots=True)
class Groups(SessionCriterion):
    """The ids of the groups the user is in."""

    match: ListMatch


@dataclass(frozen=True, slots=True)
class Claim(SessionCriterion):
    """A claim of the identity provider, as text; one string is a list of one.

    ``name`` is the claim of exactly that name if there is one, else, when it has slashes, the path to a nested one:
    ``a/b`` is ``{"a/b": ...}`` or ``{"a": {"b": ...}}``.
    """

    name: str
    match: ListMatch

    @property
    def nested(self) -> tuple[str, ...]:
        """Where to look when there is no claim of exactly that name; empty for nowhere."""
        keys = tuple(self.name.split("/"))
        return keys if len(keys) > 1 and all(keys) else ()


@dataclass(frozen=True, slots=True)
class HttpMethod:
    """The request's method, in upper case."""

    match: StringMatch


@dataclass(frozen=True, slots=True)
class HttpPath:
    """The request's path as Envoy routes it (normalized), without the query; CONNECT has none."""

    match: StringMatch


@dataclass(frozen=True, slots=True)
class SourceIp:
    """The client's address is in one of the networks. Sorted, without duplicates; empty is never."""

    networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class CorsPreflight:
    """A browser asks before a request from another site: OPTIONS with Origin and Access-Control-Request-Method."""


@dataclass(frozen=True, slots=True)
class Date:
    """The request comes at or after the one instant and before the other, where there is one.

    Instants are in UTC, of whole seconds; ``before`` is later than ``after``.
    """

    after: datetime | None
    before: datetime | None


@dataclass(frozen=True, slots=True)
class DayOfWeek:
    """The request comes on one of the days, which begin at midnight of the zone.

    Attributes:
        zone: a name of the time zone database, or ``+hh:mm`` or ``-hh:mm``.
        days: 0 is Monday. Sorted, without duplicates; empty is never.
    """

    zone: str
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """The clock of the zone shows ``after`` or later, and less than ``before``; over midnight if that is earlier.

    Attributes:
        zone: a name of the time zone database, or ``+hh:mm`` or ``-hh:mm``.
        after: of whole seconds; ``None`` is midnight at the beginning of the day.
        before: of whole seconds and not equal to ``after``; ``None`` is midnight at the end of the day.
    """

    zone: str
    after: time | None
    before: time | None

    @property
    def over_midnight(self) -> bool:
        """Whether it begins on one day and ends on the next."""
        return self.after is not None and self.before is not None and self.before < self.after


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The client showed a certificate that its host's authorities vouch for, and it is one of these.

    ``fingerprints`` are SHA-256, lower-case hex without colons. Sorted, without duplicates; empty is never.
    """

    fingerprints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InvalidClientCertificate:
    """The client showed no certificate, or one that its host's authorities do not vouch for."""


RequestCriterion: TypeAlias = (
    HttpMethod | HttpPath | SourceIp | CorsPreflight | Date | DayOfWeek | TimeOfDay
    | ClientCertificate | InvalidClientCertificate
)  # fmt: skip
"""What is known of every request, signed in or not."""

Criterion: TypeAlias = (
    AuthenticatedUser | User | Email | Domain | Groups | Claim | RequestCriterion
)  # fmt: skip


# --- Expressions.


@dataclass(frozen=True, slots=True)
class Constant:
    """Always or never: ``accept``, ``reject``, and what is left when an expression folds."""

    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The complement."""

    term: "Expression"


@dataclass(frozen=True, slots=True)
class All:
    """Every term holds."""

    terms: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one term holds."""

    terms: tuple["Expression", ...]


Expression: TypeAlias = Constant | Not | All | Any | Criterion


@dataclass(frozen=True, slots=True)
class Rule:
    """One block of a policy: when ``condition`` holds, ``action`` is taken.

    Attributes:
        action: a deny that holds wins over every allow.
        name: where it was written, such as ``policy[0].allow`` or ``allowed_users``.
        condition: never true when the block was empty.
    """

    action: Literal["allow", "deny"]
    name: str
    condition: Expression


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may: nobody, unless an allow rule holds and no deny rule does. Rules are in the order they are tried."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
