"""The objects in a file of manifests.

In: the text of a YAML or JSON file. Out: its objects, and what could not be read, each with its place. Nothing is
guessed: a document that is no Kubernetes object, or one without a name, is reported; kinds that this program does not
read are passed over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ingress_controller import strict_yaml
from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.names import is_dns_name, is_label
from ingress_controller.objects.read import Malformed, read
from ingress_controller.objects.views import KubernetesObject

_DEFAULT_NAMESPACE = "default"
_MAPS = frozenset({"annotations", "labels", "data", "stringData"})
_NAME = "DNS name in lower case"
_EARLIER_GROUPS = {("extensions/v1beta1", "Ingress"): "networking.k8s.io"}


@dataclass(frozen=True, slots=True)
class Located:
    """An object, or what is wrong with one, with its place.

    Attributes:
        found: the object.
        line: where it begins in the file, counted from 0.
        column: likewise.
        node: what was written; ``None`` where the file cannot be read at all.
    """

    found: KubernetesObject | Malformed
    line: int = 0
    column: int = 0
    node: yaml.Node | None = None


def parse(text: bytes, where: str) -> Iterator[KubernetesObject | Malformed]:
    """Read every document of a file; ``where`` is the file's name for messages."""
    return (located.found for located in parse_located(text, where))


def parse_located(text: bytes, where: str) -> Iterator[Located]:
    """The same, with the place of each object."""
    try:
        nodes = list(strict_yaml.compose_all(text.decode()))
        documents = [strict_yaml.construct(node) for node in nodes]
    except UnicodeDecodeError as error:
        yield Located(Malformed(where, f"not UTF-8: {error.reason} at byte {error.start}"))
        return
    except strict_yaml.YAMLError as error:
        yield Located(Malformed(where, str(error)), error.line or 0, error.column or 0)
        return
    for number, (document, node) in enumerate(zip(documents, nodes, strict=True), start=1):
        place = f"{where}, document {number}" if len(documents) > 1 else where
        yield from _of_document(document, node, place)


def _of_document(document: Any, node: yaml.Node, where: str) -> Iterator[Located]:
    if document is None:
        return
    if isinstance(document, Mapping) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        items = next(value for key, value in node.value if key.value == "items")
        for index, item in enumerate(document["items"]):
            yield from _of_document(item, items.value[index], f"{where}, item {index}")
        return
    begin = node.start_mark
    for found in _of_object(document, where):
        yield Located(found, begin.line, begin.column, node)


def _of_object(raw: Any, where: str) -> Iterator[KubernetesObject | Malformed]:
    if not isinstance(raw, Mapping):
        yield Malformed(where, "not a Kubernetes object: a map with apiVersion, kind and metadata is wanted")
        return
    api_version, name = raw.get("apiVersion"), raw.get("kind")
    if not isinstance(api_version, str) or not isinstance(name, str) or not isinstance(raw.get("metadata"), Mapping):
        yield Malformed(where, "not a Kubernetes object: apiVersion, kind and metadata are wanted")
        return
    kind = BY_NAME.get((api_version, name))
    if kind is None:
        if reads := _other_version(api_version, name):
            yield Malformed(where, f"{name} of apiVersion {api_version} is not read: write it as {reads}")
        return
    metadata = dict(raw["metadata"])
    if kind.namespaced:
        metadata["namespace"] = metadata.get("namespace") or _DEFAULT_NAMESPACE
    if not metadata.get("name"):
        yield Malformed(where, f"{name} has no metadata.name")
        return
    found = read(kind, _without_nulls({**raw, "metadata": metadata}), where)
    yield found if isinstance(found, Malformed) else _checked(found, where)


def _other_version(api_version: str, name: str) -> str:
    """The version that is read, of a kind that was there in an earlier one."""
    group = _EARLIER_GROUPS.get((api_version, name), api_version.partition("/")[0])
    return next((v for v, known in BY_NAME if known == name and v.startswith(f"{group}/")), "")


def _without_nulls(value: Any) -> Any:
    """Leave out fields without a value, as the API server does. A key of a map of strings is no field."""
    if isinstance(value, Mapping):
        given = ((name, inner) for name, inner in value.items() if inner is not None)
        return {name: inner if name in _MAPS else _without_nulls(inner) for name, inner in given}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _checked(found: KubernetesObject, where: str) -> KubernetesObject | Malformed:
    """The object, if its names are such as the API server accepts: others may be built from them."""
    name, namespace = found.metadata.name, found.metadata.namespace
    if not is_dns_name(name):
        return Malformed(where, f"{found.KIND} has metadata.name {name[:253]!r}, which is no {_NAME}", found.ref)
    if namespace and not is_label(namespace):
        message = f"{found.KIND} {name} has metadata.namespace {namespace[:253]!r}, which is no {_NAME} of one label"
        return Malformed(where, message, found.ref)
    return found
