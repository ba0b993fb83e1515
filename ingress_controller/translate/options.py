"""What translation needs to know that no object says.

In: the program's settings. Out: a frozen value that every function of this package may be given.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the translation.

    Attributes:
        controller_name: ``spec.controller`` of the IngressClasses that are served.
        prefix: what the names of our annotations begin with.
        namespaces: the namespaces whose Ingresses are served; empty for all.
        allow_local_external_names: whether an ExternalName may point to this machine or its link.
        own_addresses: addresses and names of this controller, which an ExternalName may not point to.
        cluster_domain: the suffix of the names that the cluster's DNS gives to Services.
    """

    controller_name: str = "pomerium.io/ingress-controller"
    prefix: str = "ingress.pomerium.io"
    namespaces: tuple[str, ...] = ()
    allow_local_external_names: bool = False
    own_addresses: frozenset[str] = frozenset()
    cluster_domain: str = "cluster.local"

    def serves(self, namespace: str) -> bool:
        """Whether objects of a namespace are ours at all."""
        return not self.namespaces or namespace in self.namespaces
