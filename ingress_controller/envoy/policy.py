"""A policy as the proxy runs it: one RBAC matcher a route, and no request that leaves Envoy.

In: ``model.policy.Policy`` and the host of the route. Out: ``RBACPerRoute``. ``policy.plan`` says what a policy means
for a request that is not signed in, signed in elsewhere and signed in; here each plan becomes a list of which the first
match decides::

    no session           -> the plan for anonymous requests     (for most policies: DENY unauth)
    session, other host  -> the plan for a wrong audience       (for most policies: DENY wrong-aud)
    deny rules           -> DENY deny:<rule>
    allow rules          -> ALLOW allow:<rule>
    else                 -> DENY default_deny

The names come out in Envoy's response code details and access log; ``plan.step_name`` says how they are made.

Where values come from: the session is what ``session_jwt`` verified, in dynamic metadata; long lists of users are
looked up in the filter state that ``session_state`` made of it. A client can write neither.
"""

from dataclasses import replace

from envoy_data_plane.cel.expr import Expr
from envoy_data_plane.envoy.config.rbac.v3 import Action, RbacAction
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.envoy.type.matcher.v3 import ValueMatcher

from ingress_controller.envoy import cel, matching
from ingress_controller.envoy.filters import session_jwt, session_state
from ingress_controller.envoy.matching import Entry, OnMatch, Pattern, Predicate
from ingress_controller.model.policy import (
    All,
    Any,
    AuthenticatedUser,
    Claim,
    Constant,
    Contains,
    Criterion,
    Domain,
    Email,
    EndsWith,
    Expression,
    Groups,
    HasAny,
    HttpMethod,
    HttpPath,
    IsOnly,
    ListMatch,
    NoneOf,
    Not,
    OneOf,
    Policy,
    SourceIp,
    StartsWith,
    StringMatch,
    User,
)
from ingress_controller.policy.plan import Standing, Step, make_plan
from ingress_controller.policy.simplify import simplify

LOOK_UP_FROM = 9
"""Users from which a list is a map: below it, a few comparisons are smaller and no slower."""

_ANYTHING = Pattern("regex", "(?s).*")


def rbac_per_route(policy: Policy, host: str) -> RbacPerRoute:
    """The policy filter's configuration for the routes of one host.

    Args:
        policy: who may.
        host: the audience that sessions need; for ``*.example.com`` and ``*`` it is the host of each request.
    """
    signed_in = make_plan(policy, Standing.SIGNED_IN)
    anonymous = make_plan(policy, Standing.ANONYMOUS)
    entries = []
    if anonymous != signed_in:
        elsewhere = make_plan(policy, Standing.WRONG_AUDIENCE)
        entries.append(matching.entry(matching.negated(_session(["sub"], matching.present())), _run(anonymous)))
        entries.append(matching.entry(matching.negated(_audience(host)), _run(elsewhere)))
    *tried, last = signed_in
    entries += [entry for step in tried for entry in _entries(step.condition, _action(step))]
    return RbacPerRoute(rbac=Rbac(matcher=matching.first_match(entries, _action(last))))


def _run(plan: tuple[Step, ...]) -> OnMatch:
    *tried, last = plan
    if not tried:
        return _action(last)
    entries = [entry for step in tried for entry in _entries(step.condition, _action(step))]
    return OnMatch(matcher=matching.first_match(entries, _action(last)))


def _action(step: Step) -> OnMatch:
    effect = RbacAction.ALLOW if step.outcome == "allow" else RbacAction.DENY
    return matching.action(Action(name=step.name, action=effect))


def _audience(host: str) -> Predicate:
    """The session is for this host. A string for an audience is not a list of one: such a session is for no host."""
    if "*" not in host:
        return _session(["aud"], matching.list_with(matching.string([Pattern("exact", host)])))
    listed = _session(["aud"], matching.list_with(matching.present()))
    named = cel.contains(cel.attribute("request", "host"), _payload("aud"))
    return matching.all_of([listed, matching.expression(cel.matcher(named))])


# --- Conditions.


