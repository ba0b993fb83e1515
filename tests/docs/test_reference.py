"""The reference pages say what the program says."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from docs.generate import PREFIX, REFERENCE, generated
from ingress_controller.annotations.parse import parse
from ingress_controller.annotations.table import BY_NAME, TABLE, Annotation
from ingress_controller.model.problem import REASONS, Reason
from ingress_controller.model.reference import ObjectRef
from tests.docs.pages import ROOT, read


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.md")), ids=lambda path: path.name)
def test_generated_parts_are_fresh(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == generated(text), "stale: run `make docs`"


@pytest.mark.parametrize("row", [row for row in TABLE if row.example], ids=lambda row: row.name)
def test_example_of_an_annotation_is_accepted(row: Annotation) -> None:
    page = (REFERENCE / "annotations.md").read_text(encoding="utf-8")
    shown = page.partition(f"### {row.name}\n")[2].partition("```yaml\n")[2].partition("```")[0]
    annotations = yaml.safe_load(shown)
    assert annotations == {f"{PREFIX}/{name}": value for name, value in ((row.name, row.example), *row.besides)}
    needed = {f"{PREFIX}/{row.needs}": BY_NAME[row.needs].example} if row.needs else {}
    parsed = parse(ObjectRef("Ingress", "default", "web"), needed | annotations, PREFIX)
    assert parsed.problems == ()
    # An example that says what holds anyway explains nothing.
    assert parsed.settings != parse(ObjectRef("Ingress", "default", "web"), needed, PREFIX).settings


def test_annotations_on_the_page_about_forwarding_are_accepted() -> None:
    page = read(ROOT / "docs" / "how-to" / "forward-requests.md")
    blocks = [yaml.safe_load("\n".join(block.lines)) for block in page.blocks if block.language == "yaml"]
    annotations = [block for block in blocks if "kind" not in block]
    assert len(annotations) > 10
    for block in annotations:
        assert parse(ObjectRef("Ingress", "default", "web"), block, PREFIX).problems == ()


def test_every_reason_is_explained() -> None:
    assert tuple(REASONS) == get_args(Reason)


def test_what_to_do_is_said_for_every_reason() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
    assert [reason for reason in REASONS if reason not in page] == []


def test_policies_on_the_page_are_policies() -> None:
    blocks = [block for block in read(REFERENCE / "policy.md").blocks if block.language == "yaml"]
    assert blocks
    for block in blocks:
        annotations = {f"{PREFIX}/policy": "\n".join(block.lines)}
        assert parse(ObjectRef("Ingress", "default", "web"), annotations, PREFIX).problems == ()
