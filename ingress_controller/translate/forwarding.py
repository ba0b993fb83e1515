"""How requests of an Ingress are sent on.

In: the settings, the Secrets that they name, and a backend. Out: ``Forward``, the treatment that its routes give.
"""

from datetime import timedelta

from ingress_controller.annotations.conflicts import reading_order
from ingress_controller.annotations.settings import Description, Forwarding, Headers, HostHeader, Settings
from ingress_controller.model.headers import RequestHeader, RequestHeaders, ResponseHeaders
from ingress_controller.model.load_balancing import HASHING
from ingress_controller.model.route import About, Forward, HostRewrite, PathRewrite, Substitution, Upgrade
from ingress_controller.translate.backends import Backend
from ingress_controller.translate.secrets import Named

_TIMEOUT = timedelta(seconds=30)
_NO_LIMIT = timedelta()


def forward(settings: Settings, named: Named, backend: Backend) -> Forward:
    """The treatment of a request for a backend; the settings are free of contradictions."""
    forwarding = settings.forwarding
    upgrades = _upgrades(forwarding)
    # What changes its protocol is meant to stay.
    timeout, idle_timeout = (_NO_LIMIT, _NO_LIMIT) if upgrades else (_TIMEOUT, None)
    return Forward(
        upstream=backend.upstream.name,
        host=_host(settings.host_header, backend),
        path_rewrite=_path_rewrite(forwarding),
        timeout=timeout if forwarding.timeout is None else forwarding.timeout,
        idle_timeout=idle_timeout if forwarding.idle_timeout is None else forwarding.idle_timeout,
        upgrades=upgrades,
        request_headers=_request_headers(settings.headers, named),
        response_headers=_response_headers(settings.headers, named),
        sticky=backend.upstream.load_balancing.policy in HASHING,
    )


def about(description: Description) -> About:
    """What people are told."""
    return About(description.name, description.description, description.logo_url)


def _upgrades(forwarding: Forwarding) -> tuple[Upgrade, ...]:
    websocket: tuple[Upgrade, ...] = ("websocket",) if forwarding.websockets else ()
    spdy: tuple[Upgrade, ...] = ("spdy/3.1",) if forwarding.spdy else ()
    return websocket + spdy


def _host(host: HostHeader, backend: Backend) -> HostRewrite | None:
    if host.preserve:
        return None
    if host.from_header is not None:
        return RequestHeader(host.from_header)
    if host.path_pattern is not None and host.path_substitution is not None:
        return Substitution(host.path_pattern, host.path_substitution)
    return host.rewrite or backend.host


def _path_rewrite(forwarding: Forwarding) -> PathRewrite | None:
    pattern, substitution = forwarding.regex_rewrite_pattern, forwarding.regex_rewrite_substitution
    if pattern is not None and substitution is not None:
        return Substitution(pattern, substitution)
    return forwarding.prefix_rewrite


def _request_headers(headers: Headers, named: Named) -> RequestHeaders:
    return RequestHeaders(
        set=reading_order(headers.set_request),
        secret=named.headers("set_request_headers"),
        remove=headers.remove_request,
        identity=headers.pass_identity,
    )


def _response_headers(headers: Headers, named: Named) -> ResponseHeaders:
    return ResponseHeaders(
        set=headers.set_response.values,
        secret=named.headers("set_response_headers"),
        rewrite=headers.rewrite_response,
        defaults=headers.set_response.defaults,
    )
