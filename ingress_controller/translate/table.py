"""Routes as a table, for people.

In: hosts, endpoints and problems. Out: a line a route, in serving order: which requests, where they go, who may, whose
route it is, and what is wrong with it.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from ingress_controller.model.host import Host
from ingress_controller.model.problem import Problem
from ingress_controller.model.route import Forward, Route
from ingress_controller.model.upstream import Endpoints
from ingress_controller.policy.summary import summarize

_POLICY_WIDTH = 50


def routes_table(
    hosts: Iterable[Host],
    endpoints: Mapping[str, Endpoints],
    problems: Iterable[Problem],
    *,
    wide: bool,
) -> str:
    """The table, with its heads; columns are as wide as what is in them. ``wide`` leaves nothing out."""
    by_ingress = {ref: list(found) for ref, found in groupby(sorted(problems), key=lambda problem: problem.object)}
    heads = ["HOST", "MATCH", "UPSTREAM", "POLICY", "INGRESS", "PROBLEMS", *(["ENDPOINTS"] if wide else [])]
    rows = [
        _row(route, endpoints, by_ingress.get(route.ingress, ()), wide=wide)
        for host in sorted(hosts, key=lambda host: host.name)
        for route in host.routes
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(route: Route, endpoints: Mapping[str, Endpoints], problems: Sequence[Problem], *, wide: bool) -> list[str]:
    if isinstance(route.action, Forward):
        found = endpoints.get(route.action.upstream)
        upstream, policy = route.action.upstream, summarize(route.policy)
        addresses = ", ".join(map(str, found.addresses)) if found else "-"
    else:
        upstream, policy, addresses = f"503 {route.action.reason}", "-", "-"
    reasons = ", ".join(dict.fromkeys(problem.reason for problem in problems))
    return [
        route.host,
        f"{type(route.match).__name__} {route.path}",
        upstream,
        policy if wide else textwrap.shorten(policy, _POLICY_WIDTH, placeholder=" ..."),
        f"{route.ingress.namespace}/{route.ingress.name}",
        reasons or "-",
        *([addresses or "none"] if wide else []),
    ]
