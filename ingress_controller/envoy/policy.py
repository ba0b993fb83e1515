"""A policy as the proxy runs it: one RBAC matcher a route, and no request that leaves Envoy.

In: ``model.policy.Policy`` and the host of the route. Out: ``RBACPerRoute``, of which hosts with the same policy share
all that says nothing of the host. ``policy.plan`` says what a policy means for a request that is not signed in, signed
in elsewhere and signed in; here each plan becomes a list of which the first match decides::

    no session           -> the plan for anonymous requests     (for most policies: DENY unauth)
    session, other host  -> the plan for a wrong audience       (for most policies: DENY wrong-aud)
    deny rules           -> DENY deny:<rule>
    allow rules          -> ALLOW allow:<rule>
    else                 -> DENY default_deny

The names come out in Envoy's response code details and access log; ``plan.step_name`` says how they are made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from envoy_data_plane.envoy.config.rbac.v3 import Action, RbacAction
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute

from ingress_controller.envoy import matching, policy_criteria
from ingress_controller.envoy.encoding import Encoded, encoded, packed, shared
from ingress_controller.envoy.filters import session_state
from ingress_controller.envoy.matching import NO_LINES, Lines, OnMatch, Predicate
from ingress_controller.model.policy import All, Any, Constant, Email, Expression, Not, OneOf, Policy, User
from ingress_controller.policy.plan import Standing, Step, make_plan

LOOK_UP_FROM = 9
"""Users from which a list is a map: below it, a few comparisons are smaller and no slower."""

MISDIRECTED = "misdirected"
"""The name of the denial of requests whose host is not the name that the TLS handshake was for."""


def per_route(
    policy: Policy, host: str, shadow: Policy | None = None, *, server_name_must_match: bool = False
) -> Encoded:
    """The policy filter's configuration for routes of a host: ``RBACPerRoute``, with the URL of its type.

    Args:
        policy: who may.
        host: the audience that sessions need; for ``*.example.com`` and ``*`` it is the host of each request.
        shadow: a policy that Envoy only counts and logs, each step by its name, whatever it makes of it.
        server_name_must_match: deny requests that come over a connection made for another host, whose client
            certificate was judged by that host's authorities, or by none.
    """
    lines = NO_LINES
    if server_name_must_match:
        misdirected = matching.negated(policy_criteria.handshake_for(host))
        lines = matching.line(misdirected, _named(RbacAction.DENY, MISDIRECTED))
    rbac = encoded(
        Rbac,
        matcher=_matcher(lines, policy, host),
        shadow_matcher=_matcher(NO_LINES, shadow, host) if shadow is not None else None,
        track_per_rule_stats=shadow is not None,
    )
    return packed(RbacPerRoute, encoded(RbacPerRoute, rbac=rbac))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a policy is made of on every host.

    Attributes:
        anonymous: the line for requests without a session; none where a session makes no difference.
        elsewhere: what becomes of a session of another host.
        tried: the lines for sessions of this host.
        last: what holds where none of these matches.
    """

    anonymous: Lines
    elsewhere: OnMatch
    tried: Lines
    last: OnMatch


@lru_cache(maxsize=256)
def _parts(policy: Policy) -> _Parts:
    signed_in = make_plan(policy, Standing.SIGNED_IN)
    anonymous = make_plan(policy, Standing.ANONYMOUS)
    without = matching.line(matching.negated(policy_criteria.signed_in()), _run(anonymous))
    *tried, last = signed_in
    return _Parts(
        anonymous=NO_LINES if anonymous == signed_in else Lines(shared(without)),
        elsewhere=_run(make_plan(policy, Standing.WRONG_AUDIENCE)),
        tried=Lines(shared(_tried(tried))),
        last=_action(last),
    )


def _matcher(before: Lines, policy: Policy, host: str) -> Encoded:
    """The lines of a policy, after others."""
    parts = _parts(policy)
    lines = before
    if parts.anonymous:
        elsewhere = matching.line(matching.negated(policy_criteria.session_for(host)), parts.elsewhere)
        lines = Lines(lines + parts.anonymous + elsewhere)
    return matching.first_match(Lines(lines + parts.tried), parts.last)


def _run(plan: tuple[Step, ...]) -> OnMatch:
    *tried, last = plan
    if not tried:
        return _action(last)
    return matching.go_on(matching.first_match(_tried(tried), _action(last)))


def _tried(steps: Iterable[Step]) -> Lines:
    """The lines of steps. What cannot be decided admits nobody: in doubt, a denial holds and an allowance does not."""
    return _one_after_the_other(
        _lines(step.condition, _action(step), in_doubt=step.outcome != "allow") for step in steps
    )


def _action(step: Step) -> OnMatch:
    return _named(RbacAction.ALLOW if step.outcome == "allow" else RbacAction.DENY, step.name)


def _named(effect: RbacAction, name: str) -> OnMatch:
    return matching.action(Action(name=name, action=effect))


# --- Conditions.


def _lines(condition: Expression, on_match: OnMatch, *, in_doubt: bool) -> Lines:
    """Lines of a list that match exactly when the condition holds.

    A look-up is not a predicate, so the condition is cut at those that a line can end in: alternatives become lines of
    their own, and what has to hold besides becomes the predicate before it. Elsewhere (under a not, or the second of
    two that have to hold) a long list is a tree of comparisons, which is slower and equal.
    """
    match condition:
        case Email(OneOf(values)) | User(OneOf(values)) if _has_look_up(condition):
            state = session_state.EMAIL if isinstance(condition, Email) else session_state.SUBJECT
            look_up = matching.go_on(matching.look_up(state, values, on_match))
            return matching.line(policy_criteria.has_user_key(condition), look_up)
        case Any(terms) if _has_look_up(condition):
            plain = tuple(term for term in terms if not _has_look_up(term))
            first = matching.line(_predicate(Any(plain), in_doubt=in_doubt), on_match) if plain else NO_LINES
            rest = (_lines(term, on_match, in_doubt=in_doubt) for term in terms if _has_look_up(term))
            return _one_after_the_other([first, *rest])
        case All(terms) if _has_look_up(condition):
            last = next(term for term in terms if _has_look_up(term))
            before = _predicate(All(tuple(term for term in terms if term is not last)), in_doubt=in_doubt)
            lines = _lines(last, on_match, in_doubt=in_doubt)
            return matching.line(before, matching.go_on(matching.first_match(lines)))
        case _:
            return matching.line(_predicate(condition, in_doubt=in_doubt), on_match)


def _one_after_the_other(lines: Iterable[Lines]) -> Lines:
    return Lines(tuple(chain.from_iterable(lines)))


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
