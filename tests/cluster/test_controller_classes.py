"""Which Ingresses of a cluster are served, as classes and what names them come, change and go."""

import json

from ingress_controller.kubernetes_api import KubernetesApi
from tests.cluster.ingresses import INGRESS
from tests.cluster.objects import (
    CLASS,
    CONTROLLER,
    STATUS_SERVICE,
    apply,
    eventually_shown,
    make_class,
    make_ingress,
    make_web,
    patch_ingress,
    show_addresses,
)
from tests.cluster.program import Program, pod
from tests.envoy_process import eventually
from tests.real_servers import ControlPlane

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


async def pass_by(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    """Have an Ingress served that comes after all earlier ones, so that these have been seen too."""
    host = f"after.{namespace}.example.com"
    await apply(control_plane, make_ingress(namespace, "after", host))
    await program.until_status(200, host)


async def make_default(control_plane: ControlPlane, api: KubernetesApi, *, default: bool) -> None:
    """Mark our class as the default or not, and wait until the API server writes it into new Ingresses or does not."""
    await control_plane.kubectl("annotate", "ingressclass", CLASS, "--overwrite", f"{DEFAULT_CLASS}={default}".lower())

    async def is_noticed() -> bool:
        draft = json.loads(make_ingress("default", "draft", "draft.example.com", ingressClassName=None))
        made = json.loads(await api.request("POST", INGRESS.path("default"), {"dryRun": "All"}, draft))
        return (made["spec"].get("ingressClassName") == CLASS) is default

    await eventually(is_noticed, f"the default class is {default}")


async def test_a_class_that_comes_and_goes(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    host = f"{namespace}.example.com"
    async with pod() as address:
        web = make_web(namespace, address)
        await apply(control_plane, web, make_ingress(namespace, "web", host, ingressClassName=namespace))
        await pass_by(control_plane, namespace, program)
        assert await program.try_to_get(host) is None
        await apply(control_plane, make_class(namespace, CONTROLLER))
        await program.until_status(200, host)
        await control_plane.kubectl("delete", "ingressclass", namespace)
        await program.until_refused(host)
        # The same name for another controller, then a class of ours with an Ingress, which shows that it was seen.
        other = make_ingress(namespace, "other", f"other.{host}", ingressClassName=f"{namespace}-other")
        await apply(control_plane, make_class(namespace, "example.com/other"), other)
        await apply(control_plane, make_class(f"{namespace}-other", CONTROLLER))
        await program.until_status(200, f"other.{host}")
        assert await program.try_to_get(host) is None


async def test_the_default_class(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host, later = f"{namespace}.example.com", f"later.{namespace}.example.com"
    async with pod() as address:
        web = make_web(namespace, address)
        await apply(control_plane, web, make_ingress(namespace, "web", host, ingressClassName=None))
        await pass_by(control_plane, namespace, program)
        assert await program.try_to_get(host) is None
        await make_default(control_plane, api, default=True)
        try:
            await program.until_status(200, host)
            # The API server writes the default class into an Ingress that is made while there is one.
            await apply(control_plane, make_ingress(namespace, "later", later, ingressClassName=None))
            await program.until_status(200, later)
        finally:
            await make_default(control_plane, api, default=False)
        await program.until_refused(host)
        assert (await program.get(later)).status == 200


async def test_the_annotation_from_before_classes(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    host = f"{namespace}.example.com"

    async def name_class(name: str | None) -> None:
        await patch_ingress(api, namespace, "web", metadata={"annotations": {"kubernetes.io/ingress.class": name}})

    async with pod() as address:
        web = make_web(namespace, address)
        await apply(control_plane, web, make_ingress(namespace, "web", host, ingressClassName=None))
        await name_class(CLASS)
        await program.until_status(200, host)
        await name_class("other")
        await program.until_refused(host)
        await name_class(CLASS)
        await program.until_status(200, host)
        await name_class(None)
        await program.until_refused(host)


async def test_an_ingress_that_moves_to_another_class(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str, program: Program
) -> None:
    """It is served no longer, and its status is emptied for the next controller."""
    host = f"{namespace}.example.com"
    await show_addresses(control_plane, STATUS_SERVICE, "192.0.2.7")
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address), make_ingress(namespace, "web", host))
        await program.until_status(200, host)
        await eventually_shown(api, namespace, "web", "192.0.2.7")
        await patch_ingress(api, namespace, "web", spec={"ingressClassName": "other"})
        await program.until_refused(host)
        await eventually_shown(api, namespace, "web")
        await patch_ingress(api, namespace, "web", spec={"ingressClassName": CLASS})
        await program.until_status(200, host)
        await eventually_shown(api, namespace, "web", "192.0.2.7")
