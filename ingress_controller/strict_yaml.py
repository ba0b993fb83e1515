"""YAML as it should be read from people who may be hostile or in a hurry.

In: text of an annotation or a manifest. Out: plain values or a node graph, or ``YAMLError`` (a ``ValueError``) with
line and column. Scalars follow YAML 1.2, as Kubernetes' tools do: ``yes`` is text and ``12:30`` is no number. Refused,
because each has hidden a mistake or an attack: keys given twice, several documents where one is asked for, explicit
tags, depth beyond reason, aliases in an annotation, and aliases in a manifest that unfold into very much.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

_MAX_DEPTH = 64
_MAX_NODES = 500_000
_SURROGATE = re.compile("[\ud800-\udfff]")


class YAMLError(ValueError):
    """Text that is not YAML, or YAML that is not accepted; the message has line and column.

    Attributes:
        line: where, counted from 0; ``None`` where that is not known.
        column: likewise.
    """

    def __init__(self, message: str, mark: Any = None) -> None:
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        super().__init__(f"{message}{place}")
        self.line: int | None = mark.line if mark else None
        self.column: int | None = mark.column if mark else None


class _Loader(yaml.CSafeLoader):
    """The safe loader with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (replaces the parent's table)


_TAG = "tag:yaml.org,2002:"
_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"0|-?[1-9][0-9]*", list("-0123456789")),
    "float": (r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
}
for _name, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)
_IMPLICIT = frozenset(_TAG + name for name in (*_CORE, "str", "seq", "map"))


def load(text: str) -> Any:
    """Read one document into dictionaries, lists and scalars; empty text is ``None``.

    Raises:
        YAMLError: for anything that this module refuses.
    """
    node = compose(text)
    return None if node is None else construct(node)


def load_all(text: str) -> Iterator[Any]:
    """Read a stream of documents, which may have aliases.

    Raises:
        YAMLError: for anything that this module refuses, when that document is reached.
    """
    return (construct(node) for node in compose_all(text))


def compose_all(text: str) -> Iterator[yaml.Node]:
    """Read a stream of documents, which may have aliases, into their nodes.

    Raises:
        YAMLError: for anything that this module refuses, when that document is reached.
    """
    return _compose_all(text, aliases=True)


def compose(text: str) -> yaml.Node | None:
    """Read one document into its nodes, whose scalars are still the text that was written.

    Raises:
        YAMLError: for anything that this module refuses.
    """
    nodes = list(_compose_all(text, aliases=False))
    if len(nodes) > 1:
        raise YAMLError(f"must be one YAML document, got {len(nodes)} (separated by ---)")
    return nodes[0] if nodes else None


def _compose_all(text: str, *, aliases: bool) -> Iterator[yaml.Node]:
    try:
        _scan(text, aliases=aliases)
        for node in yaml.compose_all(text, Loader=_Loader):
            _check(node, sizes={}, above=set())
            yield node
    except yaml.MarkedYAMLError as error:
        raise YAMLError(f"not YAML: {error.problem or error.context}", error.problem_mark) from None
    except yaml.YAMLError as error:
        raise YAMLError(f"not YAML: {error}") from None
    except (UnicodeError, RecursionError) as error:
        raise YAMLError(f"not YAML: {error}") from None


def _scan(text: str, *, aliases: bool) -> None:
    """Look at the flat stream of events first: the composer recurses on the C stack, where depth ends the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise YAMLError(f"nested more than {_MAX_DEPTH} deep", event.start_mark)
        if not aliases and isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise YAMLError("anchors and aliases are not accepted", event.start_mark)


def _check(node: yaml.Node, sizes: dict[int, int], above: set[int]) -> int:
    """The number of nodes that a node unfolds into; an alias is walked once and counted each time."""
    if id(node) in above:
        raise YAMLError("an alias refers to what contains it", node.start_mark)
    if id(node) in sizes:
        return sizes[id(node)]
    if node.tag not in _IMPLICIT:
        raise YAMLError(f"tag {node.tag!r} is not accepted", node.start_mark)
    if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
        raise YAMLError("half of a surrogate pair is no text", node.start_mark)
    above.add(id(node))
    size = 1 + sum(_check(child, sizes, above) for child in _children(node))
    above.remove(id(node))
    if size > _MAX_NODES:
        raise YAMLError(f"more than {_MAX_NODES} values", node.start_mark)
    sizes[id(node)] = size
    return size


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YAMLError("a key must be a scalar", key.start_mark)
            if key.value in seen:
                raise YAMLError(f"the key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
            yield key
            yield value


def construct(node: yaml.Node) -> Any:
    """The plain value of a node that was composed here. Raises :class:`YAMLError`."""
    try:
        return yaml.constructor.SafeConstructor().construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise YAMLError(f"not YAML: {error}") from None
