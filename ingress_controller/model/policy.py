"""Who may: the typed tree of the Pomerium Policy Language.

In: what ``policy.parse`` read, or what annotations such as ``allowed_users`` mean. Out: values that two readers share,
``policy.evaluate`` (explains one decision) and ``envoy.policy`` (compiles it into the proxy). Everything is frozen,
hashable and compared by value, so that equal policies share one encoded message; lists of values whose order means
nothing are kept sorted for the same reason.

A criterion about the session is false for a request that is not signed in, and for a session that lacks the value:
``email: {not: x}`` asks for an e-mail other than x, not for the absence of x. The conditionals ``not`` and ``nor``
are the complement instead (``Not``).
"""

from datetime import datetime, time
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, TypeAlias

from msgspec import Struct

# --- What a string has to be. Every form is false when there is no string.


class OneOf(Struct, frozen=True, gc=False):
    """Equal to one of the values (``is``, ``in``). Sorted, without duplicates; empty is never."""

    values: tuple[str, ...]


class NoneOf(Struct, frozen=True, gc=False):
    """There, and equal to none of the values (``not``, ``not_in``). Sorted, without duplicates."""

    values: tuple[str, ...]


class StartsWith(Struct, frozen=True, gc=False):
    """Begins with the value, which is not empty."""

    value: str


class EndsWith(Struct, frozen=True, gc=False):
    """Ends with the value, which is not empty."""

    value: str


class Contains(Struct, frozen=True, gc=False):
    """Has the value somewhere in it; the value is not empty."""

    value: str


StringMatch: TypeAlias = OneOf | NoneOf | StartsWith | EndsWith | Contains


# --- What a list of strings has to be. Every form is false when there is no list.


class HasAny(Struct, frozen=True, gc=False):
    """At least one element is one of the values (``has``, ``in``). Sorted, without duplicates; empty is never."""

    values: tuple[str, ...]


class HasNone(Struct, frozen=True, gc=False):
    """No element is one of the values (``not``, ``not_in``). Sorted, without duplicates."""

    values: tuple[str, ...]


class HasLike(Struct, frozen=True, gc=False):
    """At least one element is like this (``starts_with``, ``ends_with``, ``contains``)."""

    element: StartsWith | EndsWith | Contains


class IsOnly(Struct, frozen=True, gc=False):
    """The list has exactly one element, and it is the value (``is``)."""

    value: str


ListMatch: TypeAlias = HasAny | HasNone | HasLike | IsOnly


# --- Criteria.


class SessionCriterion(Struct, frozen=True, gc=False):
    """A criterion about who asks: false for a request that is not signed in."""


class AuthenticatedUser(SessionCriterion, frozen=True, gc=False):
    """Anybody who is signed in."""


class User(SessionCriterion, frozen=True, gc=False):
    """The identity provider's id of the user (``sub``)."""

    match: StringMatch


class Email(SessionCriterion, frozen=True, gc=False):
    """The user's e-mail address; sessions carry it, and matches are written, in lower case."""

    match: StringMatch


class Domain(SessionCriterion, frozen=True, gc=False):
    """What follows the last ``@`` of the e-mail address, in lower case; there is none without an ``@``."""

    match: StringMatch


class Groups(SessionCriterion, frozen=True, gc=False):
    """The ids of the groups the user is in."""

    match: ListMatch


class Claim(SessionCriterion, frozen=True, gc=False):
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


class HttpMethod(Struct, frozen=True, gc=False):
    """The request's method, in upper case."""

    match: StringMatch


class HttpPath(Struct, frozen=True, gc=False):
    """The request's path as Envoy routes it (normalized), without the query; CONNECT has none."""

    match: StringMatch


class SourceIp(Struct, frozen=True, gc=False):
    """The client's address is in one of the networks. Sorted, without duplicates; empty is never."""

    networks: tuple[IPv4Network | IPv6Network, ...]


class CorsPreflight(Struct, frozen=True, gc=False):
    """A browser asks before a request from another site: OPTIONS with Origin and Access-Control-Request-Method."""


class Date(Struct, frozen=True, gc=False):
    """The request comes at or after the one instant and before the other, where there is one.

    Instants are in UTC, of whole seconds; ``before`` is later than ``after``.
    """

    after: datetime | None
    before: datetime | None


class DayOfWeek(Struct, frozen=True, gc=False):
    """The request comes on one of the days, which begin at midnight of the zone.

    Attributes:
        zone: a name of the time zone database, or ``+hh:mm`` or ``-hh:mm``.
        days: 0 is Monday. Sorted, without duplicates; empty is never.
    """

    zone: str
    days: tuple[int, ...]


class TimeOfDay(Struct, frozen=True, gc=False):
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


class ClientCertificate(Struct, frozen=True, gc=False):
    """The client showed a certificate that its host's authorities vouch for, and it is one of these.

    ``fingerprints`` are SHA-256, lower-case hex without colons. Sorted, without duplicates; empty is never.
    """

    fingerprints: tuple[str, ...]


class InvalidClientCertificate(Struct, frozen=True, gc=False):
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


class Constant(Struct, frozen=True, gc=False):
    """Always or never: ``accept``, ``reject``, and what is left when an expression folds."""

    value: bool


class Not(Struct, frozen=True, gc=False):
    """The complement."""

    term: "Expression"


class All(Struct, frozen=True, gc=False):
    """Every term holds."""

    terms: tuple["Expression", ...]


class Any(Struct, frozen=True, gc=False):
    """At least one term holds."""

    terms: tuple["Expression", ...]


Expression: TypeAlias = Constant | Not | All | Any | Criterion


class Rule(Struct, frozen=True, gc=False):
    """One block of a policy: when ``condition`` holds, ``action`` is taken.

    Attributes:
        action: a deny that holds wins over every allow.
        name: where it was written, such as ``policy[0].allow`` or ``allowed_users``.
        condition: never true when the block was empty.
    """

    action: Literal["allow", "deny"]
    name: str
    condition: Expression


class Policy(Struct, frozen=True, weakref=True):
    """Who may: nobody, unless an allow rule holds and no deny rule does. Rules are in the order they are tried."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
