"""Routes as text, for people.

In: routes and upstreams of the model. Out: YAML, in serving order, with what a person asks of a route: which
requests, who may, and where they go.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ingress_controller.model.host import Host
from ingress_controller.model.route import Exact, Forward, PathMatch, Prefix, Regex, Route
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
        "host_header": action.host,
        "preserve_host_header": action.host is None,
        "prefix_rewrite": action.prefix_rewrite,
        "timeout": f"{action.timeout.total_seconds():g}s",
        "set_request_headers": dict(action.headers.set),
        "remove_request_headers": list(action.headers.remove),
    }
    return {name: value for name, value in shown.items() if value or name == "to"}
