"""The page about scale shows the figures of the run that is kept, and the picture shows the same."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks.scale import page, plot, report
from tests.docs.pages import ROOT

RESULT: dict[str, Any] = json.loads(page.RESULTS.read_text(encoding="utf-8"))


def make_record(controller: str, size: int, served: list[float]) -> dict[str, Any]:
    figures = {"last_served_s": 1.5, "changes": {"route": {"served_ms": served, "bytes": 1234.0}}}
    return {"controller": controller, "size": size, "policies": 50, "failed": "", "figures": figures}


def test_page_is_current() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.generated(text, RESULT) == text, "run `.venv/bin/python -m benchmarks.scale.page`"


def test_picture_is_current() -> None:
    assert plot.svg(RESULT["runs"]) == page.PICTURE.read_text(encoding="utf-8")


def test_picture_is_beside_the_page() -> None:
    assert f"]({page.PICTURE.name})" in page.PAGE.read_text(encoding="utf-8")
    assert page.PICTURE.is_relative_to(ROOT / "docs")


@pytest.mark.parametrize(("part", "wanted"), [(0.5, 51), (0.95, 96), (1, 100), (0, 1)])
def test_percentile(part: float, wanted: float) -> None:
    assert report.percentile([float(n) for n in range(100, 0, -1)], part) == wanted


def test_table_has_a_column_for_each_run() -> None:
    failed = {**make_record("contour", 100, []), "failed": "TimeoutError()", "figures": {}}
    head, _, *rows = report.table([failed, make_record("this", 100, [1.0, 3.0, 2.0])])
    assert head == "|  | Contour, 100 | this controller, 100 |"
    assert rows[0] == "| process start to last host served | failed | 1.50 s |"
    assert "| failed | 2.0 / 3.0 ms |" in rows[2]
    assert rows[5].endswith("| failed | - |")


def test_picture_has_a_line_for_each_controller() -> None:
    runs = [make_record("this", size, [5.0, 6.0]) for size in (100, 1000)] + [make_record("contour", 100, [200.0])]
    found = ET.fromstring(plot.svg(runs))  # noqa: S314 (it is our own)
    lines = [line.get("points", "").split() for line in found.iter("{http://www.w3.org/2000/svg}polyline")]
    (first, second), (contour,) = lines
    assert first.split(",")[1] == second.split(",")[1]
    assert float(contour.split(",")[1]) < float(first.split(",")[1]), "slower is higher"
