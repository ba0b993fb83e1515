"""Which Ingresses are ours, and of which class.

In: an Ingress and the IngressClasses of the cluster. Out: yes or no, as the Kubernetes Ingress specification has it: by
the class's controller, by the class marked as default, or by the annotation that was there before classes; and the
class itself.
"""

from collections.abc import Iterable, Mapping

from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, IngressClass
from ingress_controller.translate.options import Options

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


Ours = Mapping[str | None, frozenset[str]]
"""The names of our classes by what an Ingress says: a name stands for itself, ``None`` for those marked as default."""


def our_classes(classes: Iterable[IngressClass], options: Options) -> Ours:
    """The classes that are ours; ``None`` is among the keys when one is the default class."""
    ours = [found for found in classes if found.spec.controller == options.controller_name]
    names: dict[str | None, frozenset[str]] = {found.metadata.name: frozenset({found.metadata.name}) for found in ours}
    if default := frozenset(found.metadata.name for found in ours if _is_default(found)):
        names[None] = default
    return names


def classes_of(ingress: Ingress, store: Store, options: Options) -> tuple[IngressClass, ...]:
    """The class that an Ingress names; if it names none, those of ours that are marked as default, by name."""
    if name := _named(ingress):
        found = store.get(IngressClass, "", name)
        return (found,) if found else ()
    names = our_classes(store.all(IngressClass), options).get(None, frozenset())
    return tuple(found for name in sorted(names) if (found := store.get(IngressClass, "", name)))


def _is_default(found: IngressClass) -> bool:
    return found.annotations.get(DEFAULT_CLASS_ANNOTATION) == "true"


def _named(ingress: Ingress) -> str | None:
    return ingress.annotations.get(CLASS_ANNOTATION) or ingress.spec.ingress_class_name


def is_ours(ingress: Ingress, ours: Ours, options: Options) -> bool:
    """Whether an Ingress names one of our classes, or none where ours is the default, in a namespace we serve."""
    return options.serves(ingress.metadata.namespace) and _named(ingress) in ours
