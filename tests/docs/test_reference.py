"""The reference pages say what the program says."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from docs.generate import PREFIX, REFERENCE, example_of, generated
from ingress_controller.annotations.parse import parse
from ingress_controller.annotations.table import BY_NAME, TABLE, Annotation
from ingress_controller.model.problem import REASONS, Reason
from ingress_controller.model.reference import ObjectRef
from tests.docs.pages import PAGES, ROOT, read


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.md")), ids=lambda path: path.name)
def test_generated_parts_are_fresh(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == generated(text), "stale: run `make docs`"


@pytest.mark.parametrize("row", [row for row in TABLE if row.example], ids=lambda row: row.name)
def test_example_of_an_annotation_is_accepted(row: Annotation) -> None:
    page = (REFERENCE / "annotations.md").read_text(encoding="utf-8")
    shown = page.partition(f"### {row.name}\n")[2].partition("```yaml\n")[2].partition("```")[0]
    annotations = yaml.safe_load(shown)
    assert annotations == {f"{PREFIX}/{name}": value for name, value in example_of(row).items()}
    needed = {f"{PREFIX}/{row.needs}": BY_NAME[row.needs].example} if row.needs else {}
    parsed = parse(ObjectRef("Ingress", "default", "web"), annotations, PREFIX)
    assert parsed.problems == ()
    # An example that says what holds anyway explains nothing.
    assert parsed.settings != parse(ObjectRef("Ingress", "default", "web"), needed, PREFIX).settings


def test_annotations_on_every_page_are_accepted() -> None:
    """Those of blocks that no terminal runs: Ingresses, and annotations alone."""
    blocks = ((page, block) for page in map(read, PAGES) for block in page.blocks if block.language == "yaml")
    objects = [
        (f"{page.name}:{block.line}", found)
        for page, block in blocks
        if page.path.parent != REFERENCE
        for found in yaml.safe_load_all("\n".join(block.lines))
    ]
    shown = [(where, _annotations(found)) for where, found in objects if _annotations(found)]
    assert len(shown) > 15
    for where, annotations in shown:
        # Shown as an addition to an Ingress that has it.
        needed = {f"{PREFIX}/{BY_NAME[name.partition('/')[2]].needs}": "true" for name in annotations}
        needed.pop(f"{PREFIX}/None", None)
        assert parse(ObjectRef("Ingress", "default", "web"), needed | annotations, PREFIX).problems == (), where


def _annotations(found: dict[str, Any]) -> dict[str, str]:
    if found.get("kind") == "Ingress":
        annotations: dict[str, str] = found["metadata"]["annotations"]
        return annotations
    return {name: value for name, value in found.items() if name.startswith(PREFIX)}


def test_every_reason_is_explained() -> None:
    assert tuple(REASONS) == get_args(Reason)


def test_what_to_do_is_said_for_every_reason() -> None:
    anchors = read(ROOT / "docs" / "how-to" / "troubleshoot.md").anchors
    assert [reason for reason in REASONS if reason not in anchors] == []


def test_policies_on_the_page_are_policies() -> None:
    blocks = [block for block in read(REFERENCE / "policy.md").blocks if block.language == "yaml"]
    assert blocks
    for block in blocks:
        annotations = {f"{PREFIX}/policy": "\n".join(block.lines)}
        assert parse(ObjectRef("Ingress", "default", "web"), annotations, PREFIX).problems == ()
