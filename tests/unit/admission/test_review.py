"""Reviews: what is rejected, with which words, and what is none of our business."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.admission.review import MOST, InvalidReviewError, answer
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.problem import OF_THE_OBJECT, Problem
from ingress_controller.objects.change import Change
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.read import read
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, IngressClass, IngressClassParameters, SharedPolicy
from ingress_controller.report.conditions import to_condition
from ingress_controller.translate.graph import Graph
from ingress_controller.translate.options import Options
from tests import golden_suite
from tests.golden_suite import Case
from tests.manifests import CLASS, PREFIX, PUBLIC, SIGNED_IN, make_ingress, make_parameters, make_shared_policy
from tests.unit.admission.reviews import PARAMETERS, POLICIES, RESOURCE, applied, make_review

BAD = {"policy": "[{"}
CASES = golden_suite.cases()


def make_graph() -> Graph:
    """A graph that knows one class, the default, and nothing else."""
    found = read(BY_NAME["networking.k8s.io/v1", "IngressClass"], json.loads(CLASS))
    assert isinstance(found, IngressClass)
    graph = Graph(Options(), Store())
    graph.apply([Change(found.ref, found)])
    return graph


def ask(body: bytes, graph: Graph | None = None) -> Mapping[str, Any]:
    """The response to a review."""
    made = json.loads(answer(body, (graph or make_graph()).examine))
    assert (made["apiVersion"], made["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: Mapping[str, Any] = made["response"]
    assert response["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    return response


def raw(annotations: Mapping[str, str] = PUBLIC, host: str = "web.test", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(make_ingress("web", host, annotations, **fields))
    return made


def of_the_object(outcome: Outcome) -> list[Problem]:
    """The problems that need no other object; conflicts between Ingresses are about all rules, or all annotations."""
    between = {"spec.rules", "metadata.annotations"}
    return [
        p
        for p in outcome.problems
        if (p.reason in OF_THE_OBJECT and p.field not in between) or p.object.kind != Ingress.KIND
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_review_agrees_with_the_compiler(case: Case) -> None:
    for found in applied(case):
        response = ask(make_review(found.raw, resource=found.resource), found.graph)
        wrong = of_the_object(found.outcome) if found.outcome else []
        assert response["allowed"] == (not wrong), found.name
        if wrong:
            messages = Outcome("", tuple(wrong)).messages
            assert response["status"]["message"].splitlines()[:MOST] == list(messages)[:MOST]


def test_golden_cases_of_both_kinds_are_there() -> None:
    outcomes = [ingress.outcome for case in CASES for ingress in applied(case)]
    rejected = [bool(of_the_object(outcome)) for outcome in outcomes if outcome]
    assert rejected.count(True) > 10
    assert rejected.count(False) > 10
    shared = [ingress.name for case in CASES for ingress in applied(case) if ingress.resource != RESOURCE]
    assert len(shared) > 10


def test_a_rejection() -> None:
    annotations = {"policy": "[{", "allowed_user": "x", "timeout": "soon"}
    response = ask(make_review(raw(annotations, host="Web.test")))
    assert not response["allowed"]
    status = response["status"]
    assert (status["status"], status["code"], status["reason"]) == ("Failure", 422, "Invalid")
    first, *others = status["message"].splitlines()
    assert first.startswith(f"upsert routes: parsing ingress: annotations: unknown {PREFIX}/allowed_user; ")
    assert [line.partition("policy: ")[0] for line in others][:1] == [
        "upsert routes: parsing ingress: annotations: applying policy annotations: parsing "
    ]
    assert len(others) == 3
    assert (status["details"]["kind"], status["details"]["name"]) == ("Ingress", "web")
    assert [(cause["field"], cause["message"]) for cause in status["details"]["causes"]] == [
        (f"metadata.annotations[{PREFIX}/allowed_user]", first),
        (f"metadata.annotations[{PREFIX}/policy]", others[0]),
        (f"metadata.annotations[{PREFIX}/timeout]", others[1]),
        ("spec.rules[0].host", others[2]),
    ]


def test_a_good_ingress_whose_backend_is_not_there_yet() -> None:
    assert ask(make_review(raw(tls={"not-there": ["web.test"]}))) == {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "allowed": True,
    }


def test_many_mistakes_are_told_up_to_a_limit() -> None:
    paths = [(f"/a//{number}", "Exact", "web:80") for number in range(MOST + 5)]
    status = ask(make_review(raw(paths=paths)))["status"]
    assert status["message"].splitlines()[MOST:] == ["and 5 more"]
    assert len(status["details"]["causes"]) == MOST


TRIED = {"policy_mode": "shadow", **SIGNED_IN}


@pytest.mark.parametrize(
    ("annotations", "warnings"),
    [
        (TRIED | {"policy": "[{allow: {or: [{emial: a@b.test}]}}]"}, ['unknown criterion "emial"']),
        (TRIED | {"policy_ref": "[a/b/c, d]"}, ["policy_ref: [0] must be NAME or NAMESPACE/NAME"]),
        (TRIED | BAD | {"policy_ref": "A"}, ["applying policy annotations: parsing policy", "policy_ref: must be"]),
        # These may come later.
        (TRIED | {"policy_ref": "[not-there, other/not-there]"}, []),
        (SIGNED_IN | {"policy_ref": "not-there"}, []),
        (SIGNED_IN | {"tls_downstream_client_ca_secret": "not-there"}, []),
    ],
    ids=str,
)
def test_what_closes_nothing_is_a_warning(annotations: Mapping[str, str], warnings: list[str]) -> None:
    response = ask(make_review(raw(annotations)))
    assert response["allowed"]
    told = response.get("warnings", [])
    assert len(told) == len(warnings)
    assert all(wanted in warning for wanted, warning in zip(warnings, told, strict=True)), told
    assert all(warning.startswith("upsert routes: parsing ingress: ") for warning in told)


def test_a_rejection_may_come_with_a_warning() -> None:
    response = ask(make_review(raw(TRIED | BAD | {"timeout": "soon"})))
    assert "must be a duration" in response["status"]["message"]
    assert "applying policy annotations" not in response["status"]["message"]
    assert len(response["warnings"]) == 1


MISSPELT = {"allow": {"or": [{"emial": "ann@example.com"}]}}


@pytest.mark.parametrize(
    ("resource", "text", "kind", "message"),
    [
        (POLICIES, make_shared_policy("a", MISSPELT), "Policy", "spec.rules[0].allow.or[0].emial"),
        (POLICIES, make_shared_policy("a", usableFrom=["A"]), "Policy", "spec.usableFrom[0]"),
        (PARAMETERS, make_parameters("a", MISSPELT), "IngressClassParameters", "spec.mandatoryDeny[0].allow"),
        (PARAMETERS, make_parameters("a", default=[MISSPELT]), "IngressClassParameters", "spec.defaultPolicy[0].allow"),
    ],
    ids=str,
)
def test_shared_rules_are_rejected_with_the_text_of_their_condition(
    resource: Mapping[str, str], text: str, kind: str, message: str
) -> None:
    bad = json.loads(text)
    response = ask(make_review(bad, resource=resource))
    assert not response["allowed"]
    details = response["status"]["details"]
    assert (details["group"], details["kind"], details["name"]) == (PREFIX, kind, "a")
    found = read(BY_NAME[bad["apiVersion"], kind], bad)
    assert isinstance(found, SharedPolicy | IngressClassParameters)
    outcome = make_graph().apply([Change(found.ref, found)]).outcomes[found.ref]
    assert outcome
    assert response["status"]["message"] == to_condition(outcome, 1).message
    assert message in response["status"]["message"]


def test_shared_rules_that_are_well_or_not_ours() -> None:
    good = json.loads(make_shared_policy("a", {"allow": {"or": [{"email": "ann@example.com"}]}}))
    bad = json.loads(make_shared_policy("a", MISSPELT))
    assert ask(make_review(good, resource=POLICIES)) == {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "allowed": True,
    }
    elsewhere = Graph(Options(namespaces=("shop",)), Store())
    assert ask(make_review(bad, resource=POLICIES), elsewhere)["allowed"]
    labelled = {**bad, "metadata": {**bad["metadata"], "labels": {"a": "b"}, "annotations": {"a": "b"}}}
    assert ask(make_review(labelled, resource=POLICIES, operation="UPDATE", oldObject=bad))["allowed"]
    assert not ask(make_review(bad, resource=POLICIES, operation="UPDATE", oldObject=good))["allowed"]
    assert ask(make_review(bad, resource=POLICIES, subResource="status", operation="UPDATE"))["allowed"]


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "DELETE", "object": None, "oldObject": raw(BAD)},
        {"operation": "CONNECT"},
        {"subResource": "status", "operation": "UPDATE"},
        {"resource": {**RESOURCE, "resource": "ingressclasses"}},
        {"resource": {**RESOURCE, "version": "v1beta1"}},
        {"resource": {"group": "", "version": "v1", "resource": "services"}},
    ],
    ids=str,
)
def test_what_is_not_ours_to_judge_is_allowed(fields: Mapping[str, Any]) -> None:
    assert ask(make_review(raw(BAD), **fields))["allowed"]


def test_other_classes_are_left_alone() -> None:
    assert ask(make_review(raw(BAD, ingressClassName="nginx")))["allowed"]
    assert not ask(make_review(raw(BAD, ingressClassName="pomerium")))["allowed"]
    by_annotation = raw(BAD)
    by_annotation["metadata"]["annotations"]["kubernetes.io/ingress.class"] = "nginx"
    assert ask(make_review(by_annotation))["allowed"]


def test_an_update_is_judged_by_what_it_changes() -> None:
    bad, labelled = raw(BAD), raw(BAD)
    labelled["metadata"]["labels"] = {"a": "b"}
    update = {"operation": "UPDATE"}
    assert ask(make_review(labelled, oldObject=bad, **update))["allowed"]
    assert not ask(make_review(bad, oldObject=raw(), **update))["allowed"]
    assert not ask(make_review(raw(BAD, host="other.test"), oldObject=bad, **update))["allowed"]
    assert ask(make_review(raw(), oldObject=bad, **update))["allowed"]


def test_an_object_that_is_being_deleted_may_change() -> None:
    leaving = raw(BAD, host="other.test")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    assert ask(make_review(leaving, operation="UPDATE", oldObject=raw(BAD)))["allowed"]


def test_a_name_that_is_yet_to_be_made() -> None:
    unnamed = raw(BAD)
    del unnamed["metadata"]["name"]
    unnamed["metadata"]["generateName"] = "web-"
    assert ask(make_review(unnamed))["status"]["details"]["name"] == "web-"
    assert ask(make_review(unnamed, name="web-x7"))["status"]["details"]["name"] == "web-x7"


def test_the_namespace_of_the_request_counts_where_the_object_has_none() -> None:
    graph = Graph(Options(namespaces=("shop",)), Store())
    found = read(BY_NAME["networking.k8s.io/v1", "IngressClass"], json.loads(CLASS))
    assert isinstance(found, IngressClass)
    graph.apply([Change(found.ref, found)])
    bad = raw(BAD)
    del bad["metadata"]["namespace"]
    assert ask(make_review(bad, namespace="blog"), graph)["allowed"]
    assert not ask(make_review(bad, namespace="shop"), graph)["allowed"]


def test_an_object_that_cannot_be_read_is_allowed_with_a_warning() -> None:
    odd = raw()
    odd["spec"]["rules"] = 5
    response = ask(make_review(odd))
    assert response["allowed"]
    assert response["warnings"] == ["not checked: Expected `array`, got `int` - at `$.spec.rules`"]


def test_nothing_is_remembered() -> None:
    """A review has no side effects: an Ingress that was only asked about is not served."""
    graph = make_graph()
    ask(make_review(raw()), graph)
    ask(make_review(raw(BAD)), graph)
    update = graph.apply([])
    assert (update.hosts, update.outcomes) == ({}, {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not an AdmissionReview: Input data was truncated"),
        (b"\xff", "not an AdmissionReview: "),
        (b"[]", "not an AdmissionReview: Expected `object`, got `array`"),
        (b"[" * 100_000, "not an AdmissionReview: "),
        (b"{}", "not an AdmissionReview: Object missing required field `apiVersion`"),
        (make_review({}).replace(b".k8s.io/v1", b".k8s.io/v1beta1", 1), "must be AdmissionReview of admission.k8s.io"),
        (make_review({}).replace(b'"AdmissionReview"', b'"Status"'), "got 'Status' of 'admission.k8s.io/v1'"),
        (make_review({}).replace(b'"uid"', b'"id"'), "missing required field `uid`"),
        (make_review([1]), "Expected `object | null`, got `array` - at `$.request.object`"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_review(body: bytes, message: str) -> None:
    with pytest.raises(InvalidReviewError) as raised:
        answer(body, lambda _: ())
    assert message in str(raised.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "name", "spec", "rules", "host", "annotations"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(raw=JSON, old=JSON)
def test_any_object_has_an_answer(raw: Any, old: Any) -> None:
    try:
        ask(make_review(raw, operation="UPDATE", oldObject=old))
    except InvalidReviewError:
        assert not isinstance(raw, dict | None) or not isinstance(old, dict | None)


def test_a_mistake_of_ours_rejects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("?")

    monkeypatch.setattr("ingress_controller.translate.graph.compile_ingress", fail)
    found = read(BY_NAME["networking.k8s.io/v1", "Ingress"], raw(BAD))
    assert isinstance(found, Ingress)
    assert make_graph().examine(found) == ()
