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
"""

from dataclasses import dataclass
from functools import lru_cache

from envoy_data_plane.envoy.config.rbac.v3 import Action, RbacAction
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.google.protobuf import Any as Packed
from envoy_data_plane.xds.type.matcher.v3 import Matcher

from ingress_controller.envoy import matching, policy_criteria
from ingress_controller.envoy.filters import session_state
from ingress_controller.envoy.library import pinned
from ingress_controller.envoy.matching import Entry, OnMatch, Predicate
from ingress_controller.envoy.messages import pack
from ingress_controller.model.policy import All, Any, Constant, Email, Expression, Not, OneOf, Policy, User
from ingress_controller.policy.plan import Standing, Step, make_plan

LOOK_UP_FROM = 9
"""Users from which a list is a map: below it, a few comparisons are smaller and no slower."""

MISDIRECTED = "misdirected"
"""The name of the denial of requests whose host is not the name that the TLS handshake was for."""


def rbac_per_route(
    policy: Policy, host: str, shadow: Policy | None = None, *, server_name_must_match: bool = False
) -> RbacPerRoute:
    """The policy filter's configuration for the routes of one host.

    Args:
        policy: who may.
        host: the audience that sessions need; for ``*.example.com`` and ``*`` it is the host of each request.
        shadow: a policy that Envoy only counts and logs, each step by its name, whatever it makes of it.
        server_name_must_match: deny requests that come over a connection made for another host, whose client
            certificate was judged by that host's authorities, or by none.
    """
    shadow_parts = None if shadow is None else _parts(shadow)
    return _assemble(_parts(policy), host, shadow_parts, server_name_must_match=server_name_must_match)


# Routes of a host mostly have one policy, and hosts are encoded one after the other.
@lru_cache(maxsize=16)
def packed(policy: Policy, host: str, shadow: Policy | None = None, *, server_name_must_match: bool = False) -> Packed:
    """The same, encoded: what hosts with the same policy have in common is encoded once."""
    shadow_parts = None if shadow is None else _pinned(shadow)
    return pack(_assemble(_pinned(policy), host, shadow_parts, server_name_must_match=server_name_must_match))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a policy is made of on every host.

    Attributes:
        anonymous: the line for requests without a session; none where a session makes no difference.
        elsewhere: what becomes of a session of another host.
        tried: the lines for sessions of this host.
        last: what holds where none of these matches.
    """

    anonymous: Entry | None
    elsewhere: OnMatch
    tried: tuple[Entry, ...]
    last: OnMatch


def _parts(policy: Policy) -> _Parts:
    signed_in = make_plan(policy, Standing.SIGNED_IN)
    anonymous = make_plan(policy, Standing.ANONYMOUS)
    without = matching.entry(matching.negated(policy_criteria.signed_in()), _run(anonymous))
    *tried, last = signed_in
    return _Parts(
        anonymous=None if anonymous == signed_in else without,
        elsewhere=_run(make_plan(policy, Standing.WRONG_AUDIENCE)),
        tried=tuple(entry for step in tried for entry in _tried(step)),
        last=_action(last),
    )


@lru_cache(maxsize=256)
def _pinned(policy: Policy) -> _Parts:
    parts = _parts(policy)
    return _Parts(
        anonymous=None if parts.anonymous is None else pinned(parts.anonymous),
        elsewhere=pinned(parts.elsewhere),
        tried=tuple(map(pinned, parts.tried)),
        last=pinned(parts.last),
    )


def _assemble(parts: _Parts, host: str, shadow: _Parts | None, *, server_name_must_match: bool) -> RbacPerRoute:
    rbac = Rbac(matcher=_matcher(parts, host, server_name_must_match=server_name_must_match))
    if shadow is not None:
        rbac.shadow_matcher = _matcher(shadow, host)
        rbac.track_per_rule_stats = True
    return RbacPerRoute(rbac=rbac)


