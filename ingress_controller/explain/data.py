"""An explanation as plain data, for programs.

In: an ``Explanation`` and notes. Out: dictionaries and lists, to be printed as JSON.
"""

from collections.abc import Iterable
from typing import Any

from ingress_controller.explain.decision import Explanation
from ingress_controller.explain.routing import Routing, Tried
from ingress_controller.explain.treatment import treatment
from ingress_controller.model.route import Forward, Route
from ingress_controller.policy.describe import describe_expression
from ingress_controller.policy.evaluate import Decision, Trace


def to_data(found: Explanation, notes: Iterable[str]) -> dict[str, Any]:
    """Everything about one request."""
    target, visitor = found.target, found.visitor
    return {
        "request": {
            "scheme": target.scheme,
            "method": visitor.method,
            "host": target.host,
            "port": target.port,
            "path": found.routing.path,
            "query": target.query,
            "source_ip": str(visitor.source_ip),
            "client_certificate": visitor.certificate.fingerprint if visitor.certificate else None,
            "server_name": target.host if visitor.server_name is None else visitor.server_name,
            "user": visitor.session.subject if visitor.session else None,
        },
        "redirect": {"status": 308, "location": found.redirect} if found.redirect else None,
        "hosts_tried": list(found.routing.names),
        "host": found.routing.host.name if found.routing.host else None,
        "asks_for_client_certificate": bool(found.routing.host and found.routing.host.client_ca),
        **_routes(found.routing),
        "decision": _decision(found.decision) if found.decision else None,
        "shadow_decision": _decision(found.shadow) if found.shadow else None,
        "forwarded": treatment(found.forwarded) if found.forwarded else None,
        "answers": [{"client": a.client, "status": a.status, "text": a.text} for a in found.answers],
        "notes": list(notes),
    }


def _routes(routing: Routing) -> dict[str, Any]:
    route = routing.route
    return {
        "routes_tried": [_tried(tried) for tried in routing.tried],
        "routes_later": routing.later,
        "route": _route(route) if route else None,
    }


def _tried(tried: Tried) -> dict[str, Any]:
    return {**_route(tried.route), "matches": not tried.obstacle, "obstacle": tried.obstacle or None}


def _route(route: Route) -> dict[str, Any]:
    return {
        "id": route.id,
        "match": type(route.match).__name__,
        "path": route.path,
        "ingress": f"{route.ingress.namespace}/{route.ingress.name}",
        "upstream": route.action.upstream if isinstance(route.action, Forward) else None,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    rules = [
        {"action": rule.action, "rule": rule.name, "holds": trace.holds, "condition": _trace(trace)}
        for rule, trace in decision.trace
    ]
    return {"outcome": decision.outcome, "name": decision.name, "rules": rules}


def _trace(trace: Trace) -> dict[str, Any]:
    if trace.terms:
        kind = type(trace.expression).__name__.lower()
        return {"holds": trace.holds, kind: [_trace(term) for term in trace.terms]}
    actual = list(trace.actual) if isinstance(trace.actual, tuple) else trace.actual
    return {"holds": trace.holds, "expected": describe_expression(trace.expression), "actual": actual}
