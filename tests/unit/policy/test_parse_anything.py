"""Whatever is written is a policy or a mistake that says what is wrong."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.model.policy import Policy
from ingress_controller.policy.criteria import CRITERIA
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.parse import parse

WORDS = st.sampled_from(
    [
        *CRITERIA,
        "allow",
        "deny",
        "and",
        "or",
        "not",
        "nor",
        "is",
        "in",
        "has",
        "claim/a",
        "GET",
        "/",
        "10.0.0.0/8",
        "action",
        "after",
        "before",
        "timezone",
        "days",
        "fingerprint",
        "mon-fri",
        "16:20",
        "2030-01-01",
        "Europe/Berlin",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
CRITERION = st.dictionaries(WORDS, VALUES, min_size=1, max_size=1)
BLOCK = st.dictionaries(st.sampled_from(["and", "or", "not", "nor"]), st.lists(CRITERION, max_size=3), max_size=2)
NEAR = st.dictionaries(st.sampled_from(["allow", "deny"]), BLOCK, max_size=2)


def assert_policy_or_error(text: str) -> None:
    try:
        policy = parse(text)
    except PolicyError as error:
        assert str(error).startswith("parsing policy: ")  # noqa: PT017 (either outcome is right)
    else:
        assert isinstance(policy, Policy)


@given(st.text(st.characters(), max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    assert_policy_or_error(text)


@given(VALUES | NEAR | st.lists(NEAR, max_size=2))
@settings(deadline=None, max_examples=300)
def test_any_document_is_a_policy_or_a_policy_error(value: object) -> None:
    assert_policy_or_error(json.dumps(value))
