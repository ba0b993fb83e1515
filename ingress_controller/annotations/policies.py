"""The values of annotations that say which Policy objects hold, and how.

In: the text of an annotation. Out: a typed value, or ``ValueError`` that says what was wrong and what is allowed.
"""

from typing import Literal

import yaml

from ingress_controller import strict_yaml
from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.names import is_dns_name, is_label
from ingress_controller.objects.views import SharedPolicy

_MOST = 100
_NULL = "tag:yaml.org,2002:null"
_WANTED = "NAME or NAMESPACE/NAME of a Policy"


def references(text: str) -> tuple[ObjectRef, ...]:
    """One Policy or a list of them, each in the Ingress's own namespace (left empty) or in the one that is named."""
    node = strict_yaml.compose(text)
    if not isinstance(node, yaml.SequenceNode):
        return (_reference(node, ""),)
    if not 1 <= len(node.value) <= _MOST:
        raise ValueError(f"must name 1 to {_MOST} Policies, got {len(node.value)}")
    return tuple(_reference(item, f"[{index}] ") for index, item in enumerate(node.value))


def _reference(node: yaml.Node | None, where: str) -> ObjectRef:
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
        raise ValueError(f"{where}must be {_WANTED}{'' if where else ', or a list of them'}")
    namespace, slash, name = node.value.rpartition("/")
    if not is_dns_name(name) or (slash and not is_label(namespace)):
        raise ValueError(f"{where}must be {_WANTED}, each a DNS name in lower case, got {node.value[:80]!r}")
    return ObjectRef(SharedPolicy.KIND, namespace, name)


def mode(text: str) -> Literal["enforce", "shadow"]:
    """Whether policies are enforced, or tried."""
    match text.strip():
        case "enforce":
            return "enforce"
        case "shadow":
            return "shadow"
    raise ValueError(f"must be enforce or shadow, got {text.strip()[:80]!r}")
