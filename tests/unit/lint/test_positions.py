"""Fields are found where they are written, however that is."""

from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.lint.positions import Document, Positions
from ingress_controller.model.reference import ObjectRef
from ingress_controller.sources.manifests import parse_located

REF = ObjectRef("Service", "default", "web")
POLICY = "metadata.annotations[a.example.com/policy]"

keys = st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5})?(/[a-z_]{1,5})?", fullmatch=True)
scalars = st.integers(0, 99) | st.sampled_from(["x", "y z", "é", "[", "a: b", "#", ""])
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=20
)


def positions(text: str) -> Positions:
    lines = text.split("\n")
    return Positions(Document("in.yaml", lines, located) for located in parse_located(text.encode(), "in.yaml"))


def paths(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each field below a node, with the key that stands there; empty for an item of a list."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{path}[{key}]", key
            yield from paths(value, f"{path}[{key}]")
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield f"{path}[{index}]", ""
            yield from paths(item, f"{path}[{index}]")


@given(trees, st.booleans(), st.sampled_from(["", "# a comment\n---\n", "apiVersion: v1\n---\n\n"]))
def test_every_field_is_found(tree: Any, flow: bool, before: str) -> None:  # noqa: FBT001 (hypothesis chooses it)
    written = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "x": tree}
    text = before + yaml.safe_dump(written, default_flow_style=flow, allow_unicode=True, width=60)
    found = positions(text)
    for path, key in paths(tree, "x"):
        position = found.find(REF, path)
        there = text.split("\n")[position.line - 1][position.column - 1 :].lstrip("?'\" ")
        assert there.startswith(key), (path, text)


def with_policy(written: str) -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    a.example.com/policy: {written}\n"
    )


def at(written: str, message: str) -> tuple[int, int]:
    found = positions(with_policy(written)).find(REF, POLICY, message)
    return found.line, found.column


def test_places_within_an_annotation() -> None:
    block = "|\n      - allow:\n          or: [email: x]"
    assert at(block, "wrong (at policy[0].allow.or[0].email)") == (8, 16)
    assert at(block, "wrong (at policy[0].allow.nor)") == (7, 9)
    assert at(block, "not YAML: (line 2, column 3)") == (8, 9)
    assert at("'{allow: {or: []}}'", "wrong (at policy.allow.or)") == (6, 37)
    assert at('"{allow: {or: []}}"', "not YAML: (line 1, column 2)") == (6, 29)
    assert at("a plain text", "wrong (at policy)") == (6, 27)


def test_where_the_text_is_not_in_the_file_as_it_is_the_annotation_is_told() -> None:
    for written in (">\n      allow:\n      or: []", '"a\\nb: {"', '"{a:\n      b}"', "'it''s'", "|2\n\n      x"):
        line, column = at(written, "not YAML (line 2, column 1)")
        assert (line, column) in {(6, 5), (8, 7), (8, 5)}, written


def test_what_is_missing_is_at_what_should_contain_it() -> None:
    found = positions("apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n    - port: 80\n")
    assert found.find(REF, "spec.ports[0].name").line == 7
    assert found.find(REF, "spec.ports[3].name").line == 6
    assert found.find(REF, "spec.type").line == 5
    assert found.find(REF, "status").line == 1
    assert found.find(REF, "").line == 4
