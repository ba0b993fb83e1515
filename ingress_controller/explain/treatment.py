"""What becomes of a request that is sent on, besides going to its upstream.

In: the treatment that a route gives. Out: a few named facts, as text or lists of names. Of headers only the names are
told: values may be secrets.
"""

from collections.abc import Mapping
from datetime import timedelta

from ingress_controller.annotations.structs import written
from ingress_controller.model.headers import RequestHeader
from ingress_controller.model.private import REDACTED
from ingress_controller.model.route import Connect, Forward, HostRewrite, PathRewrite, Route, Substitution

_Fact = str | list[str]


def treatment(route: Route) -> Mapping[str, _Fact]:
    """The facts by name; what a route does not do is left out."""
    action = route.action
    if not isinstance(action, Forward):
        return {}
    tunnel = isinstance(route.match, Connect)
    requests, responses = action.request_headers, action.response_headers
    facts: Mapping[str, _Fact] = {
        "upgrades": list(action.upgrades),
        "path": _path(action.path_rewrite, route.path) if action.path_rewrite else "",
        "host_header": "" if tunnel else _host(action.host),
        "set_request_headers": [name for name, _ in requests.set] + [_secret(name) for name, _ in requests.secret],
        "remove_request_headers": list(requests.remove),
        "pass_identity_headers": "the upstream is told who is signed in" if requests.identity else "",
        "kubernetes_service_account_token": f"{REDACTED}, in the name of the user"
        if action.service_account_token
        else "",
        "set_response_headers": [name for name, _ in responses.set] + [_secret(name) for name, _ in responses.secret],
        "rewrite_response_headers": sorted({rewrite.header for rewrite in responses.rewrite}),
        "timeout": _limit(action.timeout),
        "idle_timeout": "" if action.idle_timeout is None else _limit(action.idle_timeout),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _secret(name: str) -> str:
    return f"{name} ({REDACTED})"


def _path(rewrite: PathRewrite, matched: str) -> str:
    match rewrite:
        case Substitution():
            return _substituted(rewrite)
        case str():
            return f"{rewrite} in place of {matched}"


def _host(host: HostRewrite | None) -> str:
    match host:
        case None:
            return "as the client sends it"
        case str():
            return host
        case RequestHeader(name):
            return f"the value of {name}, if the request has it"
        case Substitution():
            return f"of the path, {_substituted(host)}"


def _substituted(substitution: Substitution) -> str:
    return f"{substitution.replacement} wherever {substitution.pattern} matches"


def _limit(length: timedelta) -> str:
    return written(length) if length else "no limit"
