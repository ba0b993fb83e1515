"""Manifests: which objects a file holds, and what is said of what cannot be read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.objects.read import Malformed
from ingress_controller.objects.views import Ingress, KubernetesObject, Service
from ingress_controller.sources.manifests import parse
from tests.manifests import CLASS, documents, make_ingress, make_service


def read(text: str | bytes) -> tuple[list[KubernetesObject], list[Malformed]]:
    found = list(parse(text if isinstance(text, bytes) else text.encode(), "a.yaml"))
    return (
        [item for item in found if not isinstance(item, Malformed)],
        [item for item in found if isinstance(item, Malformed)],
    )


def test_documents_and_lists() -> None:
    items = [json.loads(make_service(name)) for name in ("a", "b")]
    nested = {"kind": "List", "apiVersion": "v1", "items": [{"kind": "List", "apiVersion": "v1", "items": items}]}
    objects, malformed = read(documents(CLASS, "", json.dumps(nested), "# nothing", make_ingress("i", "a.test")))
    assert ([found.ref.name for found in objects], malformed) == (["pomerium", "a", "b", "i"], [])


def test_namespace_is_default_unless_given() -> None:
    text = make_service("a").replace('"namespace": "default"', '"labels": {}')
    (one,), _ = read(text)
    (other,), _ = read(make_service("a", namespace="team"))
    assert (one.ref.namespace, other.ref.namespace) == ("default", "team")
    (cluster_wide,), _ = read(CLASS)
    assert cluster_wide.ref.namespace == ""


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    text = """
        apiVersion: v1
        kind: Service
        metadata: {name: yes, labels: {on: no, time: 12:30, octal: "010"}}
        spec: {type: ExternalName, externalName: off}
    """
    (service,), malformed = read(text)
    assert malformed == []
    assert isinstance(service, Service)
    assert (service.metadata.name, service.spec.external_name) == ("yes", "off")


def test_byte_order_mark_and_line_ends_do_not_matter() -> None:
    text = make_ingress("i", "a.test").encode().replace(b"}, ", b"},\r\n ")
    (ingress,), malformed = read(b"\xef\xbb\xbf" + text)
    assert (isinstance(ingress, Ingress), malformed) == (True, [])


@pytest.mark.parametrize("kind", ["Deployment", "ConfigMap", "Pod", "CustomThing"])
def test_other_kinds_are_passed_over(kind: str) -> None:
    assert read(json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x"}})) == ([], [])


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        (b"\xc3\x28", "a.yaml", "not UTF-8: invalid continuation byte at byte 0"),
        ("a: [", "a.yaml", "not YAML: "),
        ("text", "a.yaml", "not a Kubernetes object: a map with"),
        ("42", "a.yaml", "not a Kubernetes object: a map with"),
        ("{a: b}", "a.yaml", "not a Kubernetes object: apiVersion, kind and metadata are wanted"),
        ("{apiVersion: v1, kind: Service, metadata: x}", "a.yaml", "not a Kubernetes object: apiVersion, kind"),
        ("{apiVersion: v1, kind: [Service], metadata: {}}", "a.yaml", "not a Kubernetes object: apiVersion, kind"),
        ("{apiVersion: v1, kind: Service, metadata: {}}", "a.yaml", "Service has no metadata.name"),
        ("{apiVersion: v1, kind: Service, metadata: {name: 7}}", "a.yaml: Service", "Expected `str`, got `int`"),
        ("{apiVersion: v1, kind: List, items: [x]}", "a.yaml, item 0", "not a Kubernetes object"),
        (documents(CLASS, "x"), "a.yaml, document 2", "not a Kubernetes object"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str | bytes, where: str, message: str) -> None:
    _, (malformed,) = read(text)
    assert malformed.where == where
    assert message in malformed.message


def test_mistake_in_one_document_does_not_spoil_the_others() -> None:
    odd = make_service("odd").replace("80", '"x"')
    objects, (malformed,) = read(documents(make_service("a"), odd, make_service("b")))
    assert [found.ref.name for found in objects] == ["a", "b"]
    assert malformed.ref is not None
    assert malformed.ref.name == "odd"
    assert malformed.where == "a.yaml, document 2: Service default/odd"
    assert "$.spec.ports[0].port" in malformed.message


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="ignore")))
def test_any_bytes_are_read_or_said(data: bytes) -> None:
    for found in parse(data, "a.yaml"):
        assert isinstance(found, Malformed)
        assert found.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(
        [("v1", "Service"), ("networking.k8s.io/v1", "Ingress"), ("v1", "Secret"), ("v1", "List"),
         ("networking.k8s.io/v1", "IngressClass"), ("discovery.k8s.io/v1", "EndpointSlice"), ("v1", "Namespace")]
    ),
    metadata=st.fixed_dictionaries({"name": st.just("x") | _JSON}, optional={"annotations": _JSON, "namespace": _JSON}),
    rest=st.dictionaries(st.sampled_from(["spec", "data", "type", "endpoints", "ports", "items", "status"]), _JSON),
)  # fmt: skip
def test_any_object_is_read_or_said(
    kind: tuple[str, str], metadata: dict[str, object], rest: dict[str, object]
) -> None:
    raw = {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **rest}
    text = json.dumps(raw, ensure_ascii=False).encode(errors="backslashreplace")
    for found in parse(text, "a.yaml"):
        assert not isinstance(found, Malformed) or found.message
