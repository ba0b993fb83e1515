"""Whatever is written into manifests, translation answers with values and problems, and never fails."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.annotations.table import TABLE
from ingress_controller.envoy.encoder import Encoder
from ingress_controller.envoy.options import Options as EnvoyOptions
from ingress_controller.model.certificate import Certificate
from ingress_controller.model.private import PrivateBytes
from ingress_controller.model.problem import REASONS
from ingress_controller.model.route import Forward
from ingress_controller.model.upstream import Address
from ingress_controller.objects.change import Change
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.read import Malformed, read
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import KubernetesObject
from ingress_controller.sources import manifests
from ingress_controller.translate.graph import Graph, Update
from ingress_controller.translate.options import Options
from ingress_controller.translate.render import routes_yaml

GOLDEN_INPUTS = sorted(Path(__file__).parents[1].glob("golden/*/*/in.yaml"))
MUTATIONS = 400
CLOSING = {reason for reason, what in REASONS.items() if what.endswith("all paths answer 503.")} - {"secret-not-found"}
bounded = settings(max_examples=150, deadline=None)


# --- What comes out of anything.


def translate(objects: Iterable[KubernetesObject | Malformed]) -> Update:
    """Translate, encode and print, and check what must hold for every input."""
    changes = [Change(found.ref, found) for found in objects if not isinstance(found, Malformed)]
    update = Graph(Options(), Store()).apply(changes)
    hosts = {name: host for name, host in update.hosts.items() if host}
    upstreams = {name: upstream for name, upstream in update.upstreams.items() if upstream}
    endpoints = {port: found for port, found in update.endpoints.items() if found}
    encoder = Encoder(make_envoy_options())
    encoder.start()
    encoder.encode(update.hosts, update.upstreams, update.secrets, update.endpoints)
    routes_yaml(hosts.values(), upstreams, endpoints)
    problems = [problem for outcome in update.outcomes.values() if outcome for problem in outcome.problems]
    assert [problem for problem in problems if problem.reason == "internal-error"] == []
    rejected = {problem.object for problem in problems if problem.reason in CLOSING}
    forwarded = [route for host in hosts.values() for route in host.routes if isinstance(route.action, Forward)]
    assert [route for route in forwarded if route.ingress in rejected] == []
    assert {route.action.upstream for route in forwarded if isinstance(route.action, Forward)} <= upstreams.keys()
    return update


def make_envoy_options() -> EnvoyOptions:
    certificate = Certificate("", b"", PrivateBytes(b""))
    return EnvoyOptions(Address("", 80), Address("", 443), 443, "https://issuer", "{}", certificate, "/ca.pem")


# --- Objects that are mostly right.

HOSTILE = (
    *("", " ", "*", "*.", ".", "..", "/", "//", "~", "null", "true", "0", "-1", "{}", "[]", "{", "%", "%REQ(:path)%"),
    *("\x00", "\n", "\r\n", "\u2028", "\ufb00", "\u0130", "../../x", "${pomerium.id_token}", "(", "^/$", "^/(a|b)*$"),
    *("1e999h", "9" * 30 + "h", "[[[[", "&a [*a]", "!!binary x", "? x", "- - - x", "a: b: c", "---", "...", "\ufeff"),
)
hostile = st.text(max_size=20) | st.sampled_from(HOSTILE)
name = st.sampled_from(("web", "other", "a")) | hostile
namespace = st.sampled_from(("app", "zoo"))
policy = st.recursive(
    st.sampled_from(({"email": "a@example.com"}, {"accept": True}, {"groups": {"has": "g"}})) | hostile | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("allow", "deny", "and", "or", "not", "nor", "email", "claim/x")) | hostile, inner
        )
    ),
    max_leaves=8,
).map(json.dumps)
value = st.one_of(
    hostile,
    policy,
    st.sampled_from([row.example for row in TABLE if row.example]),
    st.lists(hostile, max_size=3).map(json.dumps),
    st.dictionaries(hostile, hostile | st.lists(hostile, max_size=2), max_size=3).map(json.dumps),
)
annotation = st.sampled_from([f"ingress.pomerium.io/{row.name}" for row in TABLE])
annotations = st.dictionaries(annotation | hostile.map("ingress.pomerium.io/{}".format) | hostile, value, max_size=3)


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


def objects(kind: str, api_version: str, **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    metadata = st.fixed_dictionaries(
        {"name": name, "namespace": namespace},
        optional={"annotations": annotations, "creationTimestamp": hostile, "labels": labels},
    )
    return st.fixed_dictionaries(
        {"apiVersion": st.just(api_version), "kind": st.just(kind), "metadata": metadata, **strategies}
    )


labels = fields(**{"kubernetes.io/service-name": name})
port = st.sampled_from((80, 443, 8080, 65535)) | st.integers(-1, 70000)
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
backend = st.just(BACKEND) | fields(
    service=st.fixed_dictionaries({"name": name}, optional={"port": fields(name=name, number=port)}),
    resource=st.just({"kind": "Bucket", "name": "b"}),
)
host = st.sampled_from(("a.example.com", "*.example.com", "b.a.example.com", "")) | hostile
http_path = st.fixed_dictionaries(
    {"backend": backend, "pathType": st.sampled_from(("Exact", "Prefix", "ImplementationSpecific"))},
    optional={"path": st.sampled_from(("/", "/x", "/x/", "^/x$")) | hostile},
)
rule = fields(host=host, http=fields(paths=st.lists(http_path, max_size=3)))
tls = fields(hosts=st.lists(host, max_size=2), secretName=name)
spec = st.fixed_dictionaries(
    {"ingressClassName": st.just("pomerium")},
    optional={"rules": st.lists(rule, max_size=3), "tls": st.lists(tls, max_size=2), "defaultBackend": backend},
)
service_port = st.fixed_dictionaries(
    {"port": port}, optional={"name": name, "protocol": st.sampled_from(("TCP", "UDP")), "targetPort": port | name}
)
service = objects(
    "Service",
    "v1",
    spec=fields(
        type=st.sampled_from(("ClusterIP", "ExternalName")),
        clusterIP=st.sampled_from(("10.96.0.1", "None")) | hostile,
        externalName=host | st.ip_addresses().map(str),
        ports=st.lists(service_port, max_size=2),
    ),
)
endpoint = st.fixed_dictionaries(
    {"addresses": st.lists(st.ip_addresses().map(str) | hostile, max_size=2)},
    optional={"conditions": fields(ready=st.booleans() | st.none(), serving=st.booleans(), terminating=st.booleans())},
)
endpoint_slice = objects(
    "EndpointSlice",
    "discovery.k8s.io/v1",
    addressType=st.sampled_from(("IPv4", "IPv6", "FQDN")),
    endpoints=st.lists(endpoint, max_size=3) | st.none(),
    ports=st.lists(fields(name=name | st.none(), port=port | st.none(), protocol=st.sampled_from(("TCP", "UDP")))),
)
secret = objects(
    "Secret",
    "v1",
    type=st.sampled_from(("kubernetes.io/tls", "Opaque", "kubernetes.io/service-account-token")),
    stringData=fields(**dict.fromkeys(("tls.crt", "tls.key", "ca.crt", "ca.crl", "token", "X-A", "x-a"), hostile)),
)
rules = st.lists(policy.map(json.loads), max_size=2)
shared_policy = objects(
    "Policy",
    "ingress.pomerium.io/v1alpha1",
    spec=st.fixed_dictionaries({"rules": rules}, optional={"usableFrom": st.lists(namespace | hostile, max_size=2)}),
)
parameters = st.fixed_dictionaries(
    {
        "apiVersion": st.just("ingress.pomerium.io/v1alpha1"),
        "kind": st.just("IngressClassParameters"),
        "metadata": st.just({"name": "edge"}),
        "spec": st.fixed_dictionaries({"mandatoryDeny": rules}, optional={"defaultPolicy": rules}),
    }
)
other_class = st.fixed_dictionaries(
    {
        "apiVersion": st.just("networking.k8s.io/v1"),
        "kind": st.just("IngressClass"),
        "metadata": st.just({"name": "pomerium"}),
        "spec": fields(
            controller=st.just(Options().controller_name),
            parameters=st.fixed_dictionaries(
                {"name": st.just("edge")},
                optional={
                    "kind": st.sampled_from(("IngressClassParameters", "ConfigMap")),
                    "apiGroup": st.sampled_from(("ingress.pomerium.io", "")),
                    "scope": st.sampled_from(("Cluster", "Namespace")),
                },
            ),
        ),
    }
)
ingress = objects("Ingress", "networking.k8s.io/v1", spec=spec)
GOOD = [
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "pomerium"},
        "spec": {"controller": Options().controller_name},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "app"},
        "spec": {"ports": [{"port": 80}]},
    },
]
cluster = st.lists(
    st.one_of(ingress, ingress, service, endpoint_slice, secret, shared_policy, parameters, other_class), max_size=6
)


def read_all(raw: Iterable[Mapping[str, Any]]) -> Iterator[KubernetesObject | Malformed]:
    return (read(BY_NAME[each["apiVersion"], each["kind"]], each) for each in raw)


@bounded
@given(cluster)
def test_objects_of_an_api_server(raw: list[dict[str, Any]]) -> None:
    translate(read_all([*GOOD, *raw]))


@bounded
@given(cluster)
def test_objects_of_manifests(raw: list[dict[str, Any]]) -> None:
    text = "\n---\n".join(json.dumps(each, ensure_ascii=False) for each in [*GOOD, *raw])
    translate(manifests.parse(text.encode(), "in.yaml"))


# --- Text that is mostly wrong.


@given(st.binary() | st.text().map(str.encode))
@settings(deadline=None)
def test_any_bytes(text: bytes) -> None:
    translate(manifests.parse(text, "in.yaml"))


def test_golden_inputs_with_mistakes() -> None:
    chance = random.Random(20261121)  # noqa: S311 (makes mistakes)
    texts = [file.read_bytes() for file in GOLDEN_INPUTS]
    for _ in range(MUTATIONS):
        translate(manifests.parse(mutated(chance.choice(texts), chance.choice(texts), chance), "in.yaml"))


def mutated(text: bytes, other: bytes, chance: random.Random) -> bytes:
    """Put pieces of another text, or random bytes, in place of pieces of a text."""
    made = bytearray(text)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(made) + 1)
        length = chance.choice((0, 1, 3, 20))
        at = chance.randrange(len(other) + 1)
        piece = chance.choice((b"", chance.randbytes(2), b"\n", b"'", other[at : at + chance.choice((1, 10, 60))]))
        made[start : start + length] = piece
    return bytes(made)


# --- Too much of everything.


def make_ingress(**more: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "app", "annotations": more.pop("annotations", {})}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": {"ingressClassName": "pomerium", **more},
    }


def make_rule(host: str, *paths: str, path_type: str = "Prefix") -> dict[str, Any]:
    found = [{"path": path, "pathType": path_type, "backend": BACKEND} for path in paths]
    return {"host": host, "http": {"paths": found}}


@pytest.mark.parametrize(
    ("rules", "problems"),
    [
        ([make_rule(f"h{number}.example.com", "/") for number in range(2_000)], 1),  # there is no endpoint
        ([make_rule("a.example.com", f"/{number}") for number in range(10_000)], 1),
        ([make_rule("a.example.com", "/") for _ in range(10_000)], 10_000),
        ([make_rule("*", "/") for _ in range(10_000)], 10_000),
    ],
    ids=["hosts", "paths", "duplicates", "mistakes"],
)
def test_thousands_of_rules(rules: list[dict[str, Any]], problems: int) -> None:
    update = translate(read_all([*GOOD, make_ingress(rules=rules)]))
    (outcome,) = update.outcomes.values()
    assert outcome is not None
    assert len(outcome.problems) == problems


MEBIBYTE = 2**20


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"allow": {"or": [{"email": f"user{number}@example.com"} for number in range(8_000)]}}),
        json.dumps([{"allow": {"and": [{"http_path": "/" + "x" * 900}]}} for _ in range(1_000)]),
        "allow: {or: [" + "{accept: true}, " * 10_000 + "]}",
        "[" * MEBIBYTE,
        "x" * MEBIBYTE,
        "x" * 2 * MEBIBYTE,
    ],
    ids=["users", "rules", "criteria", "brackets", "word", "longer"],
)
def test_a_policy_of_a_mebibyte(text: str) -> None:
    padded = text + "\n#" + " " * (MEBIBYTE - len(text) - 2)
    annotations = {"ingress.pomerium.io/policy": padded}
    translate(read_all([*GOOD, make_ingress(annotations=annotations, rules=[make_rule("a.example.com", "/")])]))


@pytest.mark.parametrize(
    "pattern", ["^/(((x{100}){100}){100})$", "^/(x+x+)+y$", "^/" + "(x?){900}" + "$", "^/\\pL{900}$"]
)
def test_a_pattern_that_explodes(pattern: str) -> None:
    rule = make_rule("a.example.com", pattern, path_type="ImplementationSpecific")
    annotations = {"ingress.pomerium.io/path_regex": "true"}
    translate(read_all([*GOOD, make_ingress(annotations=annotations, rules=[rule])]))
