"""Routes as text, for people.

In: routes and upstreams of the model. Out: YAML, in serving order, with what a person asks of a route: which
requests, who may, and where they go.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import yaml
from msgspec import Struct
from msgspec.structs import asdict

from ingress_controller.annotations.structs import written
from ingress_controller.model.headers import NamedSecrets, Part, RequestHeader, Template, Variable
from ingress_controller.model.host import Host
from ingress_controller.model.load_balancing import EVENLY, LoadBalancing
from ingress_controller.model.private import REDACTED
from ingress_controller.model.route import (
    Connect,
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
from ingress_controller.model.upstream import Endpoints, ServicePort, Upstream, UpstreamTLS
from ingress_controller.policy.describe import describe


def routes_yaml(hosts: Iterable[Host], upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]) -> str:
    """All routes as one YAML document, ``routes: [...]``."""
    data = {"routes": [shown for _, shown in _routes(hosts, upstreams, endpoints)]}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def routes_data(
    hosts: Iterable[Host], upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]
) -> dict[str, Any]:
    """The same as plain data, each route with the Secret by which its host verifies clients' certificates."""
    routes = _routes(hosts, upstreams, endpoints)
    return {"routes": [shown | {"client_ca_secret": secret_of(host.client_ca)} for host, shown in routes]}


def _routes(
    hosts: Iterable[Host], upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]
) -> Iterator[tuple[Host, dict[str, Any]]]:
    for host in sorted(hosts, key=lambda host: host.name):
        yield from ((host, _route(route, upstreams, endpoints)) for route in host.routes)


def _route(route: Route, upstreams: Mapping[str, Upstream], endpoints: Mapping[str, Endpoints]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": route.id,
        "ingress": f"{route.ingress.namespace}/{route.ingress.name}",
        "from": _from(route),
        **_match(route.match),
        **{name: text for name, text in asdict(route.about).items() if text},
    }
    if isinstance(route.action, Forward):
        return (
            shown
            | _forward(route, route.action, upstreams[route.action.upstream], endpoints)
            | {"policy": describe(route.policy)}
            | ({} if route.shadow is None else {"shadow_policy": describe(route.shadow)})
        )
    return shown | {"unavailable": route.action.reason}


def _from(route: Route) -> str:
    if isinstance(route.match, Connect):
        return f"tcp+https://{route.host}:{route.match.port}"
    return f"https://{route.host}"


def _match(match: PathMatch) -> dict[str, str]:
    match match:
        case Exact(path):
            return {"path": path}
        case Prefix(path):
            return {"prefix": path}
        case Regex(pattern):
            return {"regex": pattern}
        case Connect():
            return {}


def _forward(route: Route, action: Forward, upstream: Upstream, endpoints: Mapping[str, Endpoints]) -> dict[str, Any]:
    target = upstream.target
    addresses = endpoints[upstream.name].addresses if isinstance(target, ServicePort) else (target,)
    tunnel = isinstance(route.match, Connect)
    scheme = "tcp" if tunnel else "https" if upstream.tls else "http"
    shown = {
        "upstream": upstream.name,
        "to": [f"{scheme}://{address}" for address in addresses],
        **(_tls(upstream.tls) if upstream.tls else {}),
        "http2": upstream.http2,
        **_load_balancing(upstream.load_balancing),
        **({} if tunnel else _host(action.host)),
        **_path(action.path_rewrite),
        "timeout": _seconds(action.timeout),
        "idle_timeout": None if action.idle_timeout is None else _seconds(action.idle_timeout),
        "upgrades": list(action.upgrades),
        "set_request_headers": {name: _text(value) for name, value in action.request_headers.set}
        | _redacted(action.request_headers.secret)
        or None,
        "remove_request_headers": list(action.request_headers.remove),
        "pass_identity_headers": action.request_headers.identity,
        "set_response_headers": dict(action.response_headers.set) | _redacted(action.response_headers.secret) or None,
        "default_response_headers": "none" if not (tunnel or action.response_headers.defaults) else None,
        "kubernetes_service_account_token": REDACTED if action.service_account_token else None,
        "rewrite_response_headers": [asdict(rewrite) for rewrite in action.response_headers.rewrite],
    }
    return {name: value for name, value in shown.items() if value or value == {} or name == "to"}


def _tls(tls: UpstreamTLS) -> dict[str, Any]:
    return {
        "tls_server_name": tls.server_name,
        "tls_skip_verify": not tls.verify,
        "tls_custom_ca_secret": secret_of(tls.authorities),
        "tls_client_secret": secret_of(tls.certificate),
    }


def secret_of(name: str | None) -> str | None:
    """``namespace/name`` of the Secret that a name for Envoy was made of."""
    return "/".join(name.split("/")[1:3]) if name else None


def _load_balancing(settings: LoadBalancing) -> dict[str, Any]:
    check = settings.health_check
    return {
        "load_balancing_policy": settings.policy if settings.policy != EVENLY.policy else None,
        "outlier_detection": _plain(settings.outlier_detection),
        "health_checks": [_plain(check)] if check else None,
        "circuit_breaker_thresholds": _plain(settings.circuit_breaker_thresholds),
    }


def _plain(value: Any) -> Any:
    """A struct as it was written, with the fields that are set."""
    match value:
        case Struct():
            given = {name: getattr(value, name) for name in value.__struct_fields__}
            return {name: _plain(each) for name, each in given.items() if each is not None}
        case tuple():
            return [_plain(each) for each in value]
        case timedelta():
            return written(value)
        case _:
            return value


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
