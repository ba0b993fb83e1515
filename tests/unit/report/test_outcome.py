"""What is said about an Ingress, and when."""

import pytest
from structlog.testing import capture_logs

from ingress_controller.model.outcome import Outcome
from ingress_controller.model.problem import Problem
from ingress_controller.objects.views import Ingress, Metadata
from ingress_controller.report.log import LogReporter
from ingress_controller.report.outcome import Announcement, transitions

INGRESS = Ingress(metadata=Metadata(name="web", namespace="app", uid="1"))


def make_outcome(fingerprint: str, *messages: str) -> Outcome:
    return Outcome(fingerprint, tuple(Problem(INGRESS.ref, "", "invalid-policy", message) for message in messages))


def said(previous: Outcome | None, outcome: Outcome) -> list[str]:
    return [str(it) for it in transitions(INGRESS.ref, previous.digest if previous else None, outcome)]


UPDATED = ["Normal Updated Ingress app/web: updated pomerium configuration"]
MISTAKE = ["Warning UpdateError Ingress app/web: upsert routes: a mistake"]


@pytest.mark.parametrize(
    ("previous", "outcome", "expected"),
    [
        (None, make_outcome("1"), UPDATED),
        (make_outcome("1"), make_outcome("1"), []),
        (make_outcome("1"), make_outcome("2"), UPDATED),
        (make_outcome("1"), make_outcome("1", "a mistake"), MISTAKE),
        (make_outcome("1", "a mistake"), make_outcome("1", "a mistake"), []),
        (make_outcome("1", "a mistake"), make_outcome("2", "a mistake"), MISTAKE),
        (make_outcome("1", "a mistake"), make_outcome("1"), UPDATED),
        (make_outcome("1", "another"), make_outcome("1", "a mistake"), MISTAKE),
        (None, make_outcome("1", "upsert routes: a mistake", "a mistake"), MISTAKE),
    ],
)
def test_transitions(previous: Outcome | None, outcome: Outcome, expected: list[str]) -> None:
    assert said(previous, outcome) == expected


def test_each_distinct_problem_is_said_in_order() -> None:
    messages = [it.message for it in transitions(INGRESS.ref, None, make_outcome("1", "b", "a", "b"))]
    assert messages == ["upsert routes: b", "upsert routes: a"]


def test_the_fields_of_an_announcement() -> None:
    (warning,) = transitions(INGRESS.ref, None, make_outcome("1", "a mistake"))
    assert warning == Announcement(INGRESS.ref, "Warning", "UpdateError", "upsert routes: a mistake")


def test_outcomes_do_not_run_together() -> None:
    digests = {make_outcome("1", "a", "b"), make_outcome("1", "ab"), make_outcome("1a", "b"), make_outcome("1ab")}
    assert len({outcome.digest for outcome in digests}) == 4


def test_the_log_has_a_line_for_each() -> None:
    reporter = LogReporter()
    with capture_logs() as logs:
        for outcome in (make_outcome("1"), make_outcome("1"), make_outcome("2", "a mistake")):
            reporter.observe(INGRESS, outcome)
        reporter.forget(INGRESS.ref)
        reporter.observe(INGRESS, make_outcome("2", "a mistake"))
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("info", *UPDATED),
        ("warning", *MISTAKE),
        ("warning", *MISTAKE),
    ]
