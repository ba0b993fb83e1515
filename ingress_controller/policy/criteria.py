"""The table of criteria: everything that may stand in a list of a policy.

In: the YAML value of one criterion. Out: its expression, or ``PolicyError``. The parser, the messages about unknown
names and the documentation all read this one table; a new criterion is one row here, one node in ``model.policy`` and
one case each in ``policy.evaluate`` and ``envoy.policy``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ingress_controller.model.policy import (
    All,
    AuthenticatedUser,
    Claim,
    ClientCertificate,
    Constant,
    CorsPreflight,
    Date,
    DayOfWeek,
    Domain,
    Email,
    Expression,
    Groups,
    HttpMethod,
    HttpPath,
    InvalidClientCertificate,
    SessionCriterion,
    SourceIp,
    TimeOfDay,
    User,
)
from ingress_controller.policy import certificates, matchers, times
from ingress_controller.policy.error import invalid, shown

_STRING = ("is", "not", "in", "not_in", "contains", "starts_with", "ends_with")
_LIST = ("has", "is")
_GROUPS = ("has", *_STRING)


@dataclass(frozen=True, slots=True)
class Entry:
    """One criterion of the language.

    Attributes:
        name: the key that is written.
        node: the node it becomes; whether it needs a session follows from it.
        value: what may be written after it, for people.
        operators: the operators of its matcher; none if it takes a plain value.
        doc: what it asks, in one sentence.
        build: reads the value: the YAML value, its path and, for ``claim/NAME``, the name.
    """

    name: str
    node: type
    value: str
    operators: tuple[str, ...]
    doc: str
    build: Callable[[object, str, str], Expression]

    @property
    def needs_session(self) -> bool:
        """Whether it is false for everybody who is not signed in."""
        return issubclass(self.node, SessionCriterion)


def _never(value: object, path: str, _: str) -> Expression:
    matchers.boolean(value, path)
    return Constant(value=False)


def _claim(value: object, path: str, name: str) -> Expression:
    if not name:
        raise invalid("a claim needs a name: write claim/NAME", path)
    checked = matchers.text(name, path)
    return _all([Claim(checked, match) for match in matchers.list_matches(value, path, matchers.claim_text, _LIST)])


def _groups(value: object, path: str, _: str) -> Expression:
    return _all([Groups(match) for match in matchers.list_matches(value, path, matchers.text, _GROUPS)])


def _all(terms: list[Expression]) -> Expression:
    return terms[0] if len(terms) == 1 else All(tuple(terms))


def _flag(node: Expression) -> Callable[[object, str, str], Expression]:
    return lambda value, path, _: node if matchers.boolean(value, path) else Constant(value=False)


def _strings(node: Callable[..., Expression], element: matchers.Element, whole: matchers.Element | None = None) -> (
    Callable[[object, str, str], Expression]
):  # fmt: skip
    return lambda value, path, _: _all([node(match) for match in matchers.string_matches(value, path, element, whole)])


CRITERIA = {
    entry.name: entry
    for entry in (
        Entry(
            "accept", Constant, "true or false", (), "Always true; `false` is never true.",
            lambda value, path, _: Constant(matchers.boolean(value, path)),
        ),
        Entry("reject", Constant, "true or false", (), "Never true, whichever is written.", _never),
        Entry(
            "authenticated_user", AuthenticatedUser, "true or false", (),
            "Anybody who is signed in; `false` is never true.",
            _flag(AuthenticatedUser()),
        ),
        Entry(
            "email", Email, "a string or operators", _STRING, "The user's e-mail address, compared without case.",
            _strings(Email, matchers.address),
        ),
        Entry(
            "domain", Domain, "a string or operators", _STRING,
            "What follows the last @ of the user's e-mail address, compared without case.",
            _strings(Domain, matchers.domain),
        ),
        Entry(
            "user", User, "a string or operators", _STRING, "The identity provider's id of the user.",
            _strings(User, matchers.text),
        ),
        Entry(
            "groups", Groups, "a string or operators", _GROUPS,
            "The ids of the user's groups: a string and `has` ask for one of them, `is` for the only one.",
            _groups,
        ),
        Entry(
            "claim", Claim, "a string or operators, after claim/NAME", _LIST,
            "A claim of the identity provider, compared as text; NAME is a claim, or with / the path to a nested one.",
            _claim,
        ),
        Entry(
            "http_method", HttpMethod, "a string or operators", _STRING, "The request's method, in upper case.",
            _strings(HttpMethod, matchers.method),
        ),
        Entry(
            "http_path", HttpPath, "a string or operators", _STRING, "The request's path without the query.",
            _strings(HttpPath, matchers.url_path, matchers.rooted_path),
        ),
        Entry(
            "source_ip", SourceIp, "an address, a network in CIDR notation, or a list of them", (),
            "The address of the client, as the proxy trusts it.",
            lambda value, path, _: SourceIp(matchers.networks(value, path)),
        ),
        Entry(
            "cors_preflight", CorsPreflight, "true or false", (),
            "The request of a browser before one from another site: OPTIONS with the headers Origin and "
            "Access-Control-Request-Method; `false` is never true.",
            _flag(CorsPreflight()),
        ),
        Entry(
            "date", Date, "`after`, `before` or both, each a date or a date and time in ISO 8601", (),
            "When the request comes.",
            lambda value, path, _: times.date(value, path),
        ),
        Entry(
            "day_of_week", DayOfWeek, "`*` or days such as `mon,wed` or `mon-fri`, or `timezone` and `days`", (),
            "The day on which the request comes, in UTC unless a time zone is given.",
            lambda value, path, _: times.day_of_week(value, path),
        ),
        Entry(
            "time_of_day", TimeOfDay, "`timezone`, and `after`, `before` or both, each a time such as 16:20 or 4:20 PM",
            (), "What a clock in the time zone shows when the request comes.",
            lambda value, path, _: times.time_of_day(value, path),
        ),
        Entry(
            "client_certificate", ClientCertificate, "`fingerprint`: a SHA-256 fingerprint, or a list of them", (),
            "A client certificate that the host's authorities vouch for, by its fingerprint.",
            lambda value, path, _: certificates.client_certificate(value, path),
        ),
        Entry(
            "invalid_client_certificate", InvalidClientCertificate, "true or false", (),
            "A client without a certificate that the host's authorities vouch for; `false` is never true.",
            _flag(InvalidClientCertificate()),
        ),
    )
}  # fmt: skip
"""Every criterion by name, in the order of the documentation."""


def parse_criterion(name: str, value: object, path: str) -> Expression:
    """One entry of a list of criteria.

    Raises:
        PolicyError: for a name that is not in the table, or a value that the criterion does not take.
    """
    word, slash, rest = name.partition("/")
    entry = CRITERIA.get(word)
    if entry is None or (slash and word != "claim"):
        raise invalid(f'unknown criterion "{shown(name)}"{matchers.nearest(word, CRITERIA)}', path)
    return entry.build(value, path, rest)
