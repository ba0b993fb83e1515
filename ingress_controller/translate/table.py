"""Routes as a table, for people.

In: hosts, endpoints and problems. Out: a line a route, in serving order: which requests, where they go, who may, what
is special about it, whose route it is, and what is wrong with it.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from ingress_controller.model.host import Host
from ingress_controller.model.problem import Problem
from ingress_controller.model.route import Connect, Forward, Route
from ingress_controller.model.upstream import Endpoints
from ingress_controller.policy.summary import summarize
from ingress_controller.translate.render import secret_of

_POLICY_WIDTH = 50
_MODE = 4
"""The place of the column."""


def routes_table(
    hosts: Iterable[Host],
    endpoints: Mapping[str, Endpoints],
    problems: Iterable[Problem],
    *,
    wide: bool,
) -> str:
    """The table, with its heads; columns are as wide as what is in them.

    ``MODE`` is there if a route has one; ``wide`` leaves nothing out.
    """
    by_ingress = {ref: list(found) for ref, found in groupby(sorted(problems), key=lambda problem: problem.object)}
    heads = ["HOST", "MATCH", "UPSTREAM", "POLICY", "MODE", "INGRESS", "PROBLEMS"]
    heads += ["ENDPOINTS", "TRIED", "CLIENT-CA"] if wide else []
    rows = [
        _row(route, host.client_ca, endpoints, by_ingress.get(route.ingress, ()), wide=wide)
        for host in sorted(hosts, key=lambda host: host.name)
        for route in host.routes
    ]
    if not wide and all(row[_MODE] == "-" for row in rows):
        heads, *rows = ([*row[:_MODE], *row[_MODE + 1 :]] for row in (heads, *rows))
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(
    route: Route,
    client_ca: str | None,
    endpoints: Mapping[str, Endpoints],
    problems: Sequence[Problem],
    *,
    wide: bool,
) -> list[str]:
    if isinstance(route.action, Forward):
        found = endpoints.get(route.action.upstream)
        upstream, policy = route.action.upstream, summarize(route.policy)
        addresses = ", ".join(map(str, found.addresses)) if found else "-"
    else:
        upstream, policy, addresses = f"503 {route.action.reason}", "-", "-"
    tried = summarize(route.shadow) if route.shadow else "-"
    reasons = ", ".join(dict.fromkeys(problem.reason for problem in problems))
    return [
        route.host,
        f"{type(route.match).__name__} {route.path}",
        upstream,
        policy if wide else textwrap.shorten(policy, _POLICY_WIDTH, placeholder=" ..."),
        ", ".join(_mode(route, client_ca)) or "-",
        f"{route.ingress.namespace}/{route.ingress.name}",
        reasons or "-",
        *([addresses or "none", tried, secret_of(client_ca) or "-"] if wide else []),
    ]


def _mode(route: Route, client_ca: str | None) -> Iterator[str]:
    """What a person would not expect of a route: a tunnel, a client certificate, a policy that is tried besides."""
    if isinstance(route.match, Connect):
        yield "tcp"
    if client_ca:
        yield "client-certificate"
    if route.shadow:
        yield "shadow"
