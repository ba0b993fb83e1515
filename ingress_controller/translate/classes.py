"""Which Ingresses are ours.

In: an Ingress and the IngressClasses of the cluster. Out: yes or no, as the Kubernetes Ingress specification has it: by
the class's controller, by the class marked as default, or by the annotation that was there before classes.
"""

from collections.abc import Iterable

from ingress_controller.objects.views import Ingress, IngressClass
from ingress_controller.translate.options import Options

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


def our_classes(classes: Iterable[IngressClass], options: Options) -> frozenset[str | None]:
    """The names of the classes that are ours; ``None`` is among them when one is the default class."""
    ours = [found for found in classes if found.spec.controller == options.controller_name]
    default = any(found.annotations.get(DEFAULT_CLASS_ANNOTATION) == "true" for found in ours)
    names: set[str | None] = {found.metadata.name for found in ours}
    return frozenset(names | {None} if default else names)


def is_ours(ingress: Ingress, ours: frozenset[str | None], options: Options) -> bool:
    """Whether an Ingress names one of our classes, or none where ours is the default, in a namespace we serve."""
    if options.namespaces and ingress.metadata.namespace not in options.namespaces:
        return False
    return (ingress.annotations.get(CLASS_ANNOTATION) or ingress.spec.ingress_class_name) in ours
