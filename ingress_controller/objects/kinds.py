"""The table of the kinds that are read: where the API serves each, and its view.

In: nothing. Out: ``KINDS``, from which sources know what to list and watch, and manifests are recognised.
"""

from dataclasses import dataclass
from typing import Final

from ingress_controller.objects.views import (
    EndpointSlice,
    Ingress,
    IngressClass,
    IngressClassParameters,
    KubernetesObject,
    Namespace,
    Secret,
    Service,
    SharedPolicy,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    Attributes:
        api_version: group and version, as in a manifest.
        plural: the resource's name in API paths.
        view: the struct that an object of this kind becomes.
        namespaced: whether objects live in namespaces.
        field_selector: what the API server is asked to leave out of lists and watches.
        own: a kind of this project, which a cluster may not know.
    """

    api_version: str
    plural: str
    view: type[KubernetesObject]
    namespaced: bool = True
    field_selector: str = ""
    own: bool = False

    @property
    def name(self) -> str:
        """The kind's name, as in a manifest."""
        return self.view.KIND

    def path(self, namespace: str = "") -> str:
        """The API path of the collection, of one namespace or of all."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


GROUP: Final = "ingress.pomerium.io"
"""The API group of this project's own kinds."""

KINDS = (
    Kind("networking.k8s.io/v1", "ingressclasses", IngressClass, namespaced=False),
    Kind("networking.k8s.io/v1", "ingresses", Ingress),
    Kind("v1", "services", Service),
    Kind("discovery.k8s.io/v1", "endpointslices", EndpointSlice),
    # A Helm release is a Secret of up to 1 MiB that no Ingress can refer to.
    Kind("v1", "secrets", Secret, field_selector="type!=helm.sh/release.v1"),
    Kind("v1", "namespaces", Namespace, namespaced=False),
    Kind(f"{GROUP}/v1alpha1", "policies", SharedPolicy, own=True),
    Kind(f"{GROUP}/v1alpha1", "ingressclassparameters", IngressClassParameters, namespaced=False, own=True),
)

BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}
BY_VIEW = {kind.view: kind for kind in KINDS}
