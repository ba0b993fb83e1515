"""Routes as text, for people.

In: routes and upstreams of the model. Out: YAML, in serving order, with what a person asks of a route: which
requests, who may, and where they go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import yaml

from ingress_controller.model.headers import NamedSecrets, Part, RequestHeader, Template, Variable
from ingress_controller.model.host import Host
from ingress_controller.model.private import REDACTED
from ingress_controller.model.route import (
    Exact,
    Forward,
    HostRewrite,
    PathMatch,
    PathRewrite,
    Prefix,
    Regex,
    Route,
    Substitution,
)
from ingress_controller.model.upstream import Endpoints, ServicePort, Upstream
from ingress_controller.policy.describe import describe


def routes_yaml(hosts: Iterable[Host], upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]) -> str:
    """All routes as one YAML document, ``routes: [...]``."""
    data = routes_data(hosts, upstreams, endpoints)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def routes_data(
    hosts: Iterable[Host], upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]
) -> dict[str, Any]:
    """The same as plain data."""
    ordered = sorted(hosts, key=lambda host: host.name)
    return {"routes": [_route(route, upstreams, endpoints) for host in ordered for route in host.routes]}


def _route(route: Route, upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": route.id,
        "ingress": f"{route.ingress.namespace}/{route.ingress.name}",
        "from": f"https://{route.host}",
        **_match(route.match),
        **{name: text for name, text in asdict(route.about).items() if text},
    }
    if isinstance(route.action, Forward):
        return (
            shown
            | _forward(route.action, upstreams[route.action.upstream], endpoints)
            | {"policy": describe(route.policy)}
        )
    return shown | {"unavailable": route.action.reason}


def _match(match: PathMatch) -> dict[str, str]:
    match match:
        case Exact(path):
            return {"path": path}
        case Prefix(path):
            return {"prefix": path}
        case Regex(pattern):
            return {"regex": pattern}


def _forward(action: Forward, upstream: Upstream, endpoints: Mapping[str, Endpoints]) -> dict[str, Any]:
    target = upstream.target
    addresses = endpoints[upstream.name].addresses if isinstance(target, ServicePort) else (target,)
    scheme = "https" if upstream.tls else "http"
    shown = {
        "upstream": upstream.name,
        "to": [f"{scheme}://{address}" for address in addresses],
        "tls_server_name": upstream.tls.server_name if upstream.tls else None,
        **_host(action.host),
        **_path(action.path_rewrite),
        "timeout": _seconds(action.timeout),
        "idle_timeout": None if action.idle_timeout is None else _seconds(action.idle_timeout),
        "upgrades": list(action.upgrades),
        "set_request_headers": {name: _text(value) for name, value in action.request_headers.set}
        | _redacted(action.request_headers.secret),
        "remove_request_headers": list(action.request_headers.remove),
        "pass_identity_headers": action.request_headers.identity,
        "set_response_headers": dict(action.response_headers.set) | _redacted(action.response_headers.secret),
        "default_response_headers": "none" if not action.response_headers.defaults else None,
        "rewrite_response_headers": [asdict(rewrite) for rewrite in action.response_headers.rewrite],
    }
    return {name: value for name, value in shown.items() if value or name == "to"}


def _host(host: HostRewrite | None) -> dict[str, Any]:
    match host:
        case None:
            return {"preserve_host_header": True}
        case str():
            return {"host_header": host}
        case RequestHeader(name):
            return {"host_header_from": name}
        case Substitution():
            return {"host_header_from_path": asdict(host)}


def _path(rewrite: PathRewrite | None) -> dict[str, Any]:
    return {"regex_rewrite": asdict(rewrite)} if isinstance(rewrite, Substitution) else {"prefix_rewrite": rewrite}


def _text(value: Template) -> str:
    """A template as it would be written."""
    return "".join(_written(part) for part in value)


def _written(part: Part) -> str:
    match part:
        case str():
            return part.replace("$", "$$")
        case RequestHeader(name):
            return f'${{pomerium.request.headers["{name}"]}}'
        case Variable():
            return f"${{{part.value}}}"


def _redacted(headers: NamedSecrets) -> dict[str, str]:
    return {name: REDACTED for name, _ in headers}


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}s"
