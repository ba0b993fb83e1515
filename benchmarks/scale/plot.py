"""How long a change takes, against the number of Ingresses, as a picture.

In: the runs of a result. Out: SVG, both axes logarithmic: for each controller a line through its medians, and above
each a thin bar up to the 95th percentile.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import chain

from benchmarks.scale.report import NAMES, Record, is_worst, percentile

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 20, 50
_COLOURS = {"this": "#1f6feb", "contour": "#d1590b"}
_INK, _GRID = "#57606a", "#d0d7de"

Point = tuple[int, float, float]
"""A number of Ingresses, and the median and the 95th percentile in milliseconds."""


def svg(records: Sequence[Record]) -> str:
    """The picture of changes of a route."""
    series = {name: points for name in NAMES if (points := list(_points(records, name)))}
    every = list(chain.from_iterable(series.values()))
    axes = _Axes(_decades([size for size, _, _ in every]), _decades([v for _, low, high in every for v in (low, high)]))
    lines = [*_frame(axes), *chain.from_iterable(_series(axes, name, points) for name, points in series.items())]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
    paper = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    return "\n".join([head, paper, *lines, "</svg>\n"])


def _points(records: Sequence[Record], controller: str) -> Iterator[Point]:
    for record in records:
        changes = record["figures"].get("changes", {})
        if record["controller"] == controller and "route" in changes and not is_worst(record):
            served = changes["route"]["served_ms"]
            yield record["size"], max(statistics.median(served), 0.1), max(percentile(served, 0.95), 0.1)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The exponents of ten between which all values are."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


class _Axes:
    """Where values are in the picture."""

    def __init__(self, x: tuple[int, int], y: tuple[int, int]) -> None:
        self.x_decades, self.y_decades = (range(low, high + 1) for low, high in (x, y))

    def x(self, value: float) -> float:
        low, high = self.x_decades[0], self.x_decades[-1]
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_decades[0], self.y_decades[-1]
        return _HEIGHT - _BOTTOM - (math.log10(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def _frame(axes: _Axes) -> Iterator[str]:
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    for decade in axes.x_decades:
        x = axes.x(10**decade)
        yield f'<path d="M{x:.1f} {top}V{bottom}" stroke="{_GRID}"/>'
        yield _text(x, bottom + 18, f"{10**decade:,}", "middle")
    for decade in axes.y_decades:
        y = axes.y(10**decade)
        yield f'<path d="M{left} {y:.1f}H{right}" stroke="{_GRID}"/>'
        yield _text(left - 8, y + 4, f"{10**decade:,g} ms", "end")
    yield _text((left + right) / 2, _HEIGHT - 12, "Ingresses", "middle")


def _series(axes: _Axes, name: str, points: Sequence[Point]) -> Iterator[str]:
    colour = _COLOURS[name]
    line = " ".join(f"{axes.x(size):.1f},{axes.y(median):.1f}" for size, median, _ in points)
    yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for size, median, high in points:
        x, y = axes.x(size), axes.y(median)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
        yield f'<path d="M{x:.1f} {y:.1f}V{axes.y(high):.1f}" stroke="{colour}"/>'
        yield _text(x + 6, y + 14, f"{median:.1f}", "start", colour)
    size, median, _ = points[-1]
    yield _text(axes.x(size) + 12, axes.y(median) - 6, NAMES[name], "start", colour)


def _text(x: float, y: float, text: str, anchor: str, colour: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" fill="{colour}">{text}</text>'
