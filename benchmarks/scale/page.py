"""The page about scale, from the figures of a run.

In: the JSON of a run. Out: the parts of ``docs/explanation/scale.md`` between ``<!-- NAME -->`` and ``<!-- end -->``,
and the picture beside it; the rest is written by hand. ``make bench`` ends with it, and a test says when it is stale.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.scale import plot, report

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "scale.md"
PICTURE = PAGE.with_suffix(".svg")
_PART = re.compile(r"(?P<begin><!-- (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def generated(page: str, result: Mapping[str, Any]) -> str:
    """A page with its generated parts made anew."""
    parts = {"facts": _facts(result), "table": report.table(result["runs"])}
    return _PART.sub(lambda part: "\n".join([part["begin"], *parts[part["name"]], "", part["end"]]), page)


def _facts(result: Mapping[str, Any]) -> Iterator[str]:
    machine, versions = result["machine"], result["versions"]
    loads = [record[key] for record in result["runs"] for key in ("load_before", "load_after")]
    yield (
        f"Measured on {result['began'][:10]} with {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory'] / 1e9:.0f} GB, {machine['system']}: "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". {result['changes']} changes of each kind. The load average was {min(loads):.1f} to {max(loads):.1f}."
    )


def main() -> None:
    """Write the page and the picture."""
    result = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    PICTURE.write_text(plot.svg(result["runs"]), encoding="utf-8")


if __name__ == "__main__":
    main()
