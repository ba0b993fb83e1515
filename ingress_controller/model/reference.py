"""Names of Kubernetes objects, as values that can be keys.

In: kind, namespace and name from metadata. Out: hashable, ordered references that every stage uses to say
which object something comes from or depends on.
"""

from msgspec import Struct


class ObjectRef(Struct, frozen=True, order=True, gc=False):
    """The identity of an object in a cluster.

    ``namespace`` is empty for kinds that have none.
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """``Ingress app/web``, or ``IngressClass pomerium`` for kinds without namespace."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