def _matcher(parts: _Parts, host: str, *, server_name_must_match: bool = False) -> Matcher:
    entries = []
    if server_name_must_match:
        misdirected = matching.negated(policy_criteria.handshake_for(host))
        entries.append(matching.entry(misdirected, _named(RbacAction.DENY, MISDIRECTED)))
    if parts.anonymous is not None:
        elsewhere = matching.entry(matching.negated(policy_criteria.session_for(host)), parts.elsewhere)
        entries += [parts.anonymous, elsewhere]
    return matching.first_match([*entries, *parts.tried], parts.last)


def _run(plan: tuple[Step, ...]) -> OnMatch:
    *tried, last = plan
    if not tried:
        return _action(last)
    entries = [entry for step in tried for entry in _tried(step)]
    return OnMatch(matcher=matching.first_match(entries, _action(last)))


def _tried(step: Step) -> list[Entry]:
    """The lines of a step. What cannot be decided admits nobody: in doubt, a denial holds and an allowance does not."""
    return _entries(step.condition, _action(step), in_doubt=step.outcome != "allow")


def _action(step: Step) -> OnMatch:
    return _named(RbacAction.ALLOW if step.outcome == "allow" else RbacAction.DENY, step.name)


def _named(effect: RbacAction, name: str) -> OnMatch:
    return matching.action(Action(name=name, action=effect))


# --- Conditions.


def _entries(condition: Expression, on_match: OnMatch, *, in_doubt: bool) -> list[Entry]:
    """Lines of a list that match exactly when the condition holds.

    A look-up is not a predicate, so the condition is cut at those that a line can end in: alternatives become lines of
    their own, and what has to hold besides becomes the predicate before it. Elsewhere (under a not, or the second of
    two that have to hold) a long list is a tree of comparisons, which is slower and equal.
    """
    match condition:
        case Email(OneOf(values)) | User(OneOf(values)) if _has_look_up(condition):
            state = session_state.EMAIL if isinstance(condition, Email) else session_state.SUBJECT
            look_up = OnMatch(matcher=matching.look_up(state, values, on_match))
            return [matching.entry(policy_criteria.has_user_key(condition), look_up)]
        case Any(terms) if _has_look_up(condition):
            plain = tuple(term for term in terms if not _has_look_up(term))
            first = [matching.entry(_predicate(Any(plain), in_doubt=in_doubt), on_match)] if plain else []
            rest = (_entries(term, on_match, in_doubt=in_doubt) for term in terms if _has_look_up(term))
            return first + [entry for entries in rest for entry in entries]
        case All(terms) if _has_look_up(condition):
            last = next(term for term in terms if _has_look_up(term))
            before = _predicate(All(tuple(term for term in terms if term is not last)), in_doubt=in_doubt)
            entries = _entries(last, on_match, in_doubt=in_doubt)
            return [matching.entry(before, OnMatch(matcher=matching.first_match(entries)))]
        case _:
            return [matching.entry(_predicate(condition, in_doubt=in_doubt), on_match)]


def _has_look_up(condition: Expression) -> bool:
    match condition:
        case Email(OneOf(values)) | User(OneOf(values)):
            return len(values) >= LOOK_UP_FROM
        case All(terms) | Any(terms):
            return any(_has_look_up(term) for term in terms)
        case _:
            return False


def _predicate(condition: Expression, *, in_doubt: bool) -> Predicate:
    match condition:
        case Constant():
            raise AssertionError("a plan has no constant inside a condition")
        case Not(term):
            return matching.negated(_predicate(term, in_doubt=not in_doubt))
        case All(terms):
            return matching.all_of([_predicate(term, in_doubt=in_doubt) for term in terms])
        case Any(terms):
            return matching.any_of([_predicate(term, in_doubt=in_doubt) for term in terms])
        case _:
            return policy_criteria.predicate(condition, in_doubt=in_doubt)