def _entries(condition: Expression, on_match: OnMatch) -> list[Entry]:
    """Lines of a list that match exactly when the condition holds.

    A look-up is not a predicate, so the condition is cut at those that a line can end in: alternatives become lines of
    their own, and what has to hold besides becomes the predicate before it. Elsewhere (under a not, or the second of
    two that have to hold) a long list is compared value by value, which is slower and equal.
    """
    match condition:
        case Email(OneOf(values)) | User(OneOf(values)) if _has_look_up(condition):
            state = session_state.EMAIL if isinstance(condition, Email) else session_state.SUBJECT
            look_up = OnMatch(matcher=matching.look_up(state, values, on_match))
            return [matching.entry(_session([_user_key(condition)], matching.present()), look_up)]
        case Any(terms) if _has_look_up(condition):
            plain = tuple(term for term in terms if not _has_look_up(term))
            first = [matching.entry(_predicate(Any(plain)), on_match)] if plain else []
            return first + [entry for term in terms if _has_look_up(term) for entry in _entries(term, on_match)]
        case All(terms) if _has_look_up(condition):
            last = next(term for term in terms if _has_look_up(term))
            rest = _predicate(All(tuple(term for term in terms if term is not last)))
            return [matching.entry(rest, OnMatch(matcher=matching.first_match(_entries(last, on_match))))]
        case _:
            return [matching.entry(_predicate(condition), on_match)]


def _has_look_up(condition: Expression) -> bool:
    match condition:
        case Email(OneOf(values)) | User(OneOf(values)):
            return len(values) >= LOOK_UP_FROM
        case All(terms) | Any(terms):
            return any(_has_look_up(term) for term in terms)
        case _:
            return False


def _predicate(condition: Expression) -> Predicate:
    match condition:
        case Constant():
            raise AssertionError("a plan has no constant inside a condition")
        case Not(term):
            return matching.negated(_predicate(term))
        case All(terms):
            return matching.all_of([_predicate(term) for term in terms])
        case Any(terms):
            return matching.any_of([_predicate(term) for term in terms])
        case _:
            return _criterion(condition)


# --- Criteria.


def _criterion(criterion: Criterion) -> Predicate:
    match criterion:
        case AuthenticatedUser():
            return _session(["sub"], matching.present())
        case User() | Email():
            return _user(criterion)
        case Domain(match):
            return _domain(match)
        case Groups(match):
            return _session_list(["groups"], match)
        case Claim():
            return _claim(criterion)
        case _:
            return _request(criterion)


def _request(criterion: HttpMethod | HttpPath | SourceIp) -> Predicate:
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


def _user(criterion: User | Email) -> Predicate:
    path = [_user_key(criterion)]
    match criterion.match:
        case NoneOf(values):
            return _there_but_not(_session(path, matching.present()), replace(criterion, match=OneOf(values)))
        case _:
            return _session(path, matching.string(_patterns(criterion.match)))


def _there_but_not(there: Predicate, equal: Criterion) -> Predicate:
    """The value is there and is none of a list, which may be empty."""
    unwanted = simplify(equal)
    return there if isinstance(unwanted, Constant) else matching.all_of([there, matching.negated(_predicate(unwanted))])


def _claim(claim: Claim) -> Predicate:
    exact = ["claims", claim.name]
    predicate = _session_list(exact, claim.match)
    if not claim.nested:
        return predicate
    absent = matching.negated(_session(exact, matching.present()))
    nested = _session_list(["claims", *claim.nested], claim.match)
    return matching.any_of([predicate, matching.all_of([absent, nested])])


def _session_list(path: list[str], match: ListMatch) -> Predicate:
    """A list, or one string, which is a list of one."""
    match match:
        case HasAny(values):
            element = matching.string([Pattern("exact", value) for value in values])
            return _session(path, matching.any_value([element, matching.list_with(element)]))
        case IsOnly(value):
            element = matching.string([Pattern("exact", value)])
            only = matching.expression(cel.matcher(cel.has_size(_payload(*path), 1)))
            listed = matching.all_of([_session(path, matching.list_with(element)), only])
            return matching.any_of([_session(path, element), listed])


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


def _session(path: list[str], value: ValueMatcher) -> Predicate:
    return matching.metadata(session_jwt.METADATA, [session_jwt.PAYLOAD, *path], value)


def _payload(*path: str) -> Expr:
    return cel.index(cel.attribute("metadata", "filter_metadata"), session_jwt.METADATA, session_jwt.PAYLOAD, *path)
