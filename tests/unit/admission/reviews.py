"""Reviews as an API server sends them, of Ingresses, Policies and the golden cases."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from ingress_controller import offline
from ingress_controller.model.outcome import Outcome
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, IngressClassParameters, SharedPolicy
from ingress_controller.sources.directory import Directory
from ingress_controller.translate.graph import Graph
from tests import golden_suite
from tests.golden_suite import Case

RESOURCE = {"group": "networking.k8s.io", "version": "v1", "resource": "ingresses"}
OWN = {"group": "ingress.pomerium.io", "version": "v1alpha1"}
POLICIES, PARAMETERS = OWN | {"resource": "policies"}, OWN | {"resource": "ingressclassparameters"}
RESOURCES: Mapping[type, Mapping[str, str]] = {
    Ingress: RESOURCE,
    SharedPolicy: POLICIES,
    IngressClassParameters: PARAMETERS,
}


def make_review(raw: Mapping[str, Any], **fields: Any) -> bytes:
    """A review of an Ingress that is created; ``fields`` of the request may say otherwise."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        # Nobody looks at it: the resource says as much.
        "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"},
        "resource": RESOURCE,
        "operation": "CREATE",
        "object": raw,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        **fields,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


@dataclass(frozen=True)
class Applied:
    """An object of a golden case that can be reviewed.

    Attributes:
        name: of the case and the object.
        raw: the object.
        graph: the compiled case.
        outcome: what became of it; ``None`` if it is not ours.
        resource: what the API server calls its kind.
    """

    name: str
    raw: Mapping[str, Any]
    graph: Graph
    outcome: Outcome | None
    resource: Mapping[str, str]


def applied(case: Case) -> Iterator[Applied]:
    """Every Ingress, Policy and IngressClassParameters of a golden case."""
    with TemporaryDirectory() as directory:
        Path(directory, golden_suite.INPUT).write_bytes(case.manifests)
        changes = Directory([Path(directory)]).read().changes
    graph = Graph(offline.translate_options(case.settings()), Store())
    outcomes = graph.apply(changes).outcomes
    for change in changes:
        if resource := RESOURCES.get(type(change.object)):
            raw = msgspec.to_builtins(change.object)
            yield Applied(f"{case.name}: {change.ref}", raw, graph, outcomes.get(change.ref), resource)
