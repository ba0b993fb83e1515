"""What else there is to know about a host: Ingresses that name it and are not, or not wholly, served.

In: the Ingresses, their problems, and the names under which a host was looked for. Out: sentences. Most questions why
there is no route are answered here.
"""

from collections.abc import Iterable, Iterator

from ingress_controller.model.host import CATCH_ALL
from ingress_controller.model.problem import Problem
from ingress_controller.objects.views import Ingress


def notes(
    names: Iterable[str], ours: Iterable[Ingress], foreign: Iterable[Ingress], problems: Iterable[Problem]
) -> Iterator[str]:
    """A sentence for each Ingress that is not ours, and each problem of one that is, where it names the host."""
    wanted = frozenset(names)
    for ingress in foreign:
        if _hosts(ingress) & wanted:
            yield f"{ingress.ref} names this host and is not served: its class is not ours, or its namespace"
    concerned = {ingress.ref for ingress in ours if _hosts(ingress) & wanted}
    for problem in problems:
        if problem.object in concerned:
            yield f"{problem.object}: {problem.message}"


def _hosts(ingress: Ingress) -> frozenset[str]:
    rules = (rule.host or CATCH_ALL for rule in ingress.spec.rules)
    return frozenset((*rules, *(host for tls in ingress.spec.tls for host in tls.hosts)))
