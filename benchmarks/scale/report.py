"""The table of a run.

In: the runs of a result, as they are in its JSON. Out: Markdown: a row for each figure, a column for each run.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

NAMES = {"this": "this controller", "contour": "Contour"}

_KINDS = {
    "route": "PUT of an Ingress answered to new path served",
    "host": "POST of an Ingress answered to new host served",
    "certificate": "PUT of a Secret answered to new certificate shown",
    "endpoints": "PUT of an EndpointSlice answered to new pod asked",
}


def percentile(values: Sequence[float], part: float) -> float:
    """A value that this part (0 to 1) of some values does not exceed: of few values, one of them."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def p50_p95(values: Sequence[float]) -> str:
    """The median and the 95th percentile of milliseconds."""
    return f"{statistics.median(values):.1f} / {percentile(values, 0.95):.1f} ms"


def table(records: Sequence[Record]) -> Iterator[str]:
    """The lines of the table."""
    yield _row("", (_title(record) for record in records))
    yield _row("---", ("---:" for _ in records))
    for name, show in _rows():
        yield _row(name, (_shown(record, show) for record in records))


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join((name, *cells))} |"


def is_worst(record: Record) -> bool:
    """Whether each Ingress had a policy of its own."""
    return bool(record["policies"] == record["size"])


def _title(record: Record) -> str:
    return f"{NAMES[record['controller']]}, {record['size']:,}{', a policy each' if is_worst(record) else ''}"


def _shown(record: Record, show: Callable[[Any], str]) -> str:
    try:
        return show(record["figures"])
    except KeyError:
        return "failed" if record["failed"] else "-"


def _rows() -> Iterator[tuple[str, Callable[[Any], str]]]:
    """Each figure's name, and how it is written; what there is not raises KeyError."""
    yield "process start to last host served", lambda f: f"{f['last_served_s']:.2f} s"
    yield "from then until both are at rest", lambda f: f"{f['quiet_s']:.0f} s"
    for kind, name in _KINDS.items():
        yield f"{name}, p50 / p95", lambda f, kind=kind: p50_p95(f["changes"][kind]["served_ms"])  # type: ignore[misc]
    yield "many changes at once: last PUT answered", lambda f: f"{f['burst']['answered_s']:.2f} s"
    yield "... and all served, after that", lambda f: f"{f['burst']['served_s']:.2f} s"
    yield "... of so many", lambda f: f"{f['burst']['changes']:,}"
    for process in ("controller", "envoy"):
        yield f"memory of the {process}, RSS", lambda f, p=process: _mb(f["memory"][p]["rss"])  # type: ignore[misc]
        yield "... PSS", lambda f, p=process: _mb(f["memory"][p]["pss"])  # type: ignore[misc]
        yield "... RSS after the changes", lambda f, p=process: _mb(f["memory_after"][p]["rss"])  # type: ignore[misc]
        yield "... most so far", lambda f, p=process: _mb(f["memory_after"][p]["peak"])  # type: ignore[misc]
    yield "bytes sent to Envoy for one new path", lambda f: f"{f['changes']['route']['bytes']:,.0f}"
    yield "CPU of the controller at rest", lambda f: f"{f['idle']['controller']:.1%}"
    yield "CPU of Envoy at rest", lambda f: f"{f['idle']['envoy']:.1%}"
    yield "requests during the changes, failed", lambda f: _requests(f["requests"])
    yield "restart of the controller to a change served", lambda f: f"{f['restart']['changed_s']:.2f} s"
    yield "requests during it, failed", lambda f: _requests(f["restart"]["requests"])


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _requests(seen: Record) -> str:
    return f"{seen['requests']:,}, {seen['failed']}"
