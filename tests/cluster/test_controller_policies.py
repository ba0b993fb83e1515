"""Policies and the parameters of classes on a real API server: what they do, and what is said on them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingress_controller.kubernetes_api import ApiError, KubernetesApi
from tests.cluster.conftest import MANIFESTS
from tests.cluster.objects import apply, make_class, make_ingress, make_web
from tests.cluster.program import Program, pod, running
from tests.cluster.test_controller_input import eventually_told
from tests.envoy_process import eventually
from tests.manifests import PUBLIC, make_parameters, make_shared_policy
from tests.real_servers import ControlPlane

ANN, BOB = ({"email": f"{name}@example.com"} for name in ("ann", "bob"))
CRDS = str(MANIFESTS / "crds.yaml")
POLICIES = "/apis/ingress.pomerium.io/v1alpha1/namespaces/{}/policies"


def allow(*criteria: dict[str, Any]) -> dict[str, Any]:
    return {"allow": {"or": list(criteria)}}


async def read_condition(control_plane: ControlPlane, *name: str) -> dict[str, Any]:
    """The condition Accepted, as kubectl reads it; empty while there is none."""
    found = json.loads(await control_plane.kubectl("get", *name, "--output", "json"))
    (condition,) = found.get("status", {}).get("conditions") or [{}]
    return {**condition, "generation": found["metadata"]["generation"]}


async def eventually_accepted(control_plane: ControlPlane, *name: str, status: str = "True") -> dict[str, Any]:
    """Wait until the newest generation of an object has the condition; gives that."""
    condition: dict[str, Any] = {}

    async def is_so() -> bool:
        nonlocal condition
        condition = await read_condition(control_plane, *name)
        return (condition.get("status"), condition.get("observedGeneration")) == (status, condition["generation"])

    await eventually(is_so, f"Accepted {status} on {name}")
    return condition


async def test_a_shared_policy_that_changes_and_goes(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    hosts = [f"{name}.{namespace}.example.com" for name in ("a", "b")]

    async def expect(email: str, status: int) -> None:
        for host in hosts:
            await program.until_status(status, host, session=program.mint(host, f"{email}@example.com"))

    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        for name, host in zip("ab", hosts, strict=True):
            await apply(control_plane, make_ingress(namespace, name, host, {"policy_ref": "office"}))
            assert "policy-not-found" in (await program.until_status(503, host)).text
        await eventually_told(api, namespace, f"policy_ref: Policy {namespace}/office not found")
        await apply(control_plane, make_shared_policy("office", allow(ANN), namespace=namespace))
        await expect("ann", 200)
        await expect("bob", 403)
        await apply(control_plane, make_shared_policy("office", allow(BOB), namespace=namespace))
        await expect("bob", 200)
        await expect("ann", 403)
        await control_plane.kubectl("delete", "policy", "office", "-n", namespace)
        await expect("bob", 503)


async def test_a_policy_of_another_namespace(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    host, other = f"{namespace}.example.com", await control_plane.make_namespace()
    make = partial(make_shared_policy, "office", allow({"accept": True}), namespace=other)
    async with pod() as address:
        await apply(control_plane, make())
        ingress = make_ingress(namespace, "web", host, {"policy_ref": f"{other}/office"})
        await apply(control_plane, make_web(namespace, address), ingress)
        assert "policy-not-granted" in (await program.until_status(503, host)).text
        await apply(control_plane, make(usableFrom=[namespace]))
        await program.until_status(200, host)
        await apply(control_plane, make(usableFrom=["elsewhere"]))
        await program.until_status(503, host)


async def test_what_is_said_on_a_policy(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    """Columns, condition and Event; the time is that of the last change between good and bad."""
    name = ("policy", "office", "-n", namespace)
    await apply(control_plane, make_shared_policy("office", allow(ANN), namespace=namespace))
    good = await eventually_accepted(control_plane, *name)
    assert (good["reason"], good["message"]) == ("Accepted", "the rules can be used")
    await apply(control_plane, make_shared_policy("office", allow(BOB), namespace=namespace))
    assert (await eventually_accepted(control_plane, *name))["lastTransitionTime"] == good["lastTransitionTime"]
    await apply(control_plane, make_shared_policy("office", allow({"emial": "x"}), namespace=namespace))
    bad = await eventually_accepted(control_plane, *name, status="False")
    assert bad["reason"] == "InvalidPolicy"
    assert bad["message"].startswith("upsert routes: parsing policy: invalid rules in policy: unknown criterion")
    assert bad["message"].endswith("(at spec.rules[0].allow.or[0].emial)")
    await eventually_told(api, namespace, bad["message"])
    heads, row = (await control_plane.kubectl("get", "policies", "-n", namespace)).splitlines()
    assert heads.split() == ["NAME", "ACCEPTED", "REASON", "AGE"]
    assert row.split()[:3] == ["office", "False", "InvalidPolicy"]
    assert "emial" in await control_plane.kubectl("get", "pomerium", "-n", namespace, "--output", "wide")
    assert "UpdateError" in await control_plane.kubectl("describe", *name)
    program.check()


async def test_parameters_of_a_class(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, rights: Path
) -> None:
    """They close the class while they are away; what they deny holds for Ingresses that say otherwise."""
    host, silent = f"{namespace}.example.com", f"silent.{namespace}.example.com"
    deny = {"deny": {"or": [{"http_path": "/admin"}]}}
    edge = make_class(namespace, f"example.com/{namespace}", parameters=namespace)
    ours = {"ingressClassName": namespace}
    async with pod() as address, running(rights, f"--name=example.com/{namespace}") as program:
        await apply(control_plane, edge, make_web(namespace, address))
        await apply(control_plane, make_ingress(namespace, "web", host, PUBLIC, **ours))
        await apply(control_plane, make_ingress(namespace, "silent", silent, {}, **ours))
        assert "class-parameters-not-found" in (await program.until_status(503, host)).text
        await eventually_told(api, namespace, f"IngressClass {namespace}: spec.parameters", "not found")
        await apply(control_plane, make_parameters(namespace, deny, default=[allow(ANN)]))
        await program.until_status(200, host)
        assert (await program.get(host, "/admin")).status == 403
        await program.until_status(200, silent, session=program.mint(silent, "ann@example.com"))
        await eventually_accepted(control_plane, "ingressclassparameters", namespace)
        await apply(control_plane, make_parameters(namespace, {"deny": {"or": [{"http_pth": "/"}]}}))
        assert "invalid-class-parameters" in (await program.until_status(503, host)).text
        bad = await eventually_accepted(control_plane, "ingressclassparameters", namespace, status="False")
        await eventually_told(api, "default", bad["message"])
        await apply(control_plane, make_parameters(namespace, deny))
        await program.until_status(200, host)
        await control_plane.kubectl("delete", "ingressclassparameters", namespace)
        await program.until_status(503, host)


@pytest.mark.usefixtures("rights")
async def test_no_client_can_lose_a_denial(api: KubernetesApi, namespace: str) -> None:
    """A misspelt field is refused, or kept to be refused by the controller; the API server drops neither."""
    path = POLICIES.format(namespace)
    misspelt = json.loads(make_shared_policy("a", {"allow": {"or": [ANN]}, "dney": {}}, namespace=namespace))
    made = json.loads(await api.request("POST", path, body=misspelt))
    assert made["spec"]["rules"][0]["dney"] == {}
    bad: dict[str, Any]
    for bad in ({"rule": []}, {"rules": [{}]}, {"rules": [allow({"accept": True, "email": "x"})]}):
        with_typo = {**misspelt, "metadata": {"name": "b"}, "spec": bad}
        with pytest.raises(ApiError, match=r"is invalid: spec\.rules"):
            await api.request("POST", path, body=with_typo)


async def test_a_policy_of_nine_thousand_levels(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program, rights: Path
) -> None:
    """The API server takes it. It is refused, and stops nothing."""
    text = make_shared_policy("deep", allow({"email": "DEEP"}), namespace=namespace)
    deep = text.replace('"DEEP"', "[" * 9000 + "]" * 9000)
    await control_plane.kubectl("create", "--validate=false", "--filename", "-", stdin=deep)
    await eventually_told(api, namespace, "(at spec.rules[0].allow.or[0].email)")
    program.check()
    async with running(rights) as another:
        await another.ready()


async def test_kinds_that_come_after_the_controller_and_go(
    control_plane: ControlPlane, namespace: str, rights: Path
) -> None:
    host, later = f"{namespace}.example.com", f"later.{namespace}.example.com"
    await control_plane.kubectl("delete", "--filename", CRDS)
    async with pod() as address, running(rights) as program:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host))
        await apply(control_plane, make_ingress(namespace, "later", later, {"policy_ref": "office"}))
        await program.until_status(200, host)
        assert "policy-not-found" in (await program.until_status(503, later)).text
        without = [line for line in program.log() if "does not know this kind" in line["event"]]
        assert sorted(line["resource"] for line in without) == ["ingressclassparameters", "policies"]
        assert not [line for line in program.log() if line["level"] == "warning"]
        await control_plane.kubectl("apply", "--filename", CRDS)
        await control_plane.kubectl("wait", "--for", "condition=established", "--filename", CRDS)
        await apply(control_plane, make_shared_policy("office", allow({"accept": True}), namespace=namespace))
        await program.until_status(200, later)
        await control_plane.kubectl("delete", "--filename", CRDS)
        await program.until_status(503, later)
        assert (await program.get(host)).status == 200
        await control_plane.kubectl("apply", "--filename", CRDS)
        await control_plane.kubectl("wait", "--for", "condition=established", "--filename", CRDS)


@pytest.mark.usefixtures("rights")
async def test_the_schema_explains_itself(control_plane: ControlPlane) -> None:
    explained = await control_plane.kubectl("explain", "policies.spec.usableFrom")
    assert "The namespaces whose Ingresses may refer to this Policy" in explained
    explained = await control_plane.kubectl("explain", "ingressclassparameters.spec.mandatoryDeny.deny")
    assert "At least one of these holds." in explained
