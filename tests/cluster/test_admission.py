"""Ingresses and the rules that they share, validated as they are applied: kubectl, a real API server, the program."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from ingress_controller.kubernetes_api import ApiError, KubernetesApi
from tests.cluster.conftest import MANIFESTS
from tests.cluster.ingresses import INGRESS
from tests.cluster.objects import CLASS, annotate, apply, make_ingress, patch_ingress
from tests.cluster.program import Program, running
from tests.envoy_process import eventually
from tests.manifests import PREFIX, PUBLIC, make_certificate, make_parameters, make_shared_policy
from tests.real_servers import ControlPlane, free_port

BAD = {"policy": "[{allow: {or: [{emial: ann@example.com}]}}]"}
MESSAGE = 'unknown criterion "emial", did you mean email?'
MESSAGE_BEGINS = "parsing ingress: annotations: applying policy annotations: parsing policy: "
HOST = "localhost"


class Webhook:
    """The configuration of the project's manifests, for one namespace and the address of a program here."""

    def __init__(self, control_plane: ControlPlane, authority: bytes, port: int) -> None:
        self._control_plane = control_plane
        self._client = {
            "url": f"https://{HOST}:{port}/validate-ingress",
            "caBundle": base64.b64encode(authority).decode(),
        }

    async def guard(self, namespace: str, rejected: str) -> None:
        """Have Ingresses of a namespace validated, and wait until that is in force, as a rejected one shows."""
        await self._control_plane.apply(self._make([namespace]))

        async def is_in_force() -> bool:
            try:
                await dry_run(self._control_plane, rejected)
            except RuntimeError:
                return True
            return False

        await eventually(is_in_force, "the webhook is in force")

    def _make(self, namespaces: Sequence[str]) -> Any:
        made = yaml.safe_load((MANIFESTS / "webhook" / "validating-webhook.yaml").read_text(encoding="utf-8"))
        (webhook,) = made["webhooks"]
        assert webhook["clientConfig"]["service"]["path"] == "/validate-ingress"
        webhook["clientConfig"] = self._client
        selected = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(namespaces)}
        webhook["namespaceSelector"]["matchExpressions"].append(selected)
        return made


async def dry_run(control_plane: ControlPlane, manifest: str) -> str:
    return await control_plane.kubectl("apply", "--dry-run=server", "--filename", "-", stdin=manifest)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    control_plane: ControlPlane, rights: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Program, Webhook]]:
    folder = tmp_path_factory.mktemp("webhook")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    for file, pem in zip((certificate, key), make_certificate(HOST), strict=True):
        file.write_bytes(pem)
    port = free_port()
    flags = {"bind-address": f"127.0.0.1:{port}", "tls-cert-file": certificate, "tls-key-file": key}
    async with running(rights, *(f"--webhook-{name}={value}" for name, value in flags.items())) as program:
        await program.ready()
        yield program, Webhook(control_plane, certificate.read_bytes(), port)
        await control_plane.kubectl("delete", "validatingwebhookconfiguration", "pomerium-ingress-controller")


