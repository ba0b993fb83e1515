"""One host, from all the Ingresses that name it.

In: the compiled Ingresses with a claim on the host. Out: ``Host`` with its routes in serving order, and the problems of
those whose claim was already taken.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ingress_controller.model.host import CATCH_ALL, Host
from ingress_controller.model.problem import Problem
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import PathMatch, Route, Unavailable, serving_order
from ingress_controller.model.secret import Material
from ingress_controller.translate.ingress import NOBODY, Compiled


def assemble(name: str, claimants: Iterable[Compiled]) -> tuple[Host | None, tuple[Problem, ...]]:
    """Merge the routes of a host. Where two Ingresses claim the same path, the older object has it.

    Objects without a creation time, as in manifests, count as equally old; then the order of their names decides. A
    host that nobody claims is ``None``. The authorities of clients' certificates are those of the oldest Ingress that
    names any: a TLS connection has one set of them, so the paths of an Ingress with others answer 503.
    """
    eldest_first = sorted(claimants, key=lambda compiled: (compiled.created, compiled.ingress))
    first = next((compiled for compiled in eldest_first if compiled.client_ca and name != CATCH_ALL), None)
    taken: dict[PathMatch, ObjectRef] = {}
    routes: list[Route] = []
    problems: list[Problem] = []
    for compiled in eldest_first:
        offered = compiled.routes[name]
        if first and compiled.client_ca and _authorities(compiled) != _authorities(first):
            problems.append(_other_authorities(name, compiled.ingress, first.ingress))
            offered = tuple(replace(route, policy=NOBODY, action=Unavailable("conflict")) for route in offered)
        for route in offered:
            if taken.setdefault(route.match, route.ingress) == route.ingress:
                routes.append(route)
            else:
                problems.append(_conflict(route, taken[route.match]))
    certificates = (compiled.certificates.get(name) for compiled in eldest_first)
    chosen = next((certificate for certificate in certificates if certificate), None)
    host = Host(name, serving_order(routes), chosen, first.client_ca if first else None)
    return (host if eldest_first else None), tuple(problems)


def _authorities(compiled: Compiled) -> Material | None:
    return compiled.secrets[compiled.client_ca] if compiled.client_ca else None


def _other_authorities(host: str, ingress: ObjectRef, owner: ObjectRef) -> Problem:
    return Problem(
        ingress,
        "metadata.annotations",
        "conflict",
        "parsing ingress: annotations: tls_downstream_client_ca_secret: the clients of a host are verified with one "
        f"set of authorities, and {owner}, which comes first, names others for {host}",
    )


def _conflict(route: Route, owner: ObjectRef) -> Problem:
    return Problem(
        route.ingress,
        "spec.rules",
        "conflict",
        f"parsing ingress: spec.rules: {type(route.match).__name__} {route.path} of host {route.host} "
        f"is served for {owner}, which claimed it first",
    )
