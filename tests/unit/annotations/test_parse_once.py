"""What is free of problems is read once for all Ingresses that say the same, and kept no longer than they are."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.annotations import parse as annotations
from ingress_controller.annotations.parse import parse
from ingress_controller.model.reference import ObjectRef
from ingress_controller.policy import parse as policies

PREFIX = "ingress.pomerium.io"
ONE, OTHER = (ObjectRef("Ingress", "app", name) for name in ("one", "other"))
POLICY = '[{"allow": {"or": [{"email": {"is": "%s@example.com"}}]}}]'


def ours(**values: str) -> dict[str, str]:
    """Annotations under the prefix."""
    return {f"{PREFIX}/{name}": value for name, value in values.items()}


def test_equal_annotations_are_one_value() -> None:
    one = parse(ONE, ours(policy=POLICY % "ann", name="Wiki"), PREFIX)
    other = parse(OTHER, {"not/ours": "x", **ours(name="Wiki", policy=POLICY % "ann")}, PREFIX)
    assert one is other


def test_a_policy_is_one_value_whatever_else_is_said() -> None:
    one = parse(ONE, ours(policy=POLICY % "ann", name="Wiki"), PREFIX)
    other = parse(OTHER, ours(policy=POLICY % "ann", name="Shop"), PREFIX)
    assert one.settings.description != other.settings.description
    assert one.policy is other.policy


@pytest.mark.parametrize(
    "different",
    [
        ours(policy=POLICY % "bob"),
        ours(policy=POLICY % "ann" + " "),
        ours(policy=POLICY % "ann", timeout="5s"),
        {f"another.example.com/{'policy'}": POLICY % "ann"},
        {},
    ],
)
def test_different_annotations_are_not(different: dict[str, str]) -> None:
    one = parse(ONE, ours(policy=POLICY % "ann"), PREFIX)
    assert parse(OTHER, different, PREFIX) is not one


def test_another_prefix_reads_other_annotations() -> None:
    said = {"a.example/name": "A", "b.example/name": "B"}
    names = [parse(ONE, said, prefix).settings.description.name for prefix in ("a.example", "b.example", "a.example")]
    assert names == ["A", "B", "A"]


def test_each_problem_names_its_own_ingress() -> None:
    bad = ours(policy="[{", timeout="soon")
    one, other = parse(ONE, bad, PREFIX), parse(OTHER, bad, PREFIX)
    assert {problem.object for problem in one.problems} == {ONE}
    assert {problem.object for problem in other.problems} == {OTHER}
    assert [problem.message for problem in one.problems] == [problem.message for problem in other.problems]


def test_nothing_is_kept_that_nobody_holds() -> None:
    gc.collect()
    before = len(annotations._held), len(policies._held)
    parsed = parse(ONE, ours(policy=POLICY % "carol"), PREFIX)
    assert (len(annotations._held), len(policies._held)) == (before[0] + 1, before[1] + 1)
    gone = weakref.ref(parsed)
    del parsed
    assert gone() is None
    assert (len(annotations._held), len(policies._held)) == before


@given(st.lists(st.sampled_from(["ann", "bob", "carol"]), max_size=8))
def test_a_held_policy_is_what_a_fresh_one_is(users: list[str]) -> None:
    held = []
    for user in users:
        held.append(policies.parse(POLICY % user))
        assert held[-1] == policies._parse(POLICY % user)
