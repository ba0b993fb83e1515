"""One host, from all the Ingresses that name it.

In: the compiled Ingresses with a claim on the host. Out: ``Host`` with its routes in serving order, and the problems of
those whose claim was already taken.
"""

from collections.abc import Iterable

from ingress_controller.model.host import Host
from ingress_controller.model.problem import Problem
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import PathMatch, Route, serving_order
from ingress_controller.translate.ingress import Compiled


def assemble(name: str, claimants: Iterable[Compiled]) -> tuple[Host | None, tuple[Problem, ...]]:
    """Merge the routes of a host. Where two Ingresses claim the same path, the older object has it.

    Objects without a creation time, as in manifests, count as equally old; then the order of their names decides. A
    host that nobody claims is ``None``.
    """
    eldest_first = sorted(claimants, key=lambda compiled: (compiled.created, compiled.ingress))
    taken: dict[PathMatch, ObjectRef] = {}
    routes: list[Route] = []
    problems: list[Problem] = []
    for compiled in eldest_first:
        for route in compiled.routes[name]:
            if taken.setdefault(route.match, route.ingress) == route.ingress:
                routes.append(route)
            else:
                problems.append(_conflict(route, taken[route.match]))
    certificates = (compiled.certificates.get(name) for compiled in eldest_first)
    chosen = next((certificate for certificate in certificates if certificate), None)
    return (Host(name, serving_order(routes), chosen) if eldest_first else None), tuple(problems)


def _conflict(route: Route, owner: ObjectRef) -> Problem:
    return Problem(
        route.ingress,
        "spec.rules",
        "conflict",
        f"parsing ingress: spec.rules: {type(route.match).__name__} {route.path} of host {route.host} "
        f"is served for {owner}, which claimed it first",
    )
