"""How long a review takes: each Ingress of the golden cases, the largest policy and ten thousand rules.

Run: `.venv/bin/python -m benchmarks.admission`. Bounded: half a minute.
"""

import json
import time
from collections.abc import Iterator

from ingress_controller.admission.review import Check, answer
from ingress_controller.objects.change import Change
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.read import read
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import IngressClass
from ingress_controller.translate.graph import Graph
from ingress_controller.translate.options import Options
from tests import golden_suite
from tests.manifests import CLASS, make_ingress, make_policy
from tests.unit.admission.reviews import applied, make_review

ROUNDS = 5


def milliseconds(body: bytes, check: Check) -> float:
    """The longest of a few runs."""
    return max(_once(body, check) for _ in range(ROUNDS))


def _once(body: bytes, check: Check) -> float:
    started = time.perf_counter()
    answer(body, check)
    return (time.perf_counter() - started) * 1000


def golden() -> Iterator[tuple[float, str]]:
    """The time of each Ingress of the golden cases, and its name."""
    for case in golden_suite.cases():
        for ingress in applied(case):
            yield milliseconds(make_review(ingress.raw), ingress.graph.examine), ingress.name


def extremes() -> Iterator[tuple[float, str]]:
    """The same for Ingresses as large as an API server takes them."""
    graph = Graph(Options(), Store())
    found = read(BY_NAME["networking.k8s.io/v1", IngressClass.KIND], json.loads(CLASS))
    assert isinstance(found, IngressClass)  # noqa: S101 (or nothing is ours)
    graph.apply([Change(found.ref, found)])
    users = [f"user{number}@example.com" for number in range(10_000)]
    hosts = [f"host-{number}.example.com" for number in range(10_000)]
    for name, written in (
        ("10,000 users", make_ingress("web", "web.test", make_policy({"email": {"in": users}}))),
        ("10,000 rules", make_ingress("web", hosts)),
    ):
        yield milliseconds(make_review(json.loads(written)), graph.examine), name


def main() -> None:
    """Print the worst ones."""
    measured = sorted(golden(), reverse=True)
    print(f"{len(measured)} Ingresses of golden cases; the median takes {measured[len(measured) // 2][0]:.2f} ms")
    for taken, name in (*measured[:5], *extremes()):
        print(f"{taken:8.2f} ms  {name}")


if __name__ == "__main__":
    main()
