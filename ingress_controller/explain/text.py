"""An explanation as text, for people.

In: an ``Explanation`` and notes. Out: lines, from the request to its answer, in the order in which the proxy goes.
"""

from collections.abc import Iterable, Iterator

from ingress_controller.explain.decision import Answer, Explanation, Visitor
from ingress_controller.explain.routing import Routing, Tried
from ingress_controller.explain.treatment import treatment
from ingress_controller.explain.url import TUNNEL
from ingress_controller.model.policy import All, Any, Constant, Not, SessionCriterion
from ingress_controller.model.route import Forward, Route
from ingress_controller.policy.describe import describe_expression
from ingress_controller.policy.evaluate import Decision, Trace
from ingress_controller.policy.plan import DEFAULT_DENY
from ingress_controller.policy.summary import criterion_words

_VALUES = 5


def to_text(found: Explanation, notes: Iterable[str]) -> str:
    """Everything about one request."""
    sections = {
        "Request": _request(found),
        "Host": _host(found.routing),
        "Routes": _routes(found.routing),
        "Policy": _policy(found.decision, found.visitor) if found.decision else (),
        "Policy that is only tried": _policy(found.shadow, found.visitor) if found.shadow else (),
        "Forwarded": _forwarded(found.forwarded) if found.forwarded else (),
        "Answer": map(_answer, found.answers),
        "Notes": notes,
    }
    blocks = ([heading, *(f"  {line}" for line in lines)] for heading, lines in sections.items())
    return "\n\n".join("\n".join(block) for block in blocks if len(block) > 1) + "\n"


def _request(found: Explanation) -> Iterator[str]:
    target, visitor = found.target, found.visitor
    if found.redirect:
        yield f"http is answered by a redirect (308) to {found.redirect}; from here on this is about that"
    tunnel = target.scheme == TUNNEL
    path = found.routing.path or target.written_path
    what = f"port {target.port}" if tunnel else target.with_query(path)
    yield f"{visitor.method} {what} of {target.host}, from {visitor.source_ip}, {_who(visitor)}"
    if found.routing.host and found.routing.host.client_ca:
        yield f"the host asks for a client certificate: {_certificate(visitor)}"
    if not tunnel and path != target.written_path:
        yield f"written {target.written_path}; routes and policies see {path}"


def _certificate(visitor: Visitor) -> str:
    return visitor.certificate.fingerprint if visitor.certificate else "there is none"


def _who(visitor: Visitor) -> str:
    session = visitor.session
    if session is None:
        return "not signed in"
    email = f" <{session.email}>" if session.email and session.email != session.subject else ""
    groups = f", of {', '.join(session.groups)}" if session.groups else ""
    return f"signed in as {session.subject}{email}{groups}"


def _host(routing: Routing) -> Iterator[str]:
    for name in routing.names:
        taken = routing.host is not None and routing.host.name == name
        yield f"{_mark(taken)} {name}{'' if taken else ': no such host'}"


def _routes(routing: Routing) -> Iterator[str]:
    if routing.refusal:
        yield f"no   none is looked for: {routing.refusal}"
    elif routing.own:
        yield "yes  the path is one that every host keeps for sign-in"
    for tried in routing.tried:
        yield _tried(tried)
    if routing.later:
        more = "1 more comes" if routing.later == 1 else f"{routing.later} more come"
        yield f"     {more} later and {'is' if routing.later == 1 else 'are'} not looked at"


def _tried(tried: Tried) -> str:
    route = tried.route
    where = tried.obstacle or _destination(route)
    return f"{_mark(not tried.obstacle)} {type(route.match).__name__} {route.path} ({route.ingress}): {where}"


def _destination(route: Route) -> str:
    return f"to {route.action.upstream}" if isinstance(route.action, Forward) else f"unavailable, {route.action.reason}"


def _policy(decision: Decision, visitor: Visitor) -> Iterator[str]:
    for rule, trace in decision.trace:
        yield f"{_mark(trace.holds)} {rule.action} {rule.name}"
        yield from (f"  {line}" for line in _trace(trace, visitor))
    yield f"=    {_outcome(decision)}"


def _outcome(decision: Decision) -> str:
    match decision.outcome:
        case "allow":
            return f"allowed, by {decision.name}"
        case "sign_in":
            return f"asked to sign in ({decision.name}): a session may make a difference"
        case "deny" if decision.name == DEFAULT_DENY:
            return f"denied ({decision.name}): no rule admits the request, and no session would help it"
        case "deny":
            return f"denied, by {decision.name}"


def _forwarded(route: Route) -> Iterator[str]:
    for name, fact in treatment(route).items():
        yield f"{name}: {fact if isinstance(fact, str) else ', '.join(fact)}"


def _trace(trace: Trace, visitor: Visitor) -> Iterator[str]:
    if len(trace.terms) == 1 and not isinstance(trace.expression, Not):
        # Any of one, or all of one, is just that.
        yield from _trace(trace.terms[0], visitor)
        return
    yield f"{_mark(trace.holds)} {_expected(trace, visitor)}"
    for term in trace.terms:
        yield from (f"  {line}" for line in _trace(term, visitor))


def _expected(trace: Trace, visitor: Visitor) -> str:
    match trace.expression:
        case Constant(value):
            return "always" if value else "never"
        case Not():
            return "not"
        case All():
            return "all of"
        case Any():
            return "any of"
        case criterion:
            text = criterion_words(describe_expression(criterion), _VALUES)
            return f"{text}: {_actual(trace, visitor)}"


def _actual(trace: Trace, visitor: Visitor) -> str:
    if trace.actual is None:
        absent = isinstance(trace.expression, SessionCriterion) and visitor.session is None
        return "not signed in" if absent else "there is none"
    if isinstance(trace.actual, tuple):
        return f"it is [{', '.join(trace.actual)}]"
    return f"it is {trace.actual}"


def _answer(answer: Answer) -> str:
    return f"{answer.client + ':':<9}{answer.status or ''}{' ' if answer.status else ''}{answer.text}"


def _mark(yes: bool) -> str:  # noqa: FBT001 (what it is about)
    return "yes " if yes else "no  "
