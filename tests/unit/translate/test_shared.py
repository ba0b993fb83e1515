"""Rules that Ingresses share: who is compiled again for what, and what they add up to."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.annotations.policies import references
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.policy import Policy
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Change
from ingress_controller.objects.read import Malformed
from ingress_controller.objects.store import Store
from ingress_controller.policy.parse import MAX_CRITERIA
from ingress_controller.sources.manifests import parse
from ingress_controller.translate.graph import Graph, Update
from ingress_controller.translate.options import Options
from tests.manifests import (
    CLASS,
    PUBLIC,
    make_ingress,
    make_parameters,
    make_parameters_reference,
    make_policy,
    make_service,
    make_shared_policy,
)

ANN = {"email": "ann@example.com"}
SHADOW = {"policy_mode": "shadow"}


class Cluster:
    """A graph that is given manifests."""

    def __init__(self, *texts: str) -> None:
        self._graph = Graph(Options(), Store())
        self.routes = dict[str, tuple[Policy, Policy | None]]()
        self.outcomes = dict[ObjectRef, Outcome]()
        self.apply(make_service(), *texts)

    def apply(self, *texts: str) -> Update:
        """Take in objects, as one change."""
        return self._apply(Change(found.ref, found) for text in texts for found in _read(text))

    def remove(self, kind: str, name: str, namespace: str = "default") -> Update:
        """Take one away."""
        return self._apply([Change(ObjectRef(kind, namespace, name), None)])

    def _apply(self, changes: Iterable[Change]) -> Update:
        update = self._graph.apply(changes)
        for name, host in update.hosts.items():
            (route,) = host.routes if host else (None,)
            if route:
                self.routes[name] = route.policy, route.shadow
        self.outcomes |= {ref: outcome for ref, outcome in update.outcomes.items() if outcome}
        return update

    def enforced(self, host: str) -> list[str]:
        """The names of the rules that are enforced on a host."""
        policy, _ = self.routes[host]
        return [rule.name for rule in (*policy.allow, *policy.deny)]

    def tried(self, host: str) -> list[str] | None:
        """The names of the rules that are tried."""
        _, shadow = self.routes[host]
        return None if shadow is None else [rule.name for rule in (*shadow.allow, *shadow.deny)]

    def reasons(self, name: str) -> list[str]:
        """What is wrong with an Ingress, but for its endpoints."""
        problems = self.outcomes[ObjectRef("Ingress", "default", name)].problems
        return [problem.reason for problem in problems if problem.reason != "endpoints-not-found"]


def _read(text: str) -> Iterable[Any]:
    for found in parse(text.encode(), "in.yaml"):
        assert not isinstance(found, Malformed), found
        yield found


def make_class(name: str = "pomerium", **more: Any) -> str:
    made = json.loads(CLASS)
    made["metadata"]["name"] = name
    made["spec"] |= more
    return json.dumps(made)


def allow(*criteria: Mapping[str, Any]) -> dict[str, Any]:
    return {"allow": {"or": criteria}}


def deny(*criteria: Mapping[str, Any]) -> dict[str, Any]:
    return {"deny": {"or": criteria}}


def test_a_policy_concerns_its_users_alone() -> None:
    cluster = Cluster(
        CLASS,
        make_shared_policy("office", allow(ANN)),
        make_ingress("a", "a.test", {"policy_ref": "office"}),
        make_ingress("b", "b.test", {"policy_ref": "default/office"}),
        make_ingress("c", "c.test", {}),
    )
    assert cluster.enforced("a.test") == cluster.enforced("b.test") == ["Policy default/office[0].allow"]
    update = cluster.apply(make_shared_policy("office", allow({"domain": "example.com"})))
    assert set(update.hosts) == {"a.test", "b.test"}
    assert set(cluster.remove("Policy", "office").hosts) == {"a.test", "b.test"}
    assert cluster.reasons("a") == ["policy-not-found"]
    assert set(cluster.apply(make_shared_policy("office")).hosts) == {"a.test", "b.test"}
    assert cluster.enforced("a.test") == cluster.reasons("a") == []


def test_what_is_said_about_a_policy_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(
        CLASS, make_shared_policy("office", allow(ANN)), make_ingress("a", "a.test", {"policy_ref": "office"})
    )
    monkeypatch.setattr("ingress_controller.translate.graph.compile_ingress", None)
    with_status = json.loads(make_shared_policy("office", allow(ANN)))
    with_status["status"] = {"conditions": [{"type": "Accepted", "status": "True"}]}
    with_status["metadata"] |= {"resourceVersion": "7", "generation": 3}
    update = cluster.apply(json.dumps(with_status))
    assert (update.hosts, update.outcomes) == ({}, {})


def test_a_bad_policy_is_told_to_its_owner_and_its_users() -> None:
    cluster = Cluster(
        CLASS,
        make_shared_policy("office", allow({"emial": "x"})),
        make_ingress("a", "a.test", {"policy_ref": "office"}),
    )
    (problem,) = cluster.outcomes[ObjectRef("Policy", "default", "office")].problems
    assert problem.reason == "invalid-policy"
    assert problem.message.endswith("(at spec.rules[0].allow.or[0].emial)")
    (told, *_) = cluster.outcomes[ObjectRef("Ingress", "default", "a")].problems
    assert told.message.endswith(f"policy_ref: Policy default/office: {problem.message}")
    assert told.field == "metadata.annotations[ingress.pomerium.io/policy_ref]"


@pytest.mark.parametrize("names", [["Default"], ["a/b"], [""], ["default", "*."]])
def test_usable_from_is_namespaces(names: list[str]) -> None:
    cluster = Cluster(make_shared_policy("office", usableFrom=names))
    (problem,) = cluster.outcomes[ObjectRef("Policy", "default", "office")].problems
    assert f"(at spec.usableFrom[{len(names) - 1}])" in problem.message


def test_criteria_of_all_origins_count_together() -> None:
    half = [{"http_path": f"/{number}"} for number in range(MAX_CRITERIA // 2)]
    parameters = make_class(parameters=make_parameters_reference("edge"))
    cluster = Cluster(
        parameters,
        make_parameters("edge", deny(ANN)),
        make_shared_policy("office", allow(*half)),
        make_ingress("a", "a.test", {"policy_ref": "office", **make_policy(*half[1:])}),
        make_ingress("b", "b.test", {"policy_ref": "office", **make_policy(*half)}),
        make_ingress("c", "c.test", {"policy_ref": "office", **make_policy(*half), **SHADOW, **PUBLIC}),
        make_ingress("d", "d.test", {"policy_ref": "office", **make_policy(*half[2:]), **SHADOW, **PUBLIC}),
    )
    assert [cluster.reasons(name) for name in "abcd"] == [[], ["policy-not-accepted"], ["policy-not-tried"], []]
    # What is only tried is left out.
    assert cluster.enforced("c.test") == cluster.enforced("d.test")
    assert cluster.tried("c.test") is None
    assert cluster.tried("d.test") == ["policy[0].allow", "Policy default/office[0].allow"]


MANDATORY = "IngressClassParameters edge.mandatoryDeny[0].deny"
DEFAULT = "IngressClassParameters edge.defaultPolicy[0].allow"
OPEN, CLOSED = "allow_public_unauthenticated_access", "allowed_users"


@pytest.mark.parametrize(
    ("annotations", "enforced", "tried"),
    [
        ({}, [DEFAULT], None),
        ({"timeout": "3s"}, [DEFAULT], None),
        (PUBLIC, [OPEN], None),
        # Who says that nobody may is not overruled.
        ({OPEN: "false"}, [], None),
        ({CLOSED: "[]"}, [], None),
        ({CLOSED: ""}, [DEFAULT], None),
        ({"policy_ref": "office"}, ["Policy default/office[0].allow"], None),
        ({"policy": "[]"}, [], None),
        ({"policy_mode": "enforce"}, [DEFAULT], None),
        ({"policy": "[]", **SHADOW}, [DEFAULT], []),
        ({"policy_ref": "office", **SHADOW}, [DEFAULT], ["Policy default/office[0].allow"]),
        ({"policy_ref": "office", CLOSED: "[x]", **SHADOW}, [CLOSED], ["Policy default/office[0].allow"]),
        ({"policy_ref": "[office, default/office]"}, ["Policy default/office[0].allow"], None),
    ],
)
def test_what_holds_where_a_class_has_parameters(
    annotations: dict[str, str], enforced: list[str], tried: list[str] | None
) -> None:
    cluster = Cluster(
        make_class(parameters=make_parameters_reference("edge")),
        make_parameters("edge", deny({"http_path": "/x"}), default=[allow(ANN)]),
        make_shared_policy("office", allow(ANN)),
        make_ingress("a", "a.test", annotations),
    )
    assert cluster.reasons("a") == []
    assert cluster.enforced("a.test") == [*enforced, MANDATORY]
    assert cluster.tried("a.test") == tried


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (SHADOW, "policy_mode: there is no policy or policy_ref to try"),
        ({**SHADOW, **PUBLIC}, "policy_mode: there is no policy or policy_ref to try"),
        ({"policy_mode": "Shadow", **make_policy(ANN)}, "policy_mode: must be enforce or shadow, got 'Shadow'"),
        ({"policy_mode": ""}, "policy_mode: must be enforce or shadow, got ''"),
        ({"policy_ref": ""}, "must be NAME or NAMESPACE/NAME of a Policy, or a list of them"),
        ({"policy_ref": "null"}, "must be NAME or NAMESPACE/NAME of a Policy, or a list of them"),
        ({"policy_ref": "[a, {b: c}]"}, "[1] must be NAME or NAMESPACE/NAME of a Policy"),
        ({"policy_ref": "[]"}, "must name 1 to 100 Policies, got 0"),
        ({"policy_ref": str(["a"] * 101)}, "must name 1 to 100 Policies, got 101"),
        ({"policy_ref": "a/b/c"}, "each a DNS name in lower case, got 'a/b/c'"),
        ({"policy_ref": "/office"}, "each a DNS name in lower case, got '/office'"),
        ({"policy_ref": "Office"}, "each a DNS name in lower case, got 'Office'"),
    ],
)
def test_mistakes_close_the_ingress(annotations: dict[str, str], said: str) -> None:
    office = make_shared_policy("office", allow(ANN))
    cluster = Cluster(CLASS, office, make_ingress("a", "a.test", annotations))
    assert cluster.reasons("a") == ["invalid-annotation"]
    assert said in cluster.outcomes[ObjectRef("Ingress", "default", "a")].problems[0].message
    assert cluster.enforced("a.test") == []


@pytest.mark.parametrize("everybody", ["allow_public_unauthenticated_access", "allow_any_authenticated_user"])
def test_a_policy_that_admits_some_contradicts_an_annotation_that_admits_all(everybody: str) -> None:
    cluster = Cluster(
        CLASS,
        make_shared_policy("office", allow(ANN)),
        make_ingress("a", "a.test", {"policy_ref": "office", everybody: "true"}),
    )
    assert cluster.reasons("a") == ["policy-not-accepted"]
    (problem, *_) = cluster.outcomes[ObjectRef("Ingress", "default", "a")].problems
    assert f"has allow rules: this contradicts ingress.pomerium.io/{everybody}" in problem.message
    cluster.apply(make_shared_policy("office", deny(ANN)))
    assert cluster.reasons("a") == []


def test_parameters_of_default_classes_must_agree() -> None:
    """An Ingress without a class is of all of them; which denials hold must not be a matter of luck."""
    cluster = Cluster(
        make_class("one", parameters=make_parameters_reference("edge")),
        make_parameters("edge", deny(ANN)),
        make_ingress("a", "a.test"),
        make_ingress("b", "b.test", ingressClassName="one"),
    )
    assert cluster.enforced("a.test") == cluster.enforced("b.test") == [OPEN, MANDATORY]
    update = cluster.apply(make_class("two"))
    assert cluster.reasons("a") == ["invalid-class-parameters"]
    assert set(update.hosts) == {"a.test"}
    cluster.apply(make_class("two", parameters=make_parameters_reference("edge")))
    assert cluster.reasons("a") == []
    assert cluster.enforced("a.test") == [OPEN, MANDATORY]


def test_parameters_concern_the_ingresses_of_their_class() -> None:
    cluster = Cluster(
        make_class("one", parameters=make_parameters_reference("edge")),
        json.dumps({**json.loads(make_class("two")), "metadata": {"name": "two"}}),
        make_parameters("edge", deny(ANN)),
        make_ingress("a", "a.test"),
        make_ingress("b", "b.test", ingressClassName="one"),
        make_ingress("c", "c.test", ingressClassName="two"),
    )
    assert set(cluster.apply(make_parameters("edge", deny({"http_path": "/x"}))).hosts) == {"a.test", "b.test"}
    assert set(cluster.apply(make_class("one")).hosts) == {"a.test", "b.test"}
    assert cluster.enforced("a.test") == [OPEN]


def test_the_old_annotation_names_a_class_with_its_parameters() -> None:
    ingress = json.loads(make_ingress("a", "a.test"))
    ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"] = "pomerium"
    cluster = Cluster(make_class(parameters=make_parameters_reference("edge")), json.dumps(ingress))
    assert cluster.reasons("a") == ["class-parameters-not-found"]


@settings(deadline=None)
@given(st.text() | st.lists(st.text(max_size=20)).map(json.dumps))
def test_any_text_as_a_reference(text: str) -> None:
    try:
        found = references(text)
    except ValueError:
        return
    assert found
    assert all(ref.name and "/" not in ref.name for ref in found)
