"""Bad and large input that gets past the API server's own checks, and what it stops."""

import json

import pytest

from ingress_controller.kubernetes_api import ApiError, KubernetesApi
from ingress_controller.policy.parse import MAX_CRITERIA
from tests.cluster.ingresses import INGRESS
from tests.cluster.objects import annotate, apply, make_ingress, make_web
from tests.cluster.program import Program, pod
from tests.envoy_process import eventually
from tests.manifests import PREFIX, make_policy, make_secret
from tests.real_servers import ControlPlane

RULES = 10_000
ANNOTATION_BYTES = 256 << 10


async def eventually_told(api: KubernetesApi, namespace: str, *parts: str) -> None:
    """Wait for an Event that says all of this."""

    async def is_told() -> bool:
        items = json.loads(await api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"))["items"]
        return any(all(part in item["note"] for part in parts) for item in items)

    await eventually(is_told, f"an Event says {parts}")


async def test_ten_thousand_rules(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    """They are served, each, and what comes after them too."""
    hosts = [f"h{number}.{namespace}.example.com" for number in range(RULES)]
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        large = make_ingress(namespace, "large", hosts)
        # Not applied: the annotation that this leaves would be too long.
        await control_plane.kubectl("create", "--filename", "-", stdin=large)
        await program.until_status(200, hosts[-1])
        await program.until_status(200, hosts[0])
        await apply(control_plane, make_ingress(namespace, "small", f"small.{namespace}.example.com"))
        await program.until_status(200, f"small.{namespace}.example.com")
        await api.request("DELETE", f"{INGRESS.path(namespace)}/large")
        await program.until_refused(hosts[0])


async def test_an_unknown_annotation(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await apply(control_plane, make_ingress(namespace, "web", host, {"allowed_user": '["a@b.c"]'}))
        assert "invalid-annotation" in (await program.until_status(503, host)).text
        await eventually_told(api, namespace, "allowed_user", "allowed_users")
        await annotate(api, namespace, "web", allowed_user=None, allowed_users='["a@b.c"]')
        await program.until_status(401, host)


async def test_text_that_is_not_utf_8(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host))
        await program.until_status(200, host)
        # The byte 0xFF, in whose place kubectl sends U+FFFD.
        await control_plane.kubectl("annotate", "ingress", "web", "-n", namespace, f"{PREFIX}/policy=\udcff")
        assert "invalid-policy" in (await program.until_status(503, host)).text
        await eventually_told(api, namespace, "expected a rule with allow or deny, got the text '\ufffd'")


async def test_a_policy_as_large_as_can_be(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"

    def make(users: int) -> str:
        return make_policy({"email": {"in": [f"user{number}@example.com" for number in range(users)]}})["policy"]

    largest = (ANNOTATION_BYTES - 1000) // len('"user1234@example.com", ')
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host, {}))
        await annotate(api, namespace, "web", policy=make(largest))
        await program.until_status(200, host, session=program.mint(host, f"user{largest - 1}@example.com"))
        assert (await program.get(host, session=program.mint(host, f"user{largest}@example.com"))).status == 403
        with pytest.raises(ApiError, match="annotations: Too long"):
            await annotate(api, namespace, "web", policy=make(largest + 200))


async def test_a_policy_that_requests_would_pay_for(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    policy = make_policy(*({"email": {"is": f"user{number}@example.com"}} for number in range(MAX_CRITERIA + 1)))
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host, policy))
        assert "invalid-policy" in (await program.until_status(503, host)).text
        await eventually_told(api, namespace, f"{MAX_CRITERIA + 1} criteria, at most {MAX_CRITERIA} are allowed")


async def test_a_secret_that_holds_no_certificate(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"
    async with pod() as address:
        ingress = make_ingress(namespace, "web", host, tls={"web-tls": [host]})
        await apply(control_plane, make_web(namespace, address), make_secret("web-tls", b"?", b"?", namespace), ingress)
        await program.until_status(200, host)
        await eventually_told(api, namespace, "Secret web-tls: tls.crt is not a PEM certificate chain")