async def note(api: KubernetesApi, namespace: str) -> str:
    """The text of the one Event of a namespace."""
    notes: list[str] = []

    async def is_there() -> bool:
        items = json.loads(await api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"))["items"]
        notes[:] = [item["note"] for item in items]
        return bool(notes)

    await eventually(is_there, "an Event")
    (text,) = notes
    return text


async def test_kubectl_prints_the_message_of_the_event(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, served: tuple[Program, Webhook]
) -> None:
    _, webhook = served
    bad = make_ingress(namespace, "web", f"{namespace}.test", BAD)
    await apply(control_plane, bad)
    event = await note(api, namespace)
    assert MESSAGE in event
    await control_plane.kubectl("delete", "ingress", "web", "-n", namespace)
    await webhook.guard(namespace, bad)
    with pytest.raises(RuntimeError) as refused:
        await apply(control_plane, bad)
    assert event in str(refused.value)
    assert f"metadata.annotations[{PREFIX}/policy]" in str(refused.value)
    with pytest.raises(ApiError) as raised:
        await api.request("POST", INGRESS.path(namespace), body=json.loads(bad))
    assert raised.value.status == 422
    assert raised.value.message.endswith(f"denied the request: {event}")


async def test_kubectl_prints_the_message_of_the_condition(
    control_plane: ControlPlane, namespace: str, served: tuple[Program, Webhook]
) -> None:
    _, webhook = served
    misspelt = {"deny": {"or": [{"emial": "ann@example.com"}]}}
    bad = make_shared_policy("office", misspelt, namespace=namespace)
    await apply(control_plane, bad)
    flags = ("--for=condition=Accepted=False", "--timeout=30s", "-n", namespace, "-o", "json")
    shown = json.loads(await control_plane.kubectl("wait", f"policies.{PREFIX}/office", *flags))
    (condition,) = shown["status"]["conditions"]
    await control_plane.kubectl("delete", f"policies.{PREFIX}", "office", "-n", namespace)
    await webhook.guard(namespace, make_ingress(namespace, "probe", f"{namespace}.test", BAD))
    with pytest.raises(RuntimeError) as refused:
        await apply(control_plane, bad)
    assert condition["message"] in str(refused.value)
    # They are in no namespace, so the selector of namespaces does not concern them.
    with pytest.raises(RuntimeError, match=r"emial.* \(at spec\.mandatoryDeny\[0\]"):
        await apply(control_plane, make_parameters(namespace, misspelt))
    good = {"deny": {"or": [{"email": "ann@example.com"}]}}
    for manifest in (make_shared_policy("office", good, namespace=namespace), make_parameters(namespace, good)):
        assert "created (server dry run)" in await dry_run(control_plane, manifest)


async def test_a_mistake_in_a_policy_that_is_tried_is_a_warning(
    control_plane: ControlPlane, namespace: str, served: tuple[Program, Webhook]
) -> None:
    _, webhook = served
    await webhook.guard(namespace, make_ingress(namespace, "probe", f"{namespace}.test", BAD))
    tried = make_ingress(namespace, "web", f"{namespace}.test", PUBLIC | BAD | {"policy_mode": "shadow"})
    with pytest.raises(RuntimeError) as told:
        await control_plane.kubectl("apply", "--warnings-as-errors", "--filename", "-", stdin=tried)
    assert f"Warning: upsert routes: {MESSAGE_BEGINS}" in str(told.value)
    assert MESSAGE in str(told.value)
    # It was stored all the same.
    await control_plane.kubectl("get", "ingress", "web", "-n", namespace)


async def test_good_ones_pass_and_updates_are_validated(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, served: tuple[Program, Webhook]
) -> None:
    _, webhook = served
    await webhook.guard(namespace, make_ingress(namespace, "probe", f"{namespace}.test", BAD))
    # Neither its Service nor its Secret is there: that is said in an Event, and nobody is held up.
    good = make_ingress(namespace, "web", f"{namespace}.test", PUBLIC, tls={"not-there": [f"{namespace}.test"]})
    assert "created (server dry run)" in await dry_run(control_plane, good)
    await apply(control_plane, good)
    with pytest.raises(RuntimeError, match="emial"):
        await dry_run(control_plane, make_ingress(namespace, "web", f"{namespace}.test", BAD))
    with pytest.raises(ApiError, match="emial"):
        await annotate(api, namespace, "web", allow_public_unauthenticated_access=None, **BAD)
    with pytest.raises(ApiError, match="must be a duration"):
        await annotate(api, namespace, "web", timeout="soon")
    await annotate(api, namespace, "web", timeout="5s")
    stored = json.loads(await api.request("GET", f"{INGRESS.path(namespace)}/web"))
    assert stored["metadata"]["annotations"][f"{PREFIX}/timeout"] == "5s"
    unnamed = json.loads(make_ingress(namespace, "web", f"{namespace}.test", BAD))
    unnamed["metadata"] = {**unnamed["metadata"], "generateName": "web-"}
    del unnamed["metadata"]["name"]
    with pytest.raises(ApiError, match="emial"):
        await api.request("POST", INGRESS.path(namespace), body=unnamed)


async def test_what_was_bad_before_may_be_labelled_and_deleted(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, served: tuple[Program, Webhook]
) -> None:
    _, webhook = served
    bad = make_ingress(namespace, "web", f"{namespace}.test", BAD)
    await apply(control_plane, bad)
    await webhook.guard(namespace, make_ingress(namespace, "probe", f"{namespace}.test", BAD))
    await patch_ingress(api, namespace, "web", metadata={"labels": {"a": "b"}, "finalizers": ["example.com/wait"]})
    await api.request("DELETE", f"{INGRESS.path(namespace)}/web")
    await patch_ingress(api, namespace, "web", metadata={"finalizers": None})
    with pytest.raises(ApiError, match="not found"):
        await api.request("GET", f"{INGRESS.path(namespace)}/web")


async def test_other_classes_are_untouched(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, served: tuple[Program, Webhook]
) -> None:
    _, webhook = served
    await webhook.guard(namespace, make_ingress(namespace, "probe", f"{namespace}.test", BAD))
    await apply(control_plane, make_ingress(namespace, "web", f"{namespace}.test", BAD, ingressClassName="nginx"))
    with pytest.raises(ApiError, match="emial"):
        await patch_ingress(api, namespace, "web", spec={"ingressClassName": CLASS})


async def test_with_the_controller_away_everything_can_be_applied(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, served: tuple[Program, Webhook]
) -> None:
    """Last: the program that the tests share is ended."""
    program, webhook = served
    bad = make_ingress(namespace, "web", f"{namespace}.test", BAD)
    await webhook.guard(namespace, bad)
    program.stop()
    await apply(control_plane, bad)
    assert await api.request("GET", f"{INGRESS.path(namespace)}/web")
